"""Mutations: ways to get it wrong, each of which a simulation must find.

Each takes away or turns round one thing that the guarantees rest on, in the real code or in how the
broker treats it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from typing import Any, Final
from unittest.mock import patch

import numpy as np
import pyarrow as pa

from carbon.exact import BoolArray
from streams import delivery, step
from streams.accounts import Accounts
from streams.book import Book, _committed
from streams.lookup import Lookup
from streams.memory import Memory
from streams.restore import restore
from streams.slice import Slice
from streams.step import Outcome
from tests.simulation.broker import Broker, Transaction
from tests.simulation.clients import Consumer

WITHOUT_LATE = step._without_late


def _let_in_without_fence(broker: Broker, name: str) -> tuple[int, int]:
    known = broker._transactions.setdefault(name, Transaction(len(broker._transactions), epoch=0))
    return known.producer, known.epoch


def _whole(part: Slice, _offset: int) -> Slice:
    return replace(part, begin=None)


class _RestoredFirst(Book):
    """A book that is restored before the former owner is fenced."""

    @classmethod
    async def open(cls, settings: Any, partition: int, breaker: Any, *, partitions: int) -> Book:
        accounts, _ = await restore(settings, partition, partitions)
        committed = await _committed(settings, partition)
        book = await Book.open(settings, partition, breaker, partitions=partitions)
        book.accounts = accounts
        book.next_offset = {topic: max(offset, 0) for topic, offset in committed.items()}
        return book


async def _committed_before_sent(
    producer: Any,
    settings: Any,
    group_id: str,
    part: Slice,
    outcome: Outcome,
    partitions: int,
    **beside: Any,
) -> int | None:
    """Commit the offset, and what it stands for in a transaction after it."""
    nothing = replace(
        outcome,
        transfers=outcome.transfers.slice(0, 0),
        change=Accounts().read(pa.array([], pa.string())),
        refused=[],
        astray=outcome.astray[:0],
        astray_accounts=[],
    )
    await delivery.deliver(producer, settings, group_id, part, nothing, partitions, **beside)
    return await delivery.deliver(producer, settings, group_id, part, outcome, partitions, **beside)


def _remembers_nothing(_memory: Memory, _account: Any, hashes: Any) -> Any:
    return np.zeros(len(hashes), dtype=np.bool_)


def _without_late_whatever_was_forgotten(
    activities: Any, account: Any, rows: Any, states: Any
) -> Any:
    never = replace(states, forgotten_until=np.zeros_like(states.forgotten_until))
    return WITHOUT_LATE(activities, account, rows, never)


def _consumer_of_everything(self: Consumer, **options: Any) -> None:
    ORIGINAL_CONSUMER(self, **{**options, "isolation_level": "read_uncommitted"})


ORIGINAL_CONSUMER: Final = Consumer.__init__


async def _stored_by_now(_lookup: Lookup, _lane: Any) -> None:
    """Take it that the sink has stored everything."""


async def _stored_nothing(_lookup: Lookup, part: Slice) -> BoolArray:
    """Take it that the store has none of these events."""
    return np.zeros(len(part), dtype=np.bool_)


def _step_and_take_over(taken: Any, accounts: Any, rules: Any) -> Any:
    """Step, and change the accounts before anything is committed."""
    outcome = step.step(taken, accounts, rules)
    accounts.apply(outcome.change)
    return outcome


Patches = tuple[tuple[str, Any], ...]

MUTATIONS: Final[Mapping[str, Patches]] = {
    "skip-the-fence": (("tests.simulation.broker.Broker.let_in", _let_in_without_fence),),
    "skip-the-offset-check": (("streams.slice.Slice.since", _whole),),
    "restore-before-fencing": (("streams.owned.Book", _RestoredFirst),),
    "commit-before-send": (("streams.book.deliver", _committed_before_sent),),
    "forget-seen": (("streams.memory.Memory.remembers", _remembers_nothing),),
    "count-a-late-duplicate": (
        ("streams.step._without_late", _without_late_whatever_was_forgotten),
    ),
    "restore-uncommitted": (
        ("tests.simulation.clients.Consumer.__init__", _consumer_of_everything),
    ),
    "ask-before-the-sink-has-stored": (("streams.lookup.Lookup._until_stored", _stored_by_now),),
    "work-a-late-lane-without-asking": (("streams.lookup.Lookup.stored", _stored_nothing),),
    "change-accounts-before-the-commit": (("streams.book.step", _step_and_take_over),),
}
"""What is done wrong, and what stands for what meanwhile."""


def mutated(name: str) -> AbstractContextManager[Any]:
    """Do one thing wrong as long as the context lasts."""
    stack = ExitStack()
    for place, wrong in MUTATIONS[name]:
        stack.enter_context(patch(place, wrong))
    return stack
