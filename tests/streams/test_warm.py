"""Warming up goes the way that slices go, and leaves nothing to be compiled for them."""

from __future__ import annotations

import sys

from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from numba.core.dispatcher import Dispatcher

from streams.accounts import Accounts
from streams.delivery import composed, messages_of_refusals
from streams.slice import Slice
from streams.warm import warm_up
from tests.streams.scene import TRIPS, Event, event, restored, session, trip, work
from tests.streams.scene import wire_balances as balances_of
from tests.wire import fetched_from


def compiled() -> dict[str, int]:
    return {
        f"{name}.{function}": len(found.signatures)
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] in ("carbon", "schemas", "streams")
        for function, found in vars(module).items()
        if isinstance(found, Dispatcher)
    }


def fetched(events: list[Event], topic: str) -> Slice:
    """Return the slice of a fetched batch, whose records have a header each."""
    builder = _DefaultRecordBatchBuilderPy(2, 0, False, -1, -1, 0, 1 << 20)
    for at, one in enumerate(events):
        builder.append(at, one.timestamp_ms, one.key, one.value, [("sent_by", b"somebody")])
    records = fetched_from(builder.build())
    return Slice.of(topic, 0, records)


def test_the_second_time_a_warm_up_recognises_its_own_event() -> None:
    assert (warm_up().booked, warm_up().duplicates) == (0, 1)


def test_nothing_is_left_to_compile_after_a_warm_up() -> None:
    warm_up()
    before = compiled()
    accounts = Accounts()
    values = []
    for topic, events in (
        ("charging-sessions", [event(session()), event(session()), Event(b"broken"), Event(None)]),
        (TRIPS, [event(trip()), event(trip(trip_id="沪A-2", energy_used=None))]),
    ):
        part = fetched(events, topic)
        outcome = work(accounts, part)
        values += balances_of(outcome)
        assert all(batch.record_count() for batches in composed(outcome) for batch in batches)
        assert len(list(messages_of_refusals(part, outcome))) == len(outcome.refused)
    assert len(restored(values)) == 2
    assert compiled() == before
