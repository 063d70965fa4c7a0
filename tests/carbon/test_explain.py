"""An explanation runs the methods again on the inputs of a transfer that the step has booked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from carbon.explain import Explanation, explain
from carbon.factors import Factor, FactorTable
from carbon.programmes import Programme, parse_programme
from streams.accounts import Accounts
from streams.step import Rules
from streams.transfers import FactorNames
from tests.streams.scene import (
    HOUR_MS,
    NOW_MS,
    SESSIONS,
    TRIPS,
    event,
    part_of,
    rules,
    session,
    shipped_factors,
    transfers,
    trip,
    work,
)

HOURLY = """
name = "hourly"
title = "By the hour"
boundary = "ttw"
source = "made up"
[charging]
grid = "hourly"
classes = ["car"]
"""


def booked(activity: Mapping[str, object], by: Rules | None = None) -> list[dict[str, Any]]:
    """Return the transfers that the step makes of one activity."""
    topic = SESSIONS if "session_id" in activity else TRIPS
    return transfers(work(Accounts(), part_of([event(activity)], topic=topic), by))


def named(transfer: Mapping[str, Any], factors: Sequence[Factor]) -> list[Factor]:
    return [factor for factor in factors if factor.factor_id == transfer["factor_id"]]


def explained(
    transfer: Mapping[str, Any], activity: Mapping[str, Any], programme: Programme | None
) -> Explanation:
    return explain(transfer, activity, named(transfer, shipped_factors().factors), programme)


def programme_of(activity: Mapping[str, object]) -> Programme:
    return rules().programmes[str(activity["programme"])]


ACTIVITIES = {
    "a session of a car": session(),
    "a session of a provinceless region": session(grid_region="CN-XZ"),
    "a session years after the latest factor": session(
        started_at=NOW_MS + 1000 * 24 * HOUR_MS, ended_at=NOW_MS + 1001 * 24 * HOUR_MS
    ),
    "a session that loses": session(vehicle_class="tractor_heavy", grid_region="CN-HE"),
    "a session with losses and a DC baseline": session(
        programme="us-fleet", grid_region="US", current="dc", meter_side="dispenser"
    ),
    "a trip with its fuel": trip(),
    "a trip without its fuel": trip(energy_used=None),
    "a trip that loses": trip(energy_used=900_000),
}


@pytest.mark.parametrize("activity", ACTIVITIES.values(), ids=ACTIVITIES)
def test_the_explanation_of_what_was_booked_agrees_with_it(activity: dict[str, object]) -> None:
    later = event(activity, int(str(activity.get("ended_at", NOW_MS))) + HOUR_MS)
    topic = SESSIONS if "session_id" in activity else TRIPS
    made = transfers(work(Accounts(), part_of([later], topic=topic)))
    assert [one["quantity"] for one in made] == ["emission", "reduction"]
    for one in made:
        explanation = explained(one, activity, programme_of(activity))
        assert explanation.agrees, explanation.lines
        sign = 1 if one["credit_account"] == one["account_id"] else -1
        assert explanation.recomputed_mg == sign * one["amount_mg"]
        assert f"Matched: {one['factor_match']}." in explanation.lines


def test_it_names_source_method_factor_and_numbers() -> None:
    activity = session()
    reduction = booked(activity)[1]
    text = "\n".join(explained(reduction, activity, programme_of(activity)).lines)
    assert "Charging S1 of test: 20000 Wh charged in CN-BJ (car, ac, metered at the grid)." in text
    assert "Source record: charging-sessions/0 at 0." in text
    assert "Method charging-reduction/1 of programme cn-charging" in text
    assert f"Factor {reduction['factor_id']} of release 2026.1: 555400 mg co2 per kwh" in text
    assert "emissions = 20000 Wh x 555400 mg/kWh x 1 / 1000 = 11108000 mg" in text
    assert "= 24648000 mg" in text
    assert "Booked 13540000 mg, recomputed 13540000 mg." in text


def test_a_trip_names_its_fuel_or_its_transport_activity() -> None:
    with_fuel, without = trip(), trip(energy_used=None)
    fuel = explained(booked(with_fuel)[0], with_fuel, programme_of(with_fuel))
    activity = explained(booked(without)[0], without, programme_of(without))
    assert "emissions = 321600 x 2600000 mg per unit / 1000 = 836160000 mg" in fuel.lines
    assert any(
        line.startswith("emissions = 22400000 kg km x 57000 mg/tkm") for line in activity.lines
    )


def test_a_negative_reduction_is_told_with_its_sign() -> None:
    activity = session(vehicle_class="tractor_heavy", grid_region="CN-HE")
    reduction = booked(activity)[1]
    explanation = explained(reduction, activity, programme_of(activity))
    assert explanation.recomputed_mg == -reduction["amount_mg"]
    assert f"Booked -{reduction['amount_mg']} mg" in explanation.lines[-1]


def hourly_rules() -> Rules:
    start = NOW_MS - 2 * HOUR_MS
    base = replace(
        shipped_factors().factors[0],
        kind="grid_hourly",
        region="CN-BJ",
        subject="electricity",
        boundary="ttw",
        unit="kwh",
    )
    factors = FactorTable.of(
        replace(
            base,
            factor_id=f"hour-{hour}",
            value_mg=100_000 * hour + 1,
            valid_from=start + hour * HOUR_MS,
            valid_to=start + (hour + 1) * HOUR_MS,
        )
        for hour in range(5)
    )
    programme = parse_programme(HOURLY)
    return Rules({"hourly": programme}, factors, FactorNames.of(factors), 1, 35)


def test_an_hourly_session_is_recomputed_from_the_hours_it_touches() -> None:
    by = hourly_rules()
    activity = session(programme="hourly", ended_at=NOW_MS + 2 * HOUR_MS)
    (emission,) = booked(activity, by)
    explanation = explain(emission, activity, by.factors.factors, by.programmes["hourly"])
    assert explanation.agrees
    assert "... and 2 more factors of this series." in explanation.lines


def test_an_hourly_session_without_its_hours_is_not_recomputed_and_says_why() -> None:
    by = hourly_rules()
    activity = session(programme="hourly")
    (emission,) = booked(activity, by)
    explanation = explain(emission, activity, [], by.programmes["hourly"])
    assert (explanation.recomputed_mg, explanation.agrees) == (None, False)
    assert "Recomputing it is refused: factor_not_found." in explanation.lines


def test_a_programme_that_is_gone_is_said_and_nothing_recomputed() -> None:
    activity = session()
    explanation = explained(booked(activity)[1], activity, None)
    assert (explanation.recomputed_mg, explanation.agrees) == (None, False)
    assert "Programme cn-charging is not loaded here: not recomputed." in explanation.lines


def test_a_changed_programme_is_said_and_what_it_gives_today_is_compared() -> None:
    activity = session()
    reduction = booked(activity)[1]
    old = programme_of(activity)
    assert old.charging is not None
    halved = replace(
        old, digest="0" * 16, charging=replace(old.charging, claim_share=Fraction(1, 2))
    )
    explanation = explained(reduction, activity, halved)
    assert (
        f"Booked under parameters {old.digest}, loaded are {halved.digest}: the result may differ."
        in explanation.lines
    )
    assert explanation.recomputed_mg == reduction["amount_mg"] // 2
    assert not explanation.agrees


def test_another_amount_than_the_booked_one_does_not_agree() -> None:
    activity = session()
    emission = booked(activity)[0]
    wrong = {**emission, "amount_mg": emission["amount_mg"] + 1}
    assert not explained(wrong, activity, programme_of(activity)).agrees
