"""The step: what may be a repeat that its account has forgotten."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from schemas.catalogue import LATE_OF
from streams.accounts import Accounts
from streams.slice import Slice
from tests.streams.scene import (
    DAY_MS,
    HOUR_MS,
    NOW_MS,
    SESSIONS,
    Event,
    event,
    part_of,
    refused,
    rules,
    session,
    sums,
    transfers,
    work,
)


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
