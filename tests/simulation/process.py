"""A process, simulated: tasks that end together, and requests that take time and may be lost.

Every request to the broker is two journeys. A process may die on any of them, before the broker has
heard of it or before the answer is back; it may be paused and go on later as if nothing had been.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final, NoReturn, TypeVar

from tests.simulation.broker import Broker

JOURNEY_S: Final = 0.004
SLOW: Final = 0.02
SLOW_S: Final = 1.5
LOST: Final = 0.02
"""Share of the answers that never come back, so that the client asks again."""

AGAIN_S: Final = 0.1

T = TypeVar("T")

CURRENT: Final[ContextVar[Process]] = ContextVar("process")
"""The process whose code runs."""


class Process:
    """One process that lives until it is killed or ends.

    Attributes:
        name: Its name; that of its static membership, too.
        broker: The broker it talks to.
        journeys: How many it has made.
        status: Exit status, None while it lives; KILLED if it was.
    """

    KILLED: Final = -9

    def __init__(self, name: str, broker: Broker, chance: random.Random) -> None:
        self.name = name
        self.broker = broker
        self.journeys = 0
        self.status: int | None = None
        self.dies_at: int | None = None
        self.tasks: dict[asyncio.Task[object], None] = {}
        self._chance = chance
        self._awake = asyncio.Event()
        self._awake.set()

    async def ask(self, act: Callable[[], T]) -> T:
        """Let the broker do something and return its answer; an answer that is lost is asked again.

        Whatever is asked for can be asked twice, as the protocol sees to.
        """
        while True:
            await self.travel()
            answer = act()
            await self.travel()
            if self._chance.random() >= LOST:
                return answer
            await asyncio.sleep(AGAIN_S)

    async def travel(self) -> None:
        """Be one way between process and broker."""
        self.journeys += 1
        if self.journeys == self.dies_at:
            self.kill()
        await self.rest(
            SLOW_S * self._chance.random()
            if self._chance.random() < SLOW
            else JOURNEY_S * self._chance.random()
        )

    async def rest(self, seconds: float) -> None:
        """Let time pass, and more of it while the process is paused."""
        self._check()
        await asyncio.sleep(seconds)
        if self.is_paused:
            await self._awake.wait()
        self._check()

    def kill(self) -> None:
        """End it as kill -9 does."""
        self._end(self.KILLED)

    def exit(self, status: int) -> NoReturn:
        """End it from within, as `os._exit` does.

        Raises:
            CancelledError: Always; nothing of the process goes on.
        """
        self._end(status)
        raise asyncio.CancelledError

    def pause(self) -> None:
        """Let it stand still."""
        self._awake.clear()

    def wake(self) -> None:
        """Let it go on."""
        self._awake.set()

    @property
    def is_paused(self) -> bool:
        """Whether it stands still."""
        return not self._awake.is_set()

    def _end(self, status: int) -> None:
        if self.status is None:
            self.status = status
            for task in list(self.tasks):
                task.cancel()
            self._awake.set()

    def _check(self) -> None:
        if self.status is not None:
            raise asyncio.CancelledError


def task_of_process(
    loop: asyncio.AbstractEventLoop, coroutine: object, **options: object
) -> asyncio.Task[object]:
    """Make a task that belongs to the process whose code makes it (a task factory)."""
    task: asyncio.Task[object] = asyncio.Task(coroutine, loop=loop, **options)  # type: ignore[arg-type]
    if (process := CURRENT.get(None)) is not None:
        process.tasks[task] = None
        task.add_done_callback(process.tasks.pop)
    return task
