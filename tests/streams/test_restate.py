"""A restatement comes to what the step booked, row by row, and refuses what the step refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.factors import HOW_NAMES
from carbon.refusal import CODES
from schemas.columns import decode
from streams.accounts import Accounts
from streams.restate import Restated, restate
from tests.streams.scene import (
    DAY_MS,
    HOUR_MS,
    NOW_MS,
    RECORD,
    SESSIONS,
    TRIPS,
    Event,
    event,
    part_of,
    refused,
    rules,
    session,
    transfers,
    trip,
    work,
)

FIRST_OFFSET: Final = 70
WORDS: Final = frozenset(
    {"programme", "vehicle_class", "grid_region", "meter_side", "current"}
    | {"energy_carrier", "distance_basis", "origin_region"}
)
CHARGED: Final = st.fixed_dictionaries(
    {
        "programme": st.sampled_from(["cn-charging", "us-fleet", "nowhere", "cn-freight"]),
        "vehicle_class": st.sampled_from(["car", "bus", "tractor_heavy", "ship"]),
        "grid_region": st.sampled_from(["CN-BJ", "CN-GD", "CN", "US", "Atlantis"]),
        "started_at": st.integers(NOW_MS - 800 * DAY_MS, NOW_MS - 2 * HOUR_MS),
        "energy_wh": st.integers(-1, 80_000),
        "meter_side": st.sampled_from(["grid", "dispenser"]),
        "current": st.sampled_from(["ac", "dc"]),
    }
)
DRIVEN: Final = st.fixed_dictionaries(
    {
        "programme": st.sampled_from(["cn-freight", "india-hcv", "nowhere"]),
        "vehicle_class": st.sampled_from(["truck_46t", "truck_2t", "hcv", "car"]),
        "origin_region": st.sampled_from(["CN-JS", "IN", "Atlantis"]),
        "energy_carrier": st.sampled_from(["diesel", "electricity", "coal"]),
        "distance_basis": st.sampled_from(["actual", "sfd"]),
        "cargo_kg": st.integers(-1, 30_000),
        "energy_used": st.none() | st.integers(-3, 400_000),
    }
)


def as_stored(topic: str, events: Sequence[Event]) -> pa.RecordBatch:
    """Return events as the store hands them over: words as dictionaries, and their places."""
    batch = decode(RECORD[topic], [one.value for one in events]).batch
    columns = {
        name: batch.column(name).dictionary_encode() if name in WORDS else batch.column(name)
        for name in batch.schema.names
    }
    count = batch.num_rows
    columns["_partition"] = pa.array(np.zeros(count, np.int32))
    columns["_offset"] = pa.array(np.arange(FIRST_OFFSET, FIRST_OFFSET + count))
    return pa.RecordBatch.from_pydict(columns)


def restated(topic: str, events: Sequence[Event], cut: int) -> list[Restated]:
    """Restate events that are stored in two batches."""
    batch = as_stored(topic, events)
    batches = [batch.slice(0, cut), batch.slice(cut)]
    return list(restate(RECORD[topic], batches, rules().programmes, rules().factors))


def told(parts: Sequence[Restated]) -> dict[tuple[int, str], tuple[Any, ...]]:
    """Return what restated rows say, by offset and quantity, in the words of transfers."""
    found: dict[tuple[int, str], tuple[Any, ...]] = {}
    for part in parts:
        rated = part.rated
        for row, offset in enumerate(part.offset.tolist()):
            if rated.refusal[row]:
                continue
            basis = (
                int(rated.factor_value_mg[row]),
                HOW_NAMES[rated.how[row]],
                int(rated.baseline_mg[row]) if rated.reduces_row[row] else 0,
                int(rated.transport_kg_km[row]),
                rules().factors.factors[rated.factor[row]].factor_id,
            )
            found[offset, "emission"] = (int(rated.emissions_mg[row]), *basis)
            if rated.reduces_row[row]:
                found[offset, "reduction"] = (int(rated.reduction_mg[row]), *basis)
    return found


def codes(parts: Sequence[Restated]) -> list[tuple[int, str]]:
    """Return offset and code of each row that is refused."""
    return [
        (offset, CODES[code])
        for part in parts
        for offset, code in zip(part.offset.tolist(), part.rated.refusal.tolist(), strict=True)
        if code
    ]


def assert_restated_as_booked(topic: str, events: Sequence[Event], cut: int) -> None:
    outcome = work(Accounts(), part_of(events, topic=topic, first_offset=FIRST_OFFSET))
    booked = {
        (each["source_offset"], each["quantity"]): (
            each["amount_mg"] * (1 if each["credit_account"] == each["account_id"] else -1),
            each["factor_value_mg"],
            each["factor_match"],
            each["baseline_mg"],
            each["transport_kg_km"],
            each["factor_id"],
        )
        for each in transfers(outcome)
    }
    parts = restated(topic, events, cut)
    assert told(parts) == booked
    assert codes(parts) == [(FIRST_OFFSET + at, code) for at, code in refused(outcome)]


@given(st.lists(CHARGED, min_size=1, max_size=12), st.integers(0, 12))
def test_sessions_are_restated_as_the_step_booked_or_refused_them(
    changes: list[dict[str, Any]], cut: int
) -> None:
    events = [
        event(
            session(
                session_id=f"S{at}",
                account_id=f"account-{at}",
                ended_at=each["started_at"] + HOUR_MS,
                **each,
            )
        )
        for at, each in enumerate(changes)
    ]
    assert_restated_as_booked(SESSIONS, events, min(cut, len(events)))


@given(st.lists(DRIVEN, min_size=1, max_size=12), st.integers(0, 12))
def test_trips_are_restated_as_the_step_booked_or_refused_them(
    changes: list[dict[str, Any]], cut: int
) -> None:
    events = [
        event(trip(trip_id=f"T{at}", account_id=f"account-{at}", **each))
        for at, each in enumerate(changes)
    ]
    assert_restated_as_booked(TRIPS, events, min(cut, len(events)))


@pytest.mark.parametrize(
    ("change", "booked"),
    [({}, True), ({"revision": 1}, False), ({"reversal_of": "S0"}, False)],
)
def test_what_the_step_refuses_before_it_rates_is_rated_all_the_same(
    change: Mapping[str, object], booked: bool
) -> None:
    events = [event(session(**change))]
    assert bool(work(Accounts(), part_of(events)).booked) == booked
    assert codes(restated(SESSIONS, events, 0)) == []


def test_a_repeat_is_restated_as_often_as_it_is_stored() -> None:
    parts = restated(SESSIONS, [event(session())] * 2, 1)
    assert [len(part) for part in parts] == [1, 1]
    first, second = (part.rated.reduction_mg.tolist() for part in parts)
    assert first == second != [0]


def test_every_row_keeps_its_place() -> None:
    parts = restated(SESSIONS, [event(session(session_id=f"S{at}")) for at in range(5)], 2)
    assert [part.offset.tolist() for part in parts] == [[70, 71], [72, 73, 74]]
    assert [part.partition.tolist() for part in parts] == [[0, 0], [0, 0, 0]]


def test_nothing_stored_is_nothing_restated() -> None:
    assert list(restate("charging_session", [], rules().programmes, rules().factors)) == []
