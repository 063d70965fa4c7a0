"""An event loop with a clock of its own: nothing waits, no thread runs, all is repeatable.

When nothing is ready the clock jumps to what comes next. What would run on a thread runs on the
loop, some time later.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Callable
from contextvars import Context
from itertools import count
from typing import Any, Final, TypeVar

THREAD_S_MAX: Final = 0.02

T = TypeVar("T")


class Stuck(AssertionError):
    """Nothing is ready and nothing ever will be."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time is virtual; `chance` decides how long threads take."""

    def __init__(self, chance: random.Random) -> None:
        self._now_s = 0.0
        self._chance = chance
        self._due: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._asked = count()
        super().__init__()

    def time(self) -> float:
        """Return the virtual time [s]."""
        return self._now_s

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self._now_s += seconds

    def run_in_executor(  # type: ignore[override]
        self, _executor: Any, function: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Call a function some time later, on the loop."""
        done: asyncio.Future[T] = self.create_future()

        def call() -> None:
            if done.cancelled():
                return
            try:
                done.set_result(function(*args))
            except Exception as error:  # noqa: BLE001 - as a thread hands it over.
                done.set_exception(error)

        self.call_later(self._chance.uniform(0, THREAD_S_MAX), call)
        return done

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call something at a time; what is due at the same time, in the order of asking."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._due, (when, next(self._asked), timer))
        return timer

    def _run_once(self) -> None:
        """Run what is ready; if nothing is, let time pass until something is due.

        asyncio's own asks the system each time whether a file is ready; a day has thousands of
        turns, and no file.
        """
        ready: deque[asyncio.Handle] = self._ready  # type: ignore[attr-defined]
        while not ready:
            if not self._due:
                raise Stuck("nothing is ready and nothing ever will be")
            when, _, timer = heapq.heappop(self._due)
            if not timer.cancelled():
                self.pass_time(max(0.0, when - self._now_s))
                ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()
