"""The step: what is booked, what is a repeat, what is refused and by which code."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from carbon.limits import FOREVER_MS
from carbon.refusal import REFUSALS
from schemas.catalogue import LATE_OF
from schemas.columns import arrow_schema
from schemas.partition import partition_of
from schemas.singles import encode_one
from streams.accounts import Accounts
from streams.read import VALUE_BYTES_MAX, read
from streams.slice import Slice
from streams.states import SUMS
from streams.step import Outcome, step
from tests.streams.scene import (
    DAY_MS,
    HOUR_MS,
    NOW_MS,
    SESSIONS,
    TRIPS,
    Event,
    event,
    held,
    part_of,
    refused,
    rules,
    session,
    sessions_of,
    transfers,
    trip,
    work,
)


def sums(accounts: Accounts, name: str) -> dict[str, int]:
    return dict(zip(SUMS, held(accounts, [name])[name][1], strict=False))


def test_a_session_becomes_an_emission_and_a_reduction_with_every_field_filled() -> None:
    outcome = work(Accounts(), sessions_of(session(), first_offset=7))
    emission, reduction = transfers(outcome)
    assert emission == {
        "transfer_id": "charging:test:S1:0:emission:0",
        "debit_account": "cn-charging:emission",
        "credit_account": "anna",
        "account_id": "anna",
        "amount_mg": 11_108_000,
        "kind": "accrual",
        "quantity": "emission",
        "activity": "charging",
        "source": "test",
        "activity_id": "S1",
        "revision": 0,
        "programme": "cn-charging",
        "programme_digest": rules().programmes["cn-charging"].digest,
        "region": "CN-BJ",
        "vehicle_class": "car",
        "method": "charging-emission/1",
        "baseline_mg": 24_648_000,
        "emissions_mg": 11_108_000,
        "energy_wh": 20_000,
        "distance_m": 0,
        "transport_kg_km": 0,
        "factor_id": emission["factor_id"],
        "factor_release": "2026.1",
        "factor_value_mg": 555_400,
        "factor_match": "exact",
        "booked_at": NOW_MS - HOUR_MS,
        "recorded_at": NOW_MS,
        "source_topic": "charging-sessions",
        "source_partition": 0,
        "source_offset": 7,
    }
    assert sorted(emission) == sorted(arrow_schema("transfer").names)
    assert reduction == {
        **emission,
        "transfer_id": "charging:test:S1:0:reduction:0",
        "debit_account": "cn-charging:issuance",
        "amount_mg": 24_648_000 - 11_108_000,
        "quantity": "reduction",
        "method": "charging-reduction/1",
    }


def test_a_trip_becomes_an_emission_and_a_reduction() -> None:
    outcome = work(Accounts(), part_of([event(trip())], topic=TRIPS))
    emission, reduction = transfers(outcome)
    assert (emission["method"], emission["amount_mg"]) == ("freight-emission-energy/1", 836_160_000)
    assert (reduction["method"], reduction["amount_mg"]) == ("freight-reduction/1", 352_512_000)
    assert (emission["distance_m"], emission["transport_kg_km"]) == (840_000, 22_400_000)
    assert (emission["energy_wh"], emission["activity"]) == (0, "freight")
    assert (emission["region"], emission["source_topic"]) == ("CN-JS", "freight-trips")


def test_a_negative_reduction_goes_back_to_the_issuance_account() -> None:
    accounts = Accounts()
    dirty = session(vehicle_class="tractor_heavy", grid_region="CN-HE")
    reduction = transfers(work(accounts, sessions_of(dirty)))[1]
    assert reduction["amount_mg"] > 0
    assert (reduction["debit_account"], reduction["credit_account"]) == (
        "anna",
        "cn-charging:issuance",
    )
    assert sums(accounts, "anna")["reduction_mg"] == -reduction["amount_mg"]


def test_a_programme_without_reductions_makes_one_transfer() -> None:
    programme = rules().programmes["india-hcv"]
    assert programme.freight is not None
    assert programme.freight.claim_share is None
    known = trip(
        programme="india-hcv",
        vehicle_class=programme.freight.classes[0],
        origin_region="IN",
        energy_used=None,
        data_grade="default",
    )
    accounts = Accounts()
    outcome = work(accounts, part_of([event(known)], topic=TRIPS))
    assert [one["quantity"] for one in transfers(outcome)] == ["emission"]
    assert sums(accounts, "bert")["transfer_count"] == 1


def test_a_balance_is_the_sum_of_what_was_booked() -> None:
    accounts = Accounts()
    work(accounts, sessions_of(session(), session(session_id="S2", energy_wh=10_000)))
    work(accounts, part_of([event(trip(account_id="anna"))], topic=TRIPS))
    assert sums(accounts, "anna") == {
        "reduction_mg": (24_648_000 - 11_108_000) * 3 // 2,
        "emissions_mg": 11_108_000 * 3 // 2,
        "energy_wh": 30_000,
        "distance_m": 0,
        "transport_kg_km": 0,
        "session_count": 2,
        "trip_count": 0,
        "transfer_count": 4,
        "duplicate_count": 0,
    }


def test_a_repeat_within_the_slice_is_counted_and_not_booked() -> None:
    accounts = Accounts()
    outcome = work(accounts, sessions_of(session(), session(), session()))
    assert (outcome.booked, outcome.duplicates, outcome.transfers.num_rows) == (1, 2, 2)
    assert sums(accounts, "anna")["duplicate_count"] == 2


def test_a_repeat_of_an_earlier_slice_is_counted_and_not_booked() -> None:
    accounts = Accounts()
    work(accounts, sessions_of(session()))
    before = sums(accounts, "anna")
    outcome = work(accounts, sessions_of(session(), first_offset=1))
    assert (outcome.booked, outcome.duplicates, outcome.transfers.num_rows) == (0, 1, 0)
    assert sums(accounts, "anna") == {**before, "duplicate_count": 1}


@pytest.mark.parametrize("together", [True, False])
def test_a_repeat_is_a_repeat_whatever_else_has_become_of_it(together: bool) -> None:
    accounts = Accounts()
    events = [session(), session(energy_wh=-1), session(programme="nowhere"), session()]
    if together:
        outcomes = [work(accounts, sessions_of(*events))]
    else:
        outcomes = [work(accounts, sessions_of(one)) for one in events]
    assert sum(outcome.duplicates for outcome in outcomes) == 3
    assert [refused(outcome) for outcome in outcomes] == [[]] * len(outcomes)


def test_an_event_that_was_refused_first_may_come_again_and_be_booked() -> None:
    outcome = work(Accounts(), sessions_of(session(energy_wh=-1), session(), session()))
    assert refused(outcome) == [(0, "energy_out_of_range")]
    assert (outcome.booked, outcome.duplicates) == (1, 1)


def test_a_session_and_a_trip_of_one_source_with_one_id_are_different_events() -> None:
    accounts = Accounts()
    charged = work(accounts, sessions_of(session(source="one", session_id="1")))
    moved_by = trip(source="one", trip_id="1", account_id="bert")
    moved = work(accounts, part_of([event(moved_by)], topic=TRIPS))
    assert (charged.booked, moved.booked) == (1, 1)
    ids = {one["transfer_id"] for one in transfers(charged) + transfers(moved)}
    assert len(ids) == 4


def test_only_its_own_account_remembers_an_event_whoever_shares_the_partition() -> None:
    accounts = Accounts()
    work(accounts, sessions_of(session(account_id="anna")))
    again = work(accounts, sessions_of(session(account_id="bo")))
    assert (again.booked, again.duplicates) == (1, 0)


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


def test_equal_ids_of_different_sources_are_different_events() -> None:
    outcome = work(Accounts(), sessions_of(session(), session(source="other")))
    assert (outcome.booked, outcome.duplicates) == (2, 0)


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


def nothing_came_of(outcome: Outcome) -> bool:
    return (outcome.booked, outcome.duplicates, outcome.transfers.num_rows) == (0, 0, 0) and not (
        len(outcome.change) or len(outcome.astray)
    )


def test_an_activity_may_end_up_to_a_day_after_its_record_was_written() -> None:
    ends = session(started_at=NOW_MS, ended_at=NOW_MS + DAY_MS)
    assert work(Accounts(), sessions_of(ends)).booked == 1


@pytest.mark.parametrize("together", [True, False])
def test_an_account_belongs_to_the_programme_of_its_first_booked_activity(together: bool) -> None:
    accounts = Accounts()
    events = [
        session(energy_wh=-1, programme="us-fleet"),
        session(session_id="S2"),
        session(session_id="S3", programme="us-fleet", grid_region="US"),
        session(session_id="S4"),
    ]
    if together:
        codes = refused(work(accounts, sessions_of(*events)))
    else:
        codes = [
            (position, bad.code)
            for position, one in enumerate(events)
            for bad in work(accounts, sessions_of(one)).refused
        ]
    assert codes == [(0, "energy_out_of_range"), (2, "account_in_other_programme")]
    assert sums(accounts, "anna")["session_count"] == 2


def test_a_record_in_the_wrong_partition_is_neither_booked_nor_refused_but_put_right() -> None:
    by = rules(partitions=4)
    home = partition_of(b"anna", 4)
    away = (home + 1) % 4
    outcome = work(Accounts(), part_of([event(session())], partition=away), by)
    assert nothing_came_of(outcome) is False
    assert (outcome.astray.tolist(), outcome.astray_accounts) == ([0], ["anna"])
    assert (outcome.booked, outcome.duplicates, refused(outcome)) == (0, 0, [])
    assert work(Accounts(), part_of([event(session())], partition=home), by).booked == 1


def test_a_record_without_identity_is_refused_wherever_it_lies() -> None:
    by = rules(partitions=4)
    away = (partition_of(b"anna", 4) + 1) % 4
    part = part_of([event(session(source=""))], partition=away)
    assert refused(work(Accounts(), part, by)) == [(0, "identity_invalid")]


@pytest.mark.parametrize("ended_after_record_ms", [-HOUR_MS, DAY_MS])
def test_a_repeat_that_memory_has_forgotten_is_refused_and_never_booked_again(
    ended_after_record_ms: int,
) -> None:
    accounts = Accounts()
    first = session(ended_at=NOW_MS + ended_after_record_ms)
    work(accounts, part_of([event(first)]))
    later = NOW_MS + 40 * DAY_MS
    fresh = session(session_id="S2", started_at=later - HOUR_MS, ended_at=later)
    work(accounts, part_of([event(fresh, later)]))
    again = work(accounts, part_of([event(first, later)]))
    assert refused(again) == [(0, "late_beyond_memory")]


def late_of(topic: str, *events: Event, stored: list[bool]) -> Slice:
    """Return the slice of a late lane, of originals at offsets 70 and on."""
    part = part_of(events, topic=LATE_OF[topic], first_offset=5)
    return replace(part, late_from=part.offsets + 65, stored=np.array(stored))


LATER_MS = NOW_MS + 40 * DAY_MS
LANE = replace(rules(), late_lane=True)


def later(**changes: object) -> Event:
    """Return the event of a session that happened when it was recorded, forty days later."""
    return event(session(started_at=LATER_MS, ended_at=LATER_MS, **changes), LATER_MS)


def forgetful() -> Accounts:
    """Return accounts of which anna has forgotten the session S1."""
    accounts = Accounts()
    work(accounts, part_of([event(session())]))
    work(accounts, part_of([later(session_id="S2")]))
    assert sums(accounts, "anna")["session_count"] == 2
    return accounts


def test_with_a_late_lane_what_may_be_a_forgotten_repeat_is_put_there_and_nothing_else() -> None:
    accounts = forgetful()
    before = sums(accounts, "anna")
    events = [
        event(session(session_id="S3"), LATER_MS),
        later(session_id="S4"),
        event(session(), LATER_MS),
        event(session(session_id="S5", energy_wh=-1), LATER_MS),
        event(session(account_id="bert"), LATER_MS),
    ]
    outcome = work(accounts, part_of(events), LANE)
    assert outcome.late.tolist() == [0, 2]
    assert (outcome.booked, outcome.duplicates) == (2, 0)
    assert refused(outcome) == [(3, "energy_out_of_range")]
    assert sums(accounts, "anna")["session_count"] == before["session_count"] + 1


def test_late_events_are_repeats_where_the_store_has_them_and_booked_where_not() -> None:
    accounts = forgetful()
    events = [
        event(session(), LATER_MS),
        event(session(session_id="S3"), LATER_MS),
        event(session(session_id="S3"), LATER_MS),
    ]
    part = late_of(SESSIONS, *events, stored=[True, False, False])
    outcome = work(accounts, part, LANE)
    assert (outcome.booked, outcome.duplicates, outcome.late.tolist()) == (1, 2, [])
    places = {(t["source_topic"], t["source_offset"]) for t in transfers(outcome)}
    assert places == {(SESSIONS, 71)}
    assert work(accounts, part, LANE).duplicates == 3


def test_a_slice_of_a_late_lane_that_nobody_asked_about_is_not_worked() -> None:
    part = replace(late_of(SESSIONS, event(session()), stored=[False]), stored=None)
    with pytest.raises(ValueError, match="the store was not asked"):
        work(forgetful(), part, LANE)


def test_a_late_event_of_an_account_that_has_forgotten_nothing_is_booked() -> None:
    accounts = Accounts()
    later = NOW_MS + 40 * DAY_MS
    assert work(accounts, part_of([event(session(), later)])).booked == 1


def test_a_slice_of_broken_records_only_is_refused_whole() -> None:
    outcome = work(Accounts(), part_of([Event(b"broken"), Event(None), Event(b"\0")]))
    assert refused(outcome) == [(0, "not_framed"), (1, "not_framed"), (2, "not_framed")]
    assert nothing_came_of(outcome)


def test_no_records_lead_to_nothing() -> None:
    outcome = work(Accounts(), part_of([]))
    assert nothing_came_of(outcome)
    assert outcome.refused == []


def test_refusals_come_in_order_of_position_whoever_refused() -> None:
    events = [event(session(energy_wh=-1)), Event(b"broken"), event(session(source=""))]
    outcome = work(Accounts(), part_of(events))
    assert refused(outcome) == [
        (0, "energy_out_of_range"),
        (1, "not_framed"),
        (2, "identity_invalid"),
    ]


def test_the_step_changes_no_account_before_its_change_is_applied() -> None:
    accounts = Accounts()
    work(accounts, sessions_of(session()))
    before = held(accounts, ["anna", "carl"])
    part = sessions_of(session(session_id="S2"), session(account_id="carl"))
    step(read(part), accounts, rules())
    assert held(accounts, ["anna", "carl"]) == before
