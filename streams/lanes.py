"""The late lanes of a worker: slices that wait for the store while fresh ones go on.

The slices of one lane are worked one after another, so that each is asked about when those before
it are booked. A lane's partition is fetched again when all that was fetched of it is worked.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from faust.types import TP

from streams.lookup import Lookup
from streams.slice import Slice
from streams.stop import stop_process_on_failure


class Lanes:
    """What was fetched of late lanes and is not worked yet.

    Args:
        lookup: Says what the store has booked.
        work: Works a slice when it is its partition's turn.
        release: Lets a partition be fetched again.
    """

    def __init__(
        self,
        lookup: Lookup,
        work: Callable[[Slice, TP], Awaitable[None]],
        release: Callable[[TP], None],
    ) -> None:
        self._lookup = lookup
        self._work = work
        self._release = release
        self._waiting: dict[TP, deque[Slice]] = {}
        self._tasks: dict[TP, asyncio.Task[None]] = {}

    def take(self, part: Slice, tp: TP) -> None:
        """Put a slice behind those of its lane; nobody waits for it."""
        self._waiting.setdefault(tp, deque()).append(part)
        if tp not in self._tasks:
            self._tasks[tp] = asyncio.create_task(self._run(tp))

    def is_busy(self, tp: TP) -> bool:
        """Return whether something of a lane is fetched and not worked yet."""
        return tp in self._tasks

    def drop(self) -> None:
        """Forget what waits, at once: its offsets are unmoved, and its next owner takes it again.

        A slice whose turn has come is worked to its end.
        """
        for tp, task in self._tasks.items():
            task.cancel()
            self._release(tp)
        self._tasks.clear()
        self._waiting.clear()

    @stop_process_on_failure()
    async def _run(self, tp: TP) -> None:
        waiting = self._waiting[tp]
        while waiting:
            part = waiting.popleft()
            await self._work(part.knowing(await self._lookup.stored(part)), tp)
        del self._tasks[tp]
        self._release(tp)
