"""Freight: what a trip emitted, and what it saved against a baseline intensity.

Source: ISO 14083 and GLEC (DOMAIN, sections 3.1 and 3.5). Transport activity is mass times the
shortest feasible distance; a driven distance is divided by the distance adjustment factor of road,
1.05. Fuel used, where known, already contains the detour and the empty legs.
"""

from fractions import Fraction

import numpy as np

from carbon.exact import BoolArray, Int64Array, Ratio

SMALL_UNITS_PER_UNIT = 1000  # ml per l, g per kg, Wh per kWh
KG_M_PER_TKM = 1_000_000
KG_M_PER_KG_KM = 1000


def shortest_distance_m(distance_m: Int64Array, driven: BoolArray) -> Ratio:
    """Return the distance that counts for transport activity [m], shape (n,).

    Args:
        distance_m: Reported distance [m], shape (n,).
        driven: Whether it was driven (`actual`) rather than computed, shape (n,).
    """
    return Ratio.of(distance_m * np.where(driven, 20, 1), np.where(driven, 21, 1).astype(np.int64))


def transport_kg_km(cargo_kg: Int64Array, shortest_m: Ratio) -> Int64Array:
    """Return the transport activity [kg km], shape (n,), rounded once.

    >>> shortest = shortest_distance_m(np.array([840_000]), np.array([True]))
    >>> transport_kg_km(np.array([28_000]), shortest)  # 22 400 tkm, DOMAIN 3.5
    array([22400000])
    """
    return (shortest_m * cargo_kg / KG_M_PER_KG_KM).rounded()


def energy_emission(energy_used: Int64Array, factor_mg_per_unit: Int64Array) -> Ratio:
    """Return what the used energy emitted [mg], exact, shape (n,).

    Args:
        energy_used: Energy carrier used, empty legs included [ml, g or Wh], shape (n,).
        factor_mg_per_unit: Its factor [mg per l, kg or kWh], shape (n,).
    """
    return Ratio.of(factor_mg_per_unit) * energy_used / SMALL_UNITS_PER_UNIT


def activity_emission(
    cargo_kg: Int64Array, shortest_m: Ratio, intensity_mg_per_tkm: Int64Array
) -> Ratio:
    """Return what the transport activity emits at an intensity [mg], exact, shape (n,).

    Args:
        cargo_kg: Freight mass [kg], shape (n,).
        shortest_m: Distance that counts [m], shape (n,).
        intensity_mg_per_tkm: Emission intensity [mg/tkm], shape (n,).

    >>> activity_emission(
    ...     np.array([28_000]), Ratio.of(np.array([800_000])), np.array([57_000])
    ... ).rounded()
    array([1276800000])
    """
    return shortest_m * cargo_kg * intensity_mg_per_tkm / KG_M_PER_TKM


def reduction_mg(baseline: Ratio, emission: Ratio, claim: Fraction) -> Int64Array:
    """Return what each trip saved against its baseline; negative where it emitted more.

    Args:
        baseline: Emissions of the same transport activity at the baseline intensity [mg], exact.
        emission: Emissions of the trip [mg], exact.
        claim: Share of the reduction the programme credits [1].

    Returns:
        Reduction [mg], shape (n,), rounded once, half to even.

    >>> one = np.array([1])
    >>> work = activity_emission(28_000 * one, Ratio.of(800_000 * one), 57_000 * one)
    >>> fuel = energy_emission(321_600 * one, 2_600_000 * one)
    >>> reduction_mg(work, fuel, Fraction(1))  # the worked trip of DOMAIN 3.5: 441 kg
    array([440640000])
    """
    return ((baseline - emission) * claim).rounded()
