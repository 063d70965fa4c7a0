"""The partitions a worker owns: their books, and the slices under way.

Slices of one partition are worked one after another, whatever their topic. While the broker commits
one, the next of another partition is stepped.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection

from aiokafka.errors import KafkaError
from faust.types import TP

from streams.book import Book
from streams.breaker import Breaker
from streams.garbage import Garbage
from streams.metrics import WorkerMetrics
from streams.settings import WorkerSettings
from streams.slice import Slice
from streams.step import Rules
from streams.stop import stop_process_on_failure

log = logging.getLogger("carbonflow.worker")


class Owned:
    """Books by partition, opened with their first slice and closed when they are revoked.

    Args:
        settings: The worker's settings.
        metrics: Where it counts.
        rules: Answers with the rules in force.
        assignment: Answers with the partitions assigned to this worker.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        metrics: WorkerMetrics,
        *,
        rules: Callable[[], Rules],
        assignment: Callable[[], Collection[TP]],
    ) -> None:
        self._settings = settings
        self._rules = rules
        self._assignment = assignment
        self._metrics = metrics
        self._books: dict[int, Book] = {}
        self._underway: dict[int, asyncio.Task[None]] = {}
        self._revocations = 0
        self._breaker = Breaker(settings.breaker_records)
        self._garbage = Garbage()

    async def take(self, part: Slice, tp: TP, *, highwater: int) -> None:
        """Begin to work a slice, once the one before it of its partition is done.

        Args:
            part: The slice.
            tp: Its topic and partition on the cluster.
            highwater: End of its partition as far as the last fetch knew.
        """
        taken_after = self._revocations
        if part.partition in self._underway:
            await self._underway[part.partition]

        @stop_process_on_failure()
        async def work() -> None:
            # What was taken before a revocation is fetched again, and maybe others worked it.
            if taken_after != self._revocations or tp not in self._assignment():
                log.info("slice of %s %d dropped: revoked", part.topic, part.partition)
                return
            await self._work(part, highwater)

        self._underway[part.partition] = asyncio.create_task(work())

    async def revoke(self, partitions: Collection[int]) -> None:
        """Let slices under way end, then close the books; the group waits for this.

        A book opened any later would fence the next owner.
        """
        self._revocations += 1
        if waiting := [self._underway[p] for p in partitions if p in self._underway]:
            await asyncio.wait(waiting)
        for partition in set(partitions) & set(self._books):
            try:
                await self._books.pop(partition).close()
            except (KafkaError, TimeoutError) as error:
                log.warning("book %d did not close: %r; it is given up", partition, error)

    async def _work(self, part: Slice, highwater: int) -> None:
        book = self._books.get(part.partition)
        if book is None:
            book = await Book.open(self._settings, part.partition, self._breaker)
            self._books[part.partition] = book
        rules = self._rules()
        worked = await book.work(part, rules)
        self._garbage.after_slice()
        if worked is not None:
            self._metrics.factors.set(len(rules.factors.factors))
            self._metrics.worked(
                worked,
                now_ms=time.time() * 1000,
                highwater=max(highwater, part.next_offset),
                accounts=len(book.accounts),
            )

    async def finish(self) -> None:
        """Wait for the slices under way."""
        await asyncio.gather(*self._underway.values())
