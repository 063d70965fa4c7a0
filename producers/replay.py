"""Replay: refused records are sent again to the topic they came from, as the bytes they were.

A record that is sent again is a new event with the same identity: booked if nothing stands against
it any more, a duplicate if it was booked meanwhile, refused again otherwise. So a replay may be
repeated, and nothing is ever sent again by itself.

Each record goes out in one transaction with a message on `refusals` that says so (the origin
`replay`, in the partition of the refusal). Whoever replays next reads these first: what was sent
again is not sent a second time, wherever the replay before ended. A refusal of a record that was
sent again is a new refusal; it knows which attempt it was, and after `attempts_max` it is passed
over. There is one replay at a time: a second fences the first.

    UnreadTopicError  the refusals cannot be read
    ReplayFenced      another replay has begun
    KafkaError        an outage; what was not counted as sent is sent by the next replay
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final

from producers.again import Again, sending
from producers.files import is_csv
from producers.mending import mend
from producers.refused import RefusedRecord, Wanted, refusals_topic
from producers.rows import RowMapper
from producers.rules import FileMapping
from producers.targets import topic_of
from schemas.columns import encode
from schemas.settings import BrokerSettings

ATTEMPTS_MAX: Final = 3
GROUP_RECORDS_MAX: Final = 500
GROUP_BYTES_MAX: Final = 4 << 20
"""Of one transaction: workers do not read past it until it is committed."""

PASSED_OVER: Final[Mapping[str, str]] = {
    "sent_before": "sent again before",
    "attempts": "sent again as often as --attempts-max allows, and refused each time",
    "cut": "only the beginning is kept, so they cannot be sent",
    "needs_mapping": "rows of files, which --mapping puts through a mapping",
    "no_columns": "rows of CSV files whose first row was not kept; load the file again",
    "still_unmapped": "rows that still do not fit the mapping",
}
"""Why a refusal that was meant is not sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to replay.

    Attributes:
        mapping: Puts the rows a loader refused through it, and sends nothing else; None sends what
            workers refused.
        attempts_max: How often a record may be sent again.
        rate: Records a second at most; None is as fast as it goes.
        dry_run: Send nothing.
    """

    mapping: FileMapping | None = None
    attempts_max: int = ATTEMPTS_MAX
    rate: float | None = None
    dry_run: bool = False


@dataclass(slots=True)
class Totals:
    """What became of the refusals that were meant, so far.

    Attributes:
        sent: Records that the broker has, by the code they were refused with.
        passed_over: Refusals not sent, by why (PASSED_OVER).
        unmapped: Rows that still do not fit, by code and reason.
    """

    sent: Counter[str] = field(default_factory=Counter)
    passed_over: Counter[str] = field(default_factory=Counter)
    unmapped: Counter[tuple[str, str]] = field(default_factory=Counter)


async def replay(
    settings: BrokerSettings,
    wanted: Wanted,
    plan: Plan,
    totals: Totals,
    *,
    progress: Callable[[int, int], None],
    clock: Callable[[], float] = time.monotonic,
    rest: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Send refused records again, those refused until now, in order within each partition.

    Args:
        settings: The broker.
        wanted: Which of them.
        plan: How.
        totals: Counts while it goes on, so that whoever interrupts it knows how far it came.
        progress: Called with the refusals looked at, and how many offsets there are.
        clock: Tells the time [s].
        rest: Waits so long [s].

    Raises:
        UnreadTopicError: The refusals cannot be read.
        ReplayFenced: Another replay has begun.
        aiokafka.errors.KafkaError: The broker is away.
    """
    async with AsyncExitStack() as parts:
        # In this order: what a replay before has not committed is settled when ours may begin.
        sender = None if plan.dry_run else await parts.enter_async_context(sending(settings))
        topic = await parts.enter_async_context(refusals_topic(settings))
        judge = _Judge(wanted, plan, totals, await topic.sent_again())
        extent, looked_at = await topic.extent(), 0
        began, handed = clock(), 0
        async for refused in topic.refused():
            again = judge.again(refused)
            for group in _groups(again, plan.rate):
                if plan.rate:
                    await rest(max(0.0, began + handed / plan.rate - clock()))
                handed += len(group)
                if sender is not None:
                    await sender.send(group)
                totals.sent.update(each.refusal.code for each in group)
                progress(looked_at, extent)
            looked_at += len(refused)
            progress(looked_at, extent)
        progress(extent, extent)


class _Judge:
    """Says which refusals are sent again, and counts the others."""

    def __init__(self, wanted: Wanted, plan: Plan, totals: Totals, sent_before: set[str]) -> None:
        self._wanted = wanted
        self._plan = plan
        self._totals = totals
        self._sent_before = sent_before
        self._mapper = None if plan.mapping is None else RowMapper(plan.mapping)

    def again(self, refused: Sequence[RefusedRecord]) -> list[Again]:
        """Return what is to be sent for some refusals."""
        taken = []
        for record in refused:
            if not self._wanted.takes(record):
                continue
            if self._plan.mapping is not None and record.origin != "loader":
                continue
            why = self._passed_over(record)
            if why is None:
                taken.append(record)
            else:
                self._totals.passed_over[why] += 1
        if self._plan.mapping is None or self._mapper is None:
            return [Again(each, each.topic, each.key, each.value) for each in taken]
        return self._mended(taken, self._plan.mapping, self._mapper)

    def _passed_over(self, record: RefusedRecord) -> str | None:
        if record.refusal_id in self._sent_before:
            return "sent_before"
        if record.attempt >= self._plan.attempts_max:
            return "attempts"
        if record.is_cut:
            return "cut"
        if record.origin == "loader":
            if self._plan.mapping is None:
                return "needs_mapping"
            if is_csv(record.file) and not record.columns:
                return "no_columns"
        return None

    def _mended(
        self, taken: Sequence[RefusedRecord], mapping: FileMapping, mapper: RowMapper
    ) -> list[Again]:
        mended = mend(taken, mapping, mapper)
        self._totals.passed_over["still_unmapped"] += len(mended.refused)
        self._totals.unmapped.update(mended.refused.values())
        keys = mended.batch["account_id"].to_pylist()
        values = encode(mapping.record, mended.batch)
        return [
            Again(taken[row], topic_of(mapping.record), key.encode(), value)
            for row, key, value in zip(mended.rows, keys, values, strict=True)
        ]


def _groups(again: Sequence[Again], rate: float | None) -> Iterator[list[Again]]:
    """Yield what goes out in one transaction each, a second's worth at most."""
    most = GROUP_RECORDS_MAX if rate is None else max(1, min(GROUP_RECORDS_MAX, int(rate)))
    group: list[Again] = []
    size = 0
    for each in again:
        bytes_of_it = len(each.value or b"")
        if group and (len(group) >= most or size + bytes_of_it > GROUP_BYTES_MAX):
            yield group
            group, size = [], 0
        group.append(each)
        size += bytes_of_it
    if group:
        yield group
