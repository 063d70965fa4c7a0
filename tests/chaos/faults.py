"""The faults themselves: what is done to the processes, brokers and store of a run.

Each begins when the plan says, whether or not the one before is over; only brokers are taken away
one at a time, and a worker is in the hands of one fault at a time.
"""

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from tests.chaos.plan import Fault
from tests.chaos.progress import Progress, Recovery
from tests.chaos.store import Store
from tests.chaos.supervisor import Place, Supervisor
from tests.kafka.server import KafkaCluster, KafkaServer

LOOK_S: Final = 0.02
WAIT_S: Final = 120.0
STOP_S: Final = 10.0
"""How long a broker may take to end in order: producers give up what nobody takes for 40 s."""
RESTORES_MAX: Final = 5
"""Attempts at killing a worker while it restores: it may be quicker."""

OPENING: Final = "opening book "
OPENED: Final = " open: "
"""What a worker logs of each book before and after it restores it."""


@dataclass(slots=True)
class Faults:
    """Injects faults into a run.

    Attributes:
        missed: Faults that could not be injected as planned, for people.
    """

    cluster: KafkaCluster
    store: Store
    supervisor: Supervisor
    progress: Progress
    add_worker: Callable[[], None]
    chance: random.Random
    tell: Callable[[str], None]
    missed: list[str] = field(default_factory=list)
    _broker: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def inject(self, fault: Fault) -> None:
        """Do what the plan says, and return when nothing is taken away any more."""
        acts: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "kill worker": self._kill_worker,
            "kill sink": self._kill_sink,
            "pause worker": lambda: self._pause_worker(fault.lasts_s),
            "restart broker": self._restart_broker,
            "kill broker": self._kill_broker,
            "take store": lambda: self._take_store(fault.lasts_s),
            "add worker": self._add_worker,
            "remove worker": self._remove_worker,
            "kill restoring worker": self._kill_restoring_worker,
        }
        try:
            await acts[fault.kind]()
        except TimeoutError:
            self.missed.append(f"{fault.kind}: what it waits for did not come in {WAIT_S:.0f} s")

    def _begin(self, what: str, *, worked: bool = False, stored: bool = False) -> Recovery:
        begun = self.progress.begin(what, worked=worked, stored=stored)
        self.tell(f"fault {begun.number}: {what}")
        return begun

    async def _kill_worker(self) -> None:
        async with self._some_worker() as place:
            self._begin(f"kill -9 {place.name}", worked=True)
            place.kill()

    async def _kill_sink(self) -> None:
        (place,) = (p for p in self.supervisor.places.values() if p.kind == "sink")
        await _until(place.runs)
        self._begin("kill -9 sink", stored=True)
        place.kill()

    async def _pause_worker(self, seconds: float) -> None:
        async with self._some_worker() as place:
            self._begin(f"stop {place.name} for {seconds:.0f} s", worked=True)
            place.signal(signal.SIGSTOP)
            await asyncio.sleep(seconds)
            place.signal(signal.SIGCONT)

    async def _restart_broker(self) -> None:
        await self._take_broker("restart broker", lambda server: server.stop(STOP_S))

    async def _kill_broker(self) -> None:
        await self._take_broker("kill -9 broker", KafkaServer.kill)

    async def _take_broker(self, what: str, take: Callable[[KafkaServer], None]) -> None:
        """Take a broker away and start it again; the next may go when the workers are over it."""
        async with self._broker:
            number = self.chance.randrange(len(self.cluster.servers))
            server = self.cluster.servers[number]
            self.supervisor.broker_back_s = float("inf")
            begun = self._begin(f"{what} {number + 1}", worked=True, stored=True)
            await asyncio.to_thread(take, server)
            await asyncio.to_thread(server.start)
            self.supervisor.broker_back_s = time.monotonic()
            self.tell(f"broker {number + 1} is back")
            with suppress(TimeoutError):  # Whether it is over in the end is a check of the run.
                await _until(lambda: self.progress.has_worked(begun))

    async def _take_store(self, seconds: float) -> None:
        self._begin(f"take the store away for {seconds:.0f} s", stored=True)
        self.supervisor.store_back_s = float("inf")
        await asyncio.to_thread(self.store.kill)
        await asyncio.sleep(seconds)
        await self.store.start()
        self.supervisor.store_back_s = time.monotonic()

    async def _add_worker(self) -> None:
        self._begin("add a worker", worked=True)
        self.add_worker()

    async def _remove_worker(self) -> None:
        await _until(lambda: len(self.supervisor.workers()) > 1)
        async with self._some_worker() as place:
            self._begin(f"remove {place.name}", worked=True)
            await self.supervisor.stop(place)

    async def _kill_restoring_worker(self) -> None:
        async with self._some_worker() as place:
            self._begin(f"kill -9 {place.name}, and again as it restores", worked=True)
            place.kill()
            for _ in range(RESTORES_MAX):
                if await _killed_as_it_restores(place, place.starts):
                    return
        self.missed.append(f"{place.name} was never killed while it restored")

    @asynccontextmanager
    async def _some_worker(self) -> AsyncIterator[Place]:
        """Take a running worker in hand."""
        free: list[Place] = []

        def found() -> bool:
            free[:] = [p for p in self.supervisor.workers() if p.runs() and not p.held]
            return bool(free)

        await _until(found)
        place = self.chance.choice(free)
        place.held = True
        try:
            yield place
        finally:
            place.held = False


async def _killed_as_it_restores(place: Place, starts: int) -> bool:
    """Kill a worker that was started so many times, once it restores again; return if it hit."""
    await _until(lambda: place.starts > starts and OPENING in place.said())
    place.kill()
    said = place.said()
    return said.count(OPENING) > said.count(OPENED)


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not holds():  # noqa: ASYNC110 - other processes have no event.
            await asyncio.sleep(LOOK_S)
