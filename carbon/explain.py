"""Explaining a transfer: the same methods run again on its inputs, and the formula with its
numbers.

Anyone can check the lines by hand, because every number in them is an integer or an exact fraction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from carbon.factors import Factor, FactorTable
from carbon.programmes import ChargingRules, Programme
from carbon.rate import Rated, Sessions, Trips, Words, rate_charging, rate_freight
from carbon.refusal import CODES


@dataclass(frozen=True, slots=True)
class Explanation:
    """How an amount came to be.

    Attributes:
        lines: The inputs and the formula, a sentence each.
        recomputed_mg: What the methods give today for the same inputs, signed; None if they cannot.
        agrees: Whether that is the booked amount.
    """

    lines: tuple[str, ...]
    recomputed_mg: int | None
    agrees: bool


def explain(
    transfer: Mapping[str, Any],
    activity: Mapping[str, Any],
    factors: Sequence[Factor],
    programme: Programme | None,
) -> Explanation:
    """Explain one transfer.

    Args:
        transfer: Fields of the Transfer record.
        activity: Fields of the ChargingSession or FreightTrip it came from; instants in
            milliseconds.
        factors: The factor it names; for an hourly one all of its series that the activity touches.
        programme: Its programme, if it is still known.
    """
    toward = transfer["credit_account"] == transfer["account_id"]
    booked_mg = transfer["amount_mg"] if toward else -transfer["amount_mg"]
    lines = [*_inputs(transfer, activity), *(_factor_line(factor) for factor in factors[:3])]
    if len(factors) > 3:
        lines.append(f"... and {len(factors) - 3} more factors of this series.")
    lines.append(f"Matched: {transfer['factor_match']}.")
    if programme is None:
        lines.append(f"Programme {transfer['programme']} is not loaded here: not recomputed.")
        return Explanation(tuple(lines), None, agrees=False)
    if programme.digest != transfer["programme_digest"]:
        lines.append(
            f"Booked under parameters {transfer['programme_digest']}, "
            f"loaded are {programme.digest}: the result may differ."
        )
    rated = rate_one(transfer["activity"], activity, programme, FactorTable.of(factors))
    if rated.refusal[0]:
        lines.append(f"Recomputing it is refused: {CODES[rated.refusal[0]]}.")
        return Explanation(tuple(lines), None, agrees=False)
    reduction = transfer["quantity"] == "reduction"
    recomputed = int((rated.reduction_mg if reduction else rated.emissions_mg)[0])
    lines += _formula(transfer, activity, programme, rated)
    lines.append(f"Booked {booked_mg} mg, recomputed {recomputed} mg.")
    return Explanation(tuple(lines), recomputed, agrees=recomputed == booked_mg)


def rate_one(
    kind: str, activity: Mapping[str, Any], programme: Programme, factors: FactorTable
) -> Rated:
    """Rate a single activity, charging or freight, given by the fields of its record."""

    def number(name: str) -> np.ndarray[Any, np.dtype[np.int64]]:
        value = activity[name]
        return np.array([-1 if value is None else value], dtype=np.int64)

    def word(name: str) -> Words:
        return Words(np.zeros(1, dtype=np.int32), (activity[name],))

    def holds(name: str, value: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
        return np.array([activity[name] == value])

    if kind == "charging":
        sessions = Sessions(
            energy_wh=number("energy_wh"),
            started_at=number("started_at"),
            ended_at=number("ended_at"),
            grid_region=word("grid_region"),
            vehicle_class=word("vehicle_class"),
            dispenser=holds("meter_side", "dispenser"),
            dc=holds("current", "dc"),
        )
        return rate_charging(sessions, programme, factors)
    trips = Trips(
        departed_at=number("departed_at"),
        arrived_at=number("arrived_at"),
        distance_m=number("distance_m"),
        driven=holds("distance_basis", "actual"),
        cargo_kg=number("cargo_kg"),
        empty_distance_m=number("empty_distance_m"),
        energy_used=number("energy_used"),
        origin_region=word("origin_region"),
        vehicle_class=word("vehicle_class"),
        energy_carrier=word("energy_carrier"),
    )
    return rate_freight(trips, programme, factors)


def _inputs(transfer: Mapping[str, Any], activity: Mapping[str, Any]) -> list[str]:
    if transfer["activity"] == "charging":
        what = f"{activity['energy_wh']} Wh charged in {activity['grid_region']}"
        detail = f"{activity['current']}, metered at the {activity['meter_side']}"
    else:
        what = f"{activity['cargo_kg']} kg over {activity['distance_m']} m"
        used = activity["energy_used"]
        detail = f"{activity['distance_basis']} distance, {activity['data_grade']} data"
        if used is not None:
            detail += f", {used} thousandths of a unit of {activity['energy_carrier']} used"
    source = (
        f"{transfer['source_topic']}/{transfer['source_partition']} at {transfer['source_offset']}"
    )
    return [
        f"{transfer['activity'].capitalize()} {transfer['activity_id']} of {transfer['source']}: "
        f"{what} ({activity['vehicle_class']}, {detail}).",
        f"Source record: {source}.",
        f"Method {transfer['method']} of programme {transfer['programme']}, "
        f"parameters {transfer['programme_digest']}.",
    ]


def _factor_line(factor: Factor) -> str:
    return (
        f"Factor {factor.factor_id} of release {factor.release}: {factor.value_mg} mg {factor.gas} "
        f"per {factor.unit}, {factor.boundary}, {factor.region}. {factor.publisher}: "
        f"{factor.publication} ({factor.licence}; evidence {factor.evidence})."
    )


def _formula(
    transfer: Mapping[str, Any], activity: Mapping[str, Any], programme: Programme, rated: Rated
) -> list[str]:
    value = int(rated.factor_value_mg[0])
    if transfer["activity"] == "charging" and programme.charging is not None:
        rules = programme.charging
        dc = activity["meter_side"] == "dispenser" and activity["current"] == "dc"
        gross_up = rules.gross_up(dc_dispenser=dc)
        lines = [
            f"emissions = {activity['energy_wh']} Wh x {value} mg/kWh x {gross_up} / 1000 "
            f"= {int(rated.emissions_mg[0])} mg"
        ]
        baseline = _charging_baseline(activity, rules) if rules.claim_share is not None else ""
        share = rules.claim_share
    else:
        energy = transfer["method"] == "freight-emission-energy/1" or (
            activity["energy_used"] is not None
        )
        tkm = f"{int(rated.transport_kg_km[0])} kg km x {value} mg/tkm / 1000"
        used = f"{activity['energy_used']} x {value} mg per unit / 1000"
        lines = [f"emissions = {used if energy else tkm} = {int(rated.emissions_mg[0])} mg"]
        freight = programme.freight
        share = freight.claim_share if freight else None
        intensity = freight.baseline_mg_per_tkm.get(activity["vehicle_class"]) if freight else None
        baseline = f"{int(rated.transport_kg_km[0])} kg km x {intensity} mg/tkm / 1000"
    if transfer["quantity"] == "reduction":
        lines.append(f"baseline = {baseline} = {int(rated.baseline_mg[0])} mg")
        lines.append(
            f"reduction = (baseline - emissions) x {share} = {int(rated.reduction_mg[0])} mg, "
            "rounded once from exact fractions"
        )
    return lines


def _charging_baseline(activity: Mapping[str, Any], rules: ChargingRules) -> str:
    year = int(np.datetime64(activity["started_at"], "ms").astype("datetime64[Y]").astype(int))
    fuel = rules.baseline_mg_per_kwh(
        activity["vehicle_class"], dc=activity["current"] == "dc", year=1970 + year
    )
    return f"{activity['energy_wh']} Wh x {fuel} mg/kWh / 1000"
