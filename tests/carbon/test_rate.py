"""Rating: every refusal is reachable, every way to match is taken, columns equal single rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon.explain import rate_one
from carbon.factors import ANNUAL_FOR_HOURLY, EARLIER_PERIOD, PARENT_REGION, Factor, FactorTable
from carbon.limits import (
    CARGO_KG_MAX,
    DISTANCE_M_MAX,
    ENERGY_USED_MAX,
    ENERGY_WH_MAX,
    SESSION_MS_MAX,
)
from carbon.programmes import Programme, parse_programme
from carbon.rate import METHODS, Rated, Sessions, Trips, Words, rate_charging, rate_freight
from carbon.refusal import ACCEPTED, CODES
from carbon.series import NONE

HOUR_MS = 3_600_000
T0_MS = 1_700_000_000_000
T1_MS = T0_MS + 100 * HOUR_MS

PROGRAMME = """
name = "p"
title = "A programme with both kinds of activity"
boundary = "ttw"
source = "made up"
[charging]
grid = "GRID"
classes = ["car", "bus"]
dc_dispenser_efficiency = "0.923"
transmission_loss = "0.04"
[charging.reduction]
claim_share = "0.9"
[charging.reduction.baseline.car]
fuel_per_100 = "7.8"
energy_per_100 = "15"
fuel_mg_per_unit = 2370000
[charging.reduction.baseline.car-dc]
fuel_per_100 = "8.1"
energy_per_100 = "15"
fuel_mg_per_unit = 2370000
[charging.reduction.baseline.bus]
fuel_per_100 = "32"
energy_per_100 = "100"
fuel_mg_per_unit = 2600000
improvement = "0.99"
improvement_from_year = 2018
[freight]
classes = ["truck", "van"]
[freight.reduction]
claim_share = "0.8"
baseline_mg_per_tkm = { truck = 57000, van = 286000 }
"""
INVENTORY = """
name = "inventory"
title = "Emissions only"
boundary = "ttw"
source = "made up"
"""


def programme(grid: str = "hourly_else_annual") -> Programme:
    return parse_programme(PROGRAMME.replace("GRID", grid))


def factor(kind: str, region: str, subject: str, unit: str, value_mg: int, **other: Any) -> Factor:
    told: dict[str, Any] = {
        "factor_id": f"{kind}:{region}:{subject}:{other.get('valid_from', T0_MS)}",
        "boundary": "ttw",
        "gas": "co2",
        "valid_from": T0_MS,
        "valid_to": T1_MS,
        "release": "test",
        **dict.fromkeys(("publisher", "publication", "url", "licence", "evidence"), "user"),
    }
    named = {"kind": kind, "region": region, "subject": subject, "unit": unit}
    return Factor(**{**told, **named, "value_mg": value_mg, **other})


TABLE = FactorTable.of(
    [
        factor("grid_average", "CN-NORTH", "electricity", "kwh", 712_000),
        factor("grid_average", "CN", "electricity", "kwh", 581_000),
        *(
            factor(
                "grid_hourly",
                "CN-BJ",
                "electricity",
                "kwh",
                600_000 + 1000 * hour,
                valid_from=T0_MS + hour * HOUR_MS,
                valid_to=T0_MS + (hour + 1) * HOUR_MS,
            )
            for hour in range(10)
        ),
        factor("fuel", "CN", "diesel", "l", 2_600_000),
        factor("fuel", "CN", "lng", "kg", 2_750_000),
        factor("freight_intensity", "CN", "truck.diesel", "tkm", 57_000),
        factor("freight_intensity", "CN-NORTH", "truck.diesel", "tkm", 61_000),
        factor("freight_intensity", "CN", "truck.electricity", "tkm", 40_000),
        factor("freight_intensity", "CN", "van.diesel", "tkm", 286_000),
    ]
)

SESSION: Mapping[str, Any] = {
    "energy_wh": 20_000,
    "started_at": T0_MS + HOUR_MS // 2,
    "ended_at": T0_MS + 3 * HOUR_MS,
    "grid_region": "CN-BJ",
    "vehicle_class": "car",
    "meter_side": "grid",
    "current": "ac",
}
TRIP: Mapping[str, Any] = {
    "departed_at": T0_MS,
    "arrived_at": T0_MS + 20 * HOUR_MS,
    "distance_m": 840_000,
    "distance_basis": "actual",
    "cargo_kg": 28_000,
    "empty_distance_m": 0,
    "energy_used": None,
    "origin_region": "CN-BJ",
    "vehicle_class": "truck",
    "energy_carrier": "diesel",
}


def charged(grid: str = "hourly_else_annual", **changes: Any) -> Rated:
    return rate_one("charging", {**SESSION, **changes}, programme(grid), TABLE)


def driven(**changes: Any) -> Rated:
    return rate_one("freight", {**TRIP, **changes}, programme(), TABLE)


def code(rated: Rated) -> str:
    return CODES[int(rated.refusal[0])]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"energy_wh": -1}, "energy_out_of_range"),
        ({"energy_wh": ENERGY_WH_MAX + 1}, "energy_out_of_range"),
        ({"energy_wh": ENERGY_WH_MAX}, ""),
        ({"energy_wh": 0}, ""),
        ({"ended_at": T0_MS}, "ended_before_started"),
        ({"ended_at": SESSION["started_at"]}, ""),
        ({"ended_at": SESSION["started_at"] + SESSION_MS_MAX + 1}, "too_long"),
        ({"vehicle_class": "ship"}, "vehicle_class_unknown"),
        ({"grid_region": "WORLD"}, "factor_not_found"),
    ],
)
def test_a_session_is_refused_with_its_code(changes: dict[str, Any], expected: str) -> None:
    assert code(charged(**changes)) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"arrived_at": T0_MS - 1}, "ended_before_started"),
        ({"arrived_at": T0_MS + SESSION_MS_MAX + 1}, "too_long"),
        ({"arrived_at": T0_MS + SESSION_MS_MAX}, ""),
        ({"distance_m": 0}, "distance_out_of_range"),
        ({"distance_m": DISTANCE_M_MAX + 1}, "distance_out_of_range"),
        ({"distance_m": DISTANCE_M_MAX}, ""),
        ({"empty_distance_m": -1}, "distance_out_of_range"),
        ({"empty_distance_m": DISTANCE_M_MAX + 1}, "distance_out_of_range"),
        ({"cargo_kg": -1}, "cargo_out_of_range"),
        ({"cargo_kg": CARGO_KG_MAX + 1}, "cargo_out_of_range"),
        ({"cargo_kg": 0}, "cargo_out_of_range"),
        ({"cargo_kg": 0, "energy_used": 1}, ""),
        ({"energy_used": -2}, "energy_used_out_of_range"),
        ({"energy_used": ENERGY_USED_MAX + 1}, "energy_used_out_of_range"),
        ({"energy_used": ENERGY_USED_MAX}, ""),
        ({"vehicle_class": "car"}, "vehicle_class_unknown"),
        ({"energy_carrier": "coal", "energy_used": 1}, "energy_carrier_unknown"),
        ({"energy_carrier": "coal"}, "factor_not_found"),
        ({"origin_region": "US"}, "factor_not_found"),
    ],
)
def test_a_trip_is_refused_with_its_code(changes: dict[str, Any], expected: str) -> None:
    assert code(driven(**changes)) == expected


@pytest.mark.parametrize(("kind", "activity"), [("charging", SESSION), ("freight", TRIP)])
def test_a_programme_without_a_method_for_it_refuses_the_activity(
    kind: str, activity: Mapping[str, Any]
) -> None:
    rated = rate_one(kind, activity, parse_programme(INVENTORY), TABLE)
    assert code(rated) == "activity_not_in_programme"


def test_what_is_refused_has_no_amounts() -> None:
    rated = driven(origin_region="US")
    amounts = (rated.emissions_mg, rated.baseline_mg, rated.reduction_mg, rated.transport_kg_km)
    assert [int(amount[0]) for amount in amounts] == [0, 0, 0, 0]
    assert rated.factor[0] == NONE


def test_the_first_reason_to_refuse_is_the_one_that_is_told() -> None:
    assert code(charged(energy_wh=-1, ended_at=0, vehicle_class="ship")) == "energy_out_of_range"


def test_annual_takes_the_average_of_the_parent_region() -> None:
    rated = charged("annual")
    assert (int(rated.factor_value_mg[0]), int(rated.how[0])) == (712_000, PARENT_REGION)


def test_hourly_takes_the_exact_mean_over_the_session() -> None:
    rated = charged("hourly", meter_side="grid", energy_wh=24_000)
    # Half an hour at 600 000, then an hour each at 601 000 and 602 000, grossed up by 1/0.96.
    assert int(rated.factor_value_mg[0]) == 601_200
    assert int(rated.emissions_mg[0]) == 601_200 * 24 * 100 // 96
    assert int(rated.how[0]) == 0


def test_hourly_refuses_a_session_that_its_series_does_not_cover() -> None:
    assert code(charged("hourly", ended_at=T0_MS + 11 * HOUR_MS)) == "factor_not_found"


def test_hourly_else_annual_takes_the_average_where_an_hour_is_missing_and_says_so() -> None:
    rated = charged(ended_at=T0_MS + 11 * HOUR_MS)
    assert int(rated.factor_value_mg[0]) == 712_000
    assert int(rated.how[0]) == ANNUAL_FOR_HOURLY | PARENT_REGION


def test_hourly_else_annual_refuses_where_neither_is_found_and_claims_no_match() -> None:
    rated = charged(grid_region="US")
    assert (code(rated), int(rated.how[0])) == ("factor_not_found", 0)


def test_a_later_session_takes_the_average_of_the_earlier_period() -> None:
    late = {"started_at": T1_MS, "ended_at": T1_MS + HOUR_MS}
    assert int(charged("annual", **late).how[0]) == EARLIER_PERIOD | PARENT_REGION


def test_losses_raise_the_emissions_of_a_dc_charger_metered_at_the_dispenser_only() -> None:
    def emitted(side: str, current: str) -> int:
        return int(charged("annual", meter_side=side, current=current).emissions_mg[0])

    plain = round(20_000 * 712_000 / 1000 / 0.96)
    assert emitted("grid", "ac") == emitted("grid", "dc") == emitted("dispenser", "ac") == plain
    assert emitted("dispenser", "dc") == round(20_000 * 712_000 / 1000 / 0.96 / 0.923)


def test_a_dc_session_has_the_baseline_of_its_class_on_dc_where_there_is_one() -> None:
    assert int(charged(current="dc").baseline_mg[0]) == 20_000 * 1_279_800 // 1000
    assert int(charged().baseline_mg[0]) == 20_000 * 1_232_400 // 1000
    bus_ac, bus_dc = charged(vehicle_class="bus"), charged(vehicle_class="bus", current="dc")
    assert bus_ac.baseline_mg[0] == bus_dc.baseline_mg[0]


def test_a_trip_with_fuel_emits_its_fuel() -> None:
    rated = driven(energy_used=321_600)
    assert int(rated.emissions_mg[0]) == 836_160_000
    assert METHODS[rated.method[0]] == "freight-emission-energy/1"
    assert TABLE.factors[rated.factor[0]].subject == "diesel"


def test_a_trip_with_electricity_emits_by_the_average_grid_of_its_origin() -> None:
    rated = driven(energy_carrier="electricity", energy_used=1_000_000)
    assert int(rated.emissions_mg[0]) == 712_000_000
    assert TABLE.factors[rated.factor[0]].kind == "grid_average"


def test_a_trip_without_fuel_emits_by_the_intensity_of_its_class_and_carrier() -> None:
    rated = driven()
    assert TABLE.factors[rated.factor[0]].region == "CN-NORTH"
    assert int(rated.emissions_mg[0]) == 22_400 * 61_000
    assert METHODS[rated.method[0]] == "freight-emission-activity/1"


def test_a_computed_distance_counts_whole_and_a_driven_one_by_20_in_21() -> None:
    assert int(driven(distance_basis="sfd").transport_kg_km[0]) == 28_000 * 840
    assert int(driven(distance_basis="actual").transport_kg_km[0]) == 28_000 * 800


def test_no_columns_are_no_results() -> None:
    empty, nothing = np.zeros(0, dtype=np.int64), Words(np.zeros(0, dtype=np.int32), ())
    truth = np.zeros(0, dtype=np.bool_)
    sessions = Sessions(empty, empty, empty, nothing, nothing, truth, truth)
    trips = Trips(empty, empty, empty, truth, empty, empty, empty, nothing, nothing, nothing)
    assert len(rate_charging(sessions, programme(), TABLE).refusal) == 0
    assert len(rate_freight(trips, programme(), TABLE).refusal) == 0


LAW = settings(deadline=None, max_examples=60)  # The machine is shared: no time of ours is sure.
INT64 = st.integers(-(2**63), 2**63 - 1)
REGIONS = st.sampled_from(["CN-BJ", "CN-NORTH", "CN-GD", "CN", "US"])
INSTANTS = st.integers(T0_MS - 5 * HOUR_MS, T1_MS + 5 * HOUR_MS)
SESSIONS = st.fixed_dictionaries(
    {
        "energy_wh": st.integers(-1, ENERGY_WH_MAX + 1) | INT64,
        "started_at": INSTANTS | INT64,
        "ended_at": INSTANTS | INT64,
        "grid_region": REGIONS,
        "vehicle_class": st.sampled_from(["car", "bus", "ship"]),
        "meter_side": st.sampled_from(["grid", "dispenser"]),
        "current": st.sampled_from(["ac", "dc"]),
    }
)
TRIPS = st.fixed_dictionaries(
    {
        "departed_at": INSTANTS | INT64,
        "arrived_at": INSTANTS | INT64,
        "distance_m": st.integers(0, DISTANCE_M_MAX) | INT64,
        "distance_basis": st.sampled_from(["actual", "sfd"]),
        "cargo_kg": st.integers(0, CARGO_KG_MAX) | INT64,
        "empty_distance_m": st.integers(0, 10) | INT64,
        "energy_used": st.none()
        | st.integers(0, ENERGY_USED_MAX)
        | INT64.filter(lambda n: n != -1),
        "origin_region": REGIONS,
        "vehicle_class": st.sampled_from(["truck", "van", "car"]),
        "energy_carrier": st.sampled_from(["diesel", "lng", "electricity", "coal"]),
    }
)


def words(rows: Sequence[Mapping[str, Any]], name: str) -> Words:
    vocabulary = tuple(dict.fromkeys(row[name] for row in rows))
    codes = np.array([vocabulary.index(row[name]) for row in rows], dtype=np.int32)
    return Words(codes, vocabulary)


def numbers(rows: Sequence[Mapping[str, Any]], name: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array([-1 if row[name] is None else row[name] for row in rows], dtype=np.int64)


def equals(
    rows: Sequence[Mapping[str, Any]], name: str, value: str
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.array([row[name] == value for row in rows])


def assert_columns_equal_singles(
    together: Rated, kind: str, rows: Sequence[Mapping[str, Any]], grid: str
) -> None:
    for index, row in enumerate(rows):
        alone = rate_one(kind, row, programme(grid), TABLE)
        for field in fields(Rated):
            found, wanted = getattr(together, field.name)[index], getattr(alone, field.name)[0]
            assert found == wanted, (field.name, row)
        assert (alone.refusal[0] == ACCEPTED) <= (alone.factor[0] != NONE)


@LAW
@given(
    st.lists(SESSIONS, min_size=1, max_size=12), st.sampled_from(["annual", "hourly_else_annual"])
)
def test_sessions_rated_together_are_what_each_is_alone_whatever_their_numbers(
    rows: list[dict[str, Any]], grid: str
) -> None:
    sessions = Sessions(
        energy_wh=numbers(rows, "energy_wh"),
        started_at=numbers(rows, "started_at"),
        ended_at=numbers(rows, "ended_at"),
        grid_region=words(rows, "grid_region"),
        vehicle_class=words(rows, "vehicle_class"),
        dispenser=equals(rows, "meter_side", "dispenser"),
        dc=equals(rows, "current", "dc"),
    )
    together = rate_charging(sessions, programme(grid), TABLE)
    assert_columns_equal_singles(together, "charging", rows, grid)


@LAW
@given(st.lists(TRIPS, min_size=1, max_size=12))
def test_trips_rated_together_are_what_each_is_alone_whatever_their_numbers(
    rows: list[dict[str, Any]],
) -> None:
    trips = Trips(
        departed_at=numbers(rows, "departed_at"),
        arrived_at=numbers(rows, "arrived_at"),
        distance_m=numbers(rows, "distance_m"),
        driven=equals(rows, "distance_basis", "actual"),
        cargo_kg=numbers(rows, "cargo_kg"),
        empty_distance_m=numbers(rows, "empty_distance_m"),
        energy_used=numbers(rows, "energy_used"),
        origin_region=words(rows, "origin_region"),
        vehicle_class=words(rows, "vehicle_class"),
        energy_carrier=words(rows, "energy_carrier"),
    )
    together = rate_freight(trips, programme(), TABLE)
    assert_columns_equal_singles(together, "freight", rows, "hourly_else_annual")
