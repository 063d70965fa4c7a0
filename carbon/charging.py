"""Charging: what a session emitted, and what it saved against the same distance on fuel.

Source: Verra VM0038 v1.0 (2018), eq. 1, 4, 5, 10 and 11, in metric units; see DOMAIN, section 2.3.
All amounts are exact and rounded once, half to even.
"""

from fractions import Fraction
from typing import Final

from carbon.exact import Int64Array, Ratio

WH_PER_KWH: Final = 1000
WHOLE: Final = Fraction(1)


def emission_mg(
    energy_wh: Int64Array, grid_mg_per_kwh: Ratio, gross_up: Ratio | Fraction = WHOLE
) -> Int64Array:
    """Return what each charging session emitted, location-based (VM0038 eq. 4 and 5).

    Args:
        energy_wh: Energy delivered [Wh], shape (n,), 0 <= energy <= ENERGY_WH_MAX.
        grid_mg_per_kwh: Grid factor matched to the session [mg/kWh], shape (n,); for hourly
            factors the exact mean over the session.
        gross_up: Energy drawn from the grid per energy delivered [1], shape (n,) or one for all;
            default 1.

    Returns:
        Emissions [mg], shape (n,), rounded once, half to even.

    Raises:
        ShapeMismatch: The columns differ in length.

    >>> import numpy as np
    >>> emission_mg(np.array([20_000]), Ratio.of(np.array([712_000])))  # 20 kWh, North China 2021
    array([14240000])
    """
    return (grid_mg_per_kwh * gross_up * energy_wh / WH_PER_KWH).rounded()


def baseline_mg(energy_wh: Int64Array, baseline_mg_per_kwh: Int64Array) -> Int64Array:
    """Return what the displaced fuel would have emitted (VM0038 eq. 1).

    Args:
        energy_wh: Energy delivered [Wh], shape (n,).
        baseline_mg_per_kwh: Fuel displaced by one kWh [mg/kWh], shape (n,).

    Returns:
        Baseline emissions [mg], shape (n,), rounded once, half to even.
    """
    return (Ratio.of(baseline_mg_per_kwh) * energy_wh / WH_PER_KWH).rounded()


def reduction_mg(
    energy_wh: Int64Array,
    baseline_mg_per_kwh: Int64Array,
    grid_mg_per_kwh: Ratio,
    gross_up: Ratio | Fraction = WHOLE,
    claim: Fraction = WHOLE,
) -> Int64Array:
    """Return what each charging session saved; negative where the grid emits more than the fuel.

    Args:
        energy_wh: Energy delivered [Wh], shape (n,), 0 <= energy <= ENERGY_WH_MAX.
        baseline_mg_per_kwh: Fuel displaced by one kWh [mg/kWh], shape (n,).
        grid_mg_per_kwh: Grid factor matched to the session [mg/kWh], shape (n,).
        gross_up: Energy drawn from the grid per energy delivered [1], shape (n,) or one for all;
            default 1.
        claim: Share of the reduction the programme credits (VM0038 eq. 11) [1]; default 1.

    Returns:
        Reduction [mg], shape (n,), rounded once, half to even.

    Raises:
        ShapeMismatch: The columns differ in length.

    >>> import numpy as np
    >>> reduction_mg(
    ...     np.array([20_000]), np.array([1_232_400]), Ratio.of(np.array([712_000]))
    ... )  # 20 kWh in North China, 2021
    array([10408000])
    """
    saved_per_kwh = Ratio.of(baseline_mg_per_kwh) - grid_mg_per_kwh * gross_up
    return (saved_per_kwh * energy_wh * claim / WH_PER_KWH).rounded()
