"""Warming up goes the way that slices go, and leaves nothing to be compiled for them."""

from __future__ import annotations

from numba.core.dispatcher import Dispatcher

from schemas import avro_read, avro_write, columns, identity, kernel, partition, records
from schemas.batches import column_batches
from streams import memory, rows
from streams.accounts import Accounts
from streams.warm import warm_up
from tests.streams.scene import TRIPS, Event, event, part_of, restored, session, trip, work
from tests.streams.scene import wire_balances as balances_of

MODULES = (
    avro_read, avro_write, columns, identity, kernel, memory, partition, records, rows,
)  # fmt: skip


def compiled() -> dict[str, int]:
    return {
        f"{module.__name__}.{name}": len(found.signatures)
        for module in MODULES
        for name, found in vars(module).items()
        if isinstance(found, Dispatcher)
    }


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
        outcome = work(accounts, part_of(events, topic=topic))
        values += balances_of(outcome)
        for batch in column_batches(
            "transfer",
            outcome.transfers,
            key="account_id",
            timestamp="recorded_at",
            transactional=True,
        ):
            assert batch.record_count() > 0
    assert len(restored(values)) == 2
    assert compiled() == before
