"""The partitions a worker owns: their books, and the slices under way.

Slices of one partition are worked one after another, whatever their topic. While the broker commits
one, those of other partitions are read and stepped. Those of late lanes wait for the store outside
of that order (`streams.lanes`), and take their turn when it has answered.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from typing import Final

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition
from faust.types import TP

from schemas.log_events import tell
from schemas.progress import Progress
from schemas.tracing import Tracing
from streams.book import Book, Worked
from streams.breaker import Breaker, BreakerOpen
from streams.garbage import Garbage
from streams.lanes import Lanes
from streams.limit import SliceLimit
from streams.lookup import Lookup
from streams.metrics import WorkerMetrics
from streams.recall import check_partitions, texts_beside_offsets
from streams.room import Room
from streams.settings import WorkerSettings
from streams.slice import ORIGINAL_OF, Slice
from streams.spans import end_span, slice_span
from streams.step import Rules
from streams.stop import stop_process, stop_process_on_failure

log = logging.getLogger("carbonflow.worker")

SLOW_S: Final = 1.0
"""A slice that takes longer is told about."""

SLICES_AT_ONCE: Final = 3
"""Full slices in work at a time: one is read, one stepped and one delivered meanwhile."""


class Owned:
    """Books by partition, opened with their first slice and closed when they are revoked.

    Args:
        settings: The worker's settings.
        metrics: Where it counts.
        limit: Learns how long slices take.
        rules: Answers with the rules in force.
        assignment: Answers with the partitions assigned to this worker.
        left: Answers with how many offsets of a partition, from one on, are not worked yet.
        lookup: Asks the store about late events; None where they are refused.
        release: Lets the partition of a late lane be fetched again; goes with it.
        tracing: Records the spans of slices; None where traces are off.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        metrics: WorkerMetrics,
        limit: SliceLimit,
        *,
        rules: Callable[[], Rules],
        assignment: Callable[[], Collection[TP]],
        left: Callable[[TP, int], int],
        lookup: Lookup | None = None,
        release: Callable[[TP], None] | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._settings = settings
        self._tracing = tracing
        self._rules = rules
        self._assignment = assignment
        self._left = left
        self._metrics = metrics
        self._limit = limit
        self._books: dict[int, Book] = {}
        self._opening: set[int] = set()
        self._underway: dict[int, asyncio.Task[None]] = {}
        self._revocations = 0
        self._breaker = Breaker(
            settings.breaker_records,
            share_max=settings.breaker_share,
            share_records_min=settings.breaker_share_records,
        )
        self._recalling: asyncio.Task[None] | None = None
        self._garbage = Garbage()
        self._progress = Progress(log, now=time.monotonic)
        self._room = Room(SLICES_AT_ONCE * settings.slice_records_max)
        self._lanes = None
        if lookup is not None and release is not None:
            self._lanes = Lanes(lookup, self._work_late, release)
            metrics.late_waiting_seconds.set_function(lookup.waiting_s)

    async def take(self, part: Slice, tp: TP) -> None:
        """Begin to work a slice, once the one before it of its partition is done.

        One of a late lane is only put there.

        Args:
            part: The slice.
            tp: Its topic and partition on the cluster.
        """
        if self._lanes is not None and part.late_from is not None:
            self._lanes.take(part, tp)
        else:
            await self._begin(part, tp)

    async def _work_late(self, part: Slice, tp: TP) -> None:
        # Waiting may be cancelled, but not the slice once it has begun.
        await asyncio.wait([await self._begin(part, tp)])

    async def _begin(self, part: Slice, tp: TP) -> asyncio.Task[None]:
        """Begin to work a slice when it is its turn; return the work."""
        taken_after = self._revocations
        while (before := self._underway.get(part.partition)) is not None and not before.done():
            await asyncio.wait([before])

        @stop_process_on_failure()
        async def work() -> None:
            # What was taken before a revocation is fetched again, and maybe others worked it.
            if taken_after != self._revocations or tp not in self._assignment():
                tell(log, "slice_dropped", **part.coordinates())
                return
            try:
                await self._work(part)
            except BreakerOpen as error:
                self._metrics.breaker_open.set(1)
                # Where nobody can ask there is nothing to wait for.
                hold_s = self._settings.breaker_hold_s if self._settings.metrics_port else 0
                stop_process(error, hold_s=hold_s)

        begun = self._underway[part.partition] = asyncio.create_task(work())
        return begun

    async def revoke(self, partitions: Collection[int]) -> None:
        """Let slices under way end, then close the books; the group waits for this.

        A book opened any later would fence the next owner.
        """
        self._revocations += 1
        if self._lanes is not None:
            self._lanes.drop()
        if waiting := [self._underway[p] for p in partitions if p in self._underway]:
            await asyncio.wait(waiting)
        for partition in set(partitions) & set(self._books):
            try:
                await self._books.pop(partition).close()
            except (KafkaError, TimeoutError) as error:
                tell(log, "book_not_closed", partition=partition, reason=repr(error))
        for partition in partitions:
            self._metrics.forget(partition)

    async def _work(self, part: Slice) -> None:
        rules = self._rules()
        book = self._books.get(part.partition)
        if book is None:
            self._opening.add(part.partition)
            try:
                book = await self._open(part.partition, rules)
            finally:
                self._opening.remove(part.partition)
        span = None
        if self._tracing is not None:
            span = slice_span(self._tracing, part, self._settings.group_id)
        async with self._room.taken(len(part)):
            worked = await book.work(part, rules, None if span is None else span.traceparent)
        self._garbage.after_slice()
        if worked is not None:
            if span is not None:
                end_span(span, worked)
            self._limit.worked(len(worked.part), sum(worked.seconds.values()))
            self._metrics.worked(worked, accounts=len(book.accounts))
            self._tell(worked)

    def _tell(self, worked: Worked) -> None:
        seconds = sum(worked.seconds.values())
        if seconds >= SLOW_S or log.isEnabledFor(logging.DEBUG):
            about = worked.part.coordinates()
            stages_s = dict(worked.seconds)
            refused = len(worked.outcome.refused)
            tell(log, "slice_worked", **about, refused=refused, seconds=seconds, stages_s=stages_s)
            if seconds >= SLOW_S:
                tell(log, "slice_slow", **about, seconds=seconds, stages_s=stages_s)
        self._progress.worked(len(worked.part))
        if self._progress.is_due():
            topics = self._settings.source_topics
            lags = (self._lag(book, topic) for book in self._books.values() for topic in topics)
            self._progress.told(int(sum(lags)))

    async def _open(self, partition: int, rules: Rules) -> Book:
        if self._recalling is None:
            self._recalling = asyncio.create_task(self._recall())
        await self._recalling
        with self._metrics.restoring.one():
            book = await Book.open(
                self._settings, partition, self._breaker, partitions=rules.partitions
            )
        self._books[partition] = book
        for topic in self._settings.source_topics:
            self._watch(book, topic)
        return book

    async def _recall(self) -> None:
        """Go on from where the process before was, once for all books.

        Raises:
            PartitionsChanged: The topics had another number of partitions then.
        """
        partitions = self._rules().partitions
        topics = [self._settings.topic(name) for name in self._settings.source_topics]
        places = [TopicPartition(name, at) for name in topics for at in range(partitions)]
        texts = await texts_beside_offsets(self._settings, places)
        check_partitions(texts.values(), partitions)
        mine = {TopicPartition(tp.topic, tp.partition) for tp in self._assignment()}
        self._breaker.recall(text for place, text in texts.items() if place in mine)

    def _watch(self, book: Book, topic: str) -> None:
        def lag() -> float:
            return self._lag(book, topic)

        def age_s() -> float:
            return max(0.0, time.time() - book.reached_ms[topic] / 1000) if lag() else 0.0

        self._metrics.watch(topic, book.partition, lag=lag, age_s=age_s)

    def waits_for(self) -> str:
        """Return what its partitions wait for; empty where they are worked."""
        if not self._opening:
            return ""
        return f"it opens the books of partitions {', '.join(map(str, sorted(self._opening)))}"

    def _lag(self, book: Book, topic: str) -> float:
        tp = TP(self._settings.topic(topic), book.partition)
        # The end of a lane is a marker that no slice passes: idle, it is at its end.
        if topic in ORIGINAL_OF and not (self._lanes and self._lanes.is_busy(tp)):
            return 0.0
        return float(self._left(tp, book.next_offset[topic]))

    async def finish(self) -> None:
        """Wait for the slices under way; late ones that wait for the store are left."""
        if self._lanes is not None:
            self._lanes.drop()
        if underway := list(self._underway.values()):
            await asyncio.wait(underway)  # Who is cancelled here must not cancel them.
            await asyncio.gather(*underway)
