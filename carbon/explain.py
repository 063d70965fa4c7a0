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
class Term:
    """One number of a formula: what it is, in a stable word, its value and its unit."""

    what: str
    value: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a formula.

    Attributes:
        what: What it gives: emissions, baseline or reduction.
        terms: What is multiplied; of a reduction baseline, emissions and share, where the second
            is taken from the first.
        divisor: What the product is divided by, as units need it; 1 where not at all.
        amount_mg: The amount [mg], rounded once.
    """

    what: str
    terms: tuple[Term, ...]
    divisor: int
    amount_mg: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """How an amount came to be.

    Attributes:
        lines: The inputs and the formula, a sentence each.
        steps: The formula with its numbers, for whoever shows it in other words; empty where it
            cannot be recomputed.
        recomputed_mg: What the methods give today for the same inputs, signed; None if they cannot.
        agrees: Whether that is the booked amount.
    """

    lines: tuple[str, ...]
    recomputed_mg: int | None
    agrees: bool
    steps: tuple[Step, ...] = ()


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
    steps = _steps(transfer, activity, programme, rated)
    lines += map(_line, steps)
    lines.append(f"Booked {booked_mg} mg, recomputed {recomputed} mg.")
    return Explanation(tuple(lines), recomputed, agrees=recomputed == booked_mg, steps=steps)


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


def _steps(
    transfer: Mapping[str, Any], activity: Mapping[str, Any], programme: Programme, rated: Rated
) -> tuple[Step, ...]:
    value = str(int(rated.factor_value_mg[0]))
    emissions_mg, baseline_mg = int(rated.emissions_mg[0]), int(rated.baseline_mg[0])
    transport = Term("transport", str(int(rated.transport_kg_km[0])), "kg km")
    emitted: tuple[Term, ...]
    claimed: tuple[Term, ...]
    if transfer["activity"] == "charging" and programme.charging is not None:
        rules = programme.charging
        dc = activity["meter_side"] == "dispenser" and activity["current"] == "dc"
        energy = Term("energy", str(activity["energy_wh"]), "Wh")
        gross_up = Term("gross_up", str(rules.gross_up(dc_dispenser=dc)))
        emitted = (energy, Term("grid_factor", value, "mg/kWh"), gross_up)
        share = rules.claim_share
        claimed = () if share is None else (energy, _fuel_baseline(activity, rules))
    else:
        uses_energy = transfer["method"] == "freight-emission-energy/1" or (
            activity["energy_used"] is not None
        )
        if uses_energy:
            used = Term("energy_used", str(activity["energy_used"]))
            emitted = (used, Term("fuel_factor", value, "mg per unit"))
        else:
            emitted = (transport, Term("intensity", value, "mg/tkm"))
        freight = programme.freight
        share = freight.claim_share if freight else None
        intensity = freight.baseline_mg_per_tkm.get(activity["vehicle_class"]) if freight else None
        claimed = (transport, Term("baseline_intensity", str(intensity), "mg/tkm"))
    steps = [Step("emissions", emitted, 1000, emissions_mg)]
    if transfer["quantity"] == "reduction":
        difference = (
            Term("baseline", str(baseline_mg), "mg"),
            Term("emissions", str(emissions_mg), "mg"),
            Term("share", str(share)),
        )
        steps.append(Step("baseline", claimed, 1000, baseline_mg))
        steps.append(Step("reduction", difference, 1, int(rated.reduction_mg[0])))
    return tuple(steps)


def _line(step: Step) -> str:
    if step.what == "reduction":
        return (
            f"reduction = (baseline - emissions) x {step.terms[-1].value} = {step.amount_mg} mg, "
            "rounded once from exact fractions"
        )
    terms = " x ".join(f"{term.value} {term.unit}".strip() for term in step.terms)
    return f"{step.what} = {terms} / {step.divisor} = {step.amount_mg} mg"


def _fuel_baseline(activity: Mapping[str, Any], rules: ChargingRules) -> Term:
    year = int(np.datetime64(activity["started_at"], "ms").astype("datetime64[Y]").astype(int))
    fuel = rules.baseline_mg_per_kwh(
        activity["vehicle_class"], dc=activity["current"] == "dc", year=1970 + year
    )
    return Term("fuel_baseline", str(fuel), "mg/kWh")
