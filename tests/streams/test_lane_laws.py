"""Laws of the step with late lanes: whenever a lane has its turn, every event is booked once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.catalogue import LATE_OF
from streams.accounts import Accounts
from streams.read import read
from streams.states import SUMS
from streams.step import Outcome
from streams.transfers import EMISSION, transfer_ids
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
    transfers,
    trip,
    work,
)
from tests.streams.test_laws import LAW

ASKING: Final = replace(rules(), late_lane=True)
ACCOUNTS: Final = ("anna", "bert")
SENT: Final = st.lists(
    st.tuples(
        st.sampled_from([SESSIONS, TRIPS]), st.integers(0, 3), st.sampled_from([0, 1, 36, 80])
    ),
    min_size=3,
    max_size=20,
)
PLACES: Final = st.sets(st.integers(0, 19))
FORGOTTEN: Final = [(SESSIONS, 0, 0), (SESSIONS, 1, 36), (SESSIONS, 0, 36), (SESSIONS, 2, 36)]
"""A repeat of what was forgotten, and one that only looks like it."""


@dataclass
class Books:
    """Accounts, what waits in the lanes, and a store that has all that was booked."""

    accounts: Accounts = field(default_factory=Accounts)
    lanes: dict[str, list[tuple[int, Event]]] = field(default_factory=dict)
    made: list[dict[str, Any]] = field(default_factory=list)
    booked: int = 0
    duplicates: int = 0
    late: int = 0

    def work(self, topic: str, events: Sequence[Event], first_offset: int) -> None:
        outcome = work(
            self.accounts, part_of(events, topic=topic, first_offset=first_offset), ASKING
        )
        lane = self.lanes.setdefault(topic, [])
        lane += [(first_offset + at, events[at]) for at in outcome.late.tolist()]
        self.late += len(outcome.late)
        self._note(outcome)

    def turn(self) -> None:
        """Work what waits in the lanes, each as a slice that knows what is booked."""
        for topic, waiting in self.lanes.items():
            if not waiting:
                continue
            part = part_of([one for _, one in waiting], topic=LATE_OF[topic])
            part = replace(part, late_from=np.array([offset for offset, _ in waiting]))
            ids = transfer_ids(read(part).activities, EMISSION).to_pylist()
            known = {one["transfer_id"] for one in self.made}
            stored = np.array([one in known for one in ids], dtype=np.bool_)
            outcome = work(self.accounts, part.knowing(stored), ASKING)
            assert not len(outcome.late)
            self._note(outcome)
            waiting.clear()

    def _note(self, outcome: Outcome) -> None:
        assert refused(outcome) == []
        self.made += transfers(outcome)
        self.booked += outcome.booked
        self.duplicates += outcome.duplicates


def stream_of(sent: Sequence[tuple[str, int, int]]) -> list[tuple[str, Event]]:
    """Return sessions of anna and trips of bert, recorded so many days from now."""
    stream = []
    for topic, number, day in sent:
        ends = NOW_MS + number * DAY_MS // 3
        made = session(session_id=f"S{number}", started_at=NOW_MS - HOUR_MS, ended_at=ends)
        if topic == TRIPS:
            made = trip(trip_id=f"T{number}", departed_at=NOW_MS - HOUR_MS, arrived_at=ends)
        stream.append((topic, event(made, NOW_MS + day * DAY_MS)))
    return stream


def worked(stream: Sequence[tuple[str, Event]], cuts: set[int], turns: set[int]) -> Books:
    """Work a stream, cut into slices, and let the lanes have their turns, at last all of them."""
    books, offset = Books(), Counter[str]()
    waiting: list[Event] = []
    for index, (topic, one) in enumerate(stream):
        waiting.append(one)
        last = index + 1 == len(stream)
        if last or index + 1 in cuts or index in turns or stream[index + 1][0] != topic:
            books.work(topic, waiting, offset[topic])
            offset[topic] += len(waiting)
            waiting = []
        if index in turns:
            books.turn()
    books.turn()
    return books


def sums(books: Books) -> dict[str, dict[str, int]]:
    """Return the sums of each account."""
    found = held(books.accounts, ACCOUNTS)
    return {name: dict(zip(SUMS, one[1], strict=False)) for name, one in found.items()}


def test_the_lane_is_used() -> None:
    books = worked(stream_of(FORGOTTEN), {1, 2}, set())
    assert (books.late, books.booked, books.duplicates) == (2, 3, 1)


@LAW
@example(FORGOTTEN, {1, 2}, {2})
@given(SENT, PLACES, PLACES)
def test_with_lanes_every_event_is_booked_once_and_counted_whenever_they_have_their_turns(
    sent: list[tuple[str, int, int]], cuts: set[int], turns: set[int]
) -> None:
    books = worked(stream_of(sent), cuts, turns)
    wanted = {(topic, f"{'S' if topic == SESSIONS else 'T'}{number}") for topic, number, _ in sent}
    ids = Counter(one["transfer_id"] for one in books.made)
    assert set(ids.values()) == {1}
    assert {(one["source_topic"], one["activity_id"]) for one in books.made} == wanted
    assert (books.booked, books.duplicates) == (len(wanted), len(sent) - len(wanted))
    assert books.duplicates == sum(one["duplicate_count"] for one in sums(books).values())


@LAW
@example(FORGOTTEN, {1, 2}, {2}, set())
@given(SENT, PLACES, PLACES, PLACES)
def test_when_a_lane_has_its_turn_makes_no_difference_to_sums_and_amounts(
    sent: list[tuple[str, int, int]], cuts: set[int], turns: set[int], others: set[int]
) -> None:
    stream = stream_of(sent)
    one, other = worked(stream, cuts, turns), worked(stream, cuts, others)
    assert sums(one) == sums(other)
    amounts = [
        sorted((row["transfer_id"], row["amount_mg"], row["source_topic"]) for row in books.made)
        for books in (one, other)
    ]
    assert amounts[0] == amounts[1]
