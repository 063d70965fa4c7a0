"""An event loop with a clock of its own: nothing waits, no thread runs, all is repeatable.

When nothing is ready the clock jumps to what comes next. What would run on a thread runs on the
loop, some time later.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable
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
        super().__init__(_Jump(self))

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


class _Jump(selectors.SelectSelector):
    """Waits for no file: it lets the time of its loop pass."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Stuck("nothing is ready and nothing ever will be")
        self._loop.pass_time(max(timeout, 0.0))
        return []
