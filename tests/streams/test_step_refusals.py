"""The step: what is refused, and by which code."""

from __future__ import annotations

from typing import Any

import pytest

from carbon.limits import FOREVER_MS
from carbon.refusal import REFUSALS
from schemas.partition import partition_of
from schemas.singles import encode_one
from streams.accounts import Accounts
from streams.read import VALUE_BYTES_MAX
from tests.streams.scene import (
    DAY_MS,
    NOW_MS,
    TRIPS,
    Event,
    event,
    held,
    nothing_came_of,
    part_of,
    refused,
    rules,
    session,
    sessions_of,
    trip,
    work,
)


def test_a_value_too_large_to_be_sent_on_is_refused_as_such() -> None:
    large = Event((event(session()).value or b"") + b"x" * VALUE_BYTES_MAX)
    outcome = work(Accounts(), part_of([event(session()), large]))
    assert refused(outcome) == [(1, "too_large")]
    assert outcome.booked == 1


@pytest.mark.parametrize("timestamp_ms", [-1, -(2**63), 2**63 - 1, 2**31 * DAY_MS, FOREVER_MS])
def test_a_record_written_at_an_impossible_time_is_refused_and_leaves_its_account_alone(
    timestamp_ms: int,
) -> None:
    accounts = Accounts()
    work(accounts, sessions_of(session()))
    before = held(accounts, ["anna"])
    late = event(session(session_id="S2"), timestamp_ms)
    outcome = work(accounts, part_of([late], first_offset=1))
    assert refused(outcome) == [(0, "timestamp_invalid")]
    assert held(accounts, ["anna"]) == before
    assert work(accounts, sessions_of(session(), first_offset=2)).duplicates == 1


def test_a_record_of_the_last_instant_of_the_calendar_is_taken() -> None:
    outcome = work(Accounts(), part_of([event(session(), FOREVER_MS - 1)]))
    assert (outcome.booked, refused(outcome)) == (1, [])


def test_what_ends_with_the_year_10000_is_refused() -> None:
    end = session(started_at=FOREVER_MS - 1, ended_at=FOREVER_MS)
    outcome = work(Accounts(), part_of([event(end, FOREVER_MS - 1)]))
    assert refused(outcome) == [(0, "time_invalid")]


WRONG_RECORD = encode_one("freight_trip", trip())


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "not_framed"),
        (b"", "not_framed"),
        (b"{}", "not_framed"),
        (b"\0\0\0\0\x63rest", "unknown_schema"),
        (WRONG_RECORD, "wrong_record"),
        (event(session()).value[:-3], "undecodable"),  # type: ignore[index]
    ],
)
def test_what_is_no_session_is_refused_beside_one_that_is(value: bytes | None, code: str) -> None:
    outcome = work(Accounts(), part_of([Event(value), event(session())]))
    assert refused(outcome) == [(0, code)]
    assert outcome.booked == 1


SESSION_REFUSALS = [
    ("identity_invalid", {"source": "a:b"}),
    ("identity_invalid", {"source": ""}),
    ("identity_invalid", {"session_id": ""}),
    ("identity_invalid", {"account_id": ""}),
    ("identity_invalid", {"session_id": "a\0b"}),
    ("revision_invalid", {"revision": -1}),
    ("original_unknown", {"revision": 1}),
    ("original_unknown", {"reversal_of": "S0"}),
    ("energy_out_of_range", {"energy_wh": -1}),
    ("ended_before_started", {"started_at": NOW_MS}),
    ("too_long", {"started_at": NOW_MS - 33 * DAY_MS}),
    ("ended_in_future", {"ended_at": NOW_MS + DAY_MS + 1}),
    ("programme_unknown", {"programme": "nowhere"}),
    ("activity_not_in_programme", {"programme": "cn-freight"}),
    ("vehicle_class_unknown", {"vehicle_class": "ship"}),
    ("factor_not_found", {"grid_region": "nowhere"}),
]
TRIP_REFUSALS = [
    ("distance_out_of_range", {"distance_m": 0}),
    ("cargo_out_of_range", {"cargo_kg": -1}),
    ("energy_used_out_of_range", {"energy_used": -1}),
    ("energy_carrier_unknown", {"energy_carrier": "coal"}),
    ("ended_in_future", {"arrived_at": NOW_MS + DAY_MS + 1}),
    ("original_unknown", {"reversal_of": "T0"}),
    ("activity_not_in_programme", {"programme": "cn-charging"}),
]


@pytest.mark.parametrize(("code", "changes"), SESSION_REFUSALS)
def test_a_session_is_refused_by_its_code_and_nothing_else_comes_of_it(
    code: str, changes: dict[str, Any]
) -> None:
    outcome = work(Accounts(), sessions_of(session(**changes)))
    assert [(bad.position, bad.code, bad.reason) for bad in outcome.refused] == [
        (0, code, REFUSALS[code])
    ]
    assert nothing_came_of(outcome)


@pytest.mark.parametrize(("code", "changes"), TRIP_REFUSALS)
def test_a_trip_is_refused_by_its_code_and_nothing_else_comes_of_it(
    code: str, changes: dict[str, Any]
) -> None:
    outcome = work(Accounts(), part_of([event(trip(**changes))], topic=TRIPS))
    assert refused(outcome) == [(0, code)]
    assert nothing_came_of(outcome)


def test_an_activity_may_end_up_to_a_day_after_its_record_was_written() -> None:
    ends = session(started_at=NOW_MS, ended_at=NOW_MS + DAY_MS)
    assert work(Accounts(), sessions_of(ends)).booked == 1


def test_a_record_without_identity_is_refused_wherever_it_lies() -> None:
    by = rules(partitions=4)
    away = (partition_of(b"anna", 4) + 1) % 4
    part = part_of([event(session(source=""))], partition=away)
    assert refused(work(Accounts(), part, by)) == [(0, "identity_invalid")]


def test_a_slice_of_broken_records_only_is_refused_whole() -> None:
    outcome = work(Accounts(), part_of([Event(b"broken"), Event(None), Event(b"\0")]))
    assert refused(outcome) == [(0, "not_framed"), (1, "not_framed"), (2, "not_framed")]
    assert nothing_came_of(outcome)


def test_refusals_come_in_order_of_position_whoever_refused() -> None:
    events = [event(session(energy_wh=-1)), Event(b"broken"), event(session(source=""))]
    outcome = work(Accounts(), part_of(events))
    assert refused(outcome) == [
        (0, "energy_out_of_range"),
        (1, "not_framed"),
        (2, "identity_invalid"),
    ]
