"""A world of one broker, a store, some workers and bad luck, all of it decided by a seed.

Real are `Owned`, `Book` with all that it opens, restores, steps, delivers and commits, the late
lanes and how they ask, and every byte on the wire. Simulated are the broker, the group, the sink
and its store, time, and who dies when. What the end must look like is in `oracle`.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

from aiokafka.structs import TopicPartition
from faust.types import TP
from prometheus_client import CollectorRegistry

from schemas.catalogue import ACTIVITY_TOPICS
from schemas.singles import decode_one
from sinks.connect import StoreSettings
from streams.limit import SliceLimit
from streams.lookup import Lookup
from streams.metrics import WorkerMetrics
from streams.owned import Owned
from streams.settings import WorkerSettings
from streams.step import Rules
from streams.stop import EXIT_FENCED
from tests.simulation import clients
from tests.simulation.broker import Broker
from tests.simulation.group import Group, Member
from tests.simulation.load import PARTITIONS, Load, batch_of, catalogue, rules
from tests.simulation.loop import VirtualLoop
from tests.simulation.process import CURRENT, Process, task_of_process
from tests.simulation.store import Store, Threads
from tests.streams.scene import held, restored

EVENTS: Final = (12, 30)
SESSION_S: Final = 4.0
TRANSACTION_S: Final = 6.0
RESTART_S: Final = 2.0
LOOK_S: Final = 0.5
LOOK_SHARE: Final = 0.1
SETTLE_S_MAX: Final = 600.0
FAULTS_OF_A_PROCESS: Final = ("kill", "die later", "die later", "pause", "pause", "remove")
FAULTS: Final = (*FAULTS_OF_A_PROCESS, "wake", "add", "compact", "release")
ASKED_SHARE: Final = 0.7
"""Share of the days on which the store is asked about late events; on others they are refused."""
AWAY_S: Final = (1, 15)
SETTINGS: Final = WorkerSettings(
    group="simulated",
    instance="simulated",
    transaction_timeout_ms=int(TRANSACTION_S * 1000),
    breaker_records=0,
)
SOURCES: Final = [TP(topic, number) for topic in ACTIVITY_TOPICS for number in range(PARTITIONS)]


class Wrong(AssertionError):
    """The world did not come to a good end; the message says how."""


class World:
    """One simulated day.

    Args:
        seed: Decides it.
        is_store_away: Ask the store about late events, and keep it away until all others are
            worked.

    Attributes:
        broker: What is left at the end.
        load: What was sent.
        happened: How often each kind of fault happened.
        is_late_asked: Whether the store is asked about late events.
        waited: Late events that were not worked yet when all others were.
    """

    def __init__(self, seed: int, *, is_store_away: bool = False) -> None:
        self._chance = random.Random(seed)
        self.is_late_asked = self._chance.random() < ASKED_SHARE or is_store_away
        self.waited = 0
        self._settings = replace(SETTINGS, late_events="ask") if self.is_late_asked else SETTINGS
        self._loop = VirtualLoop(self._chance)
        self.broker = Broker(self._chance, TRANSACTION_S)
        self.broker.before_end = self._look_into_memory
        self.load = Load(self._chance)
        self.happened: Counter[str] = Counter()
        self._sources = [
            TP(topic, number)
            for topic in self._settings.source_topics
            for number in range(PARTITIONS)
        ]
        self._group = Group(SETTINGS.group_id, self._sources, SESSION_S)
        self._store = Store(self.broker, self._chance, SETTINGS.sink_group)
        if is_store_away:
            self._store.go_away()
        asked = ("store away",) if self.is_late_asked and not is_store_away else ()
        self._faults = (*FAULTS, *asked)
        self._processes: dict[str, Process] = {}
        self._owned: dict[str, Owned] = {}
        self._wanted = {f"worker-{number}" for number in range(self._chance.randint(1, 3))}
        self._is_released = False
        self._failures: list[str] = []
        self._metrics = WorkerMetrics(CollectorRegistry())

    def play(self) -> None:
        """Let the day happen.

        Raises:
            Wrong: Something failed that no fault explains, or the workers do not get on.
        """
        self._loop.set_task_factory(task_of_process)  # type: ignore[arg-type]
        self._loop.set_exception_handler(self._noted)
        with simulated(self._loop, self._store, self.ended):
            try:
                self._loop.run_until_complete(self._day())
            finally:
                self._loop.run_until_complete(self._stop_all())
                self._loop.close()
        if self._failures:
            raise Wrong("; ".join(self._failures))

    async def _day(self) -> None:
        beside = [asyncio.create_task(self._supervise()), asyncio.create_task(self._store.fill())]
        source = asyncio.create_task(self._send())
        while not source.done():
            await asyncio.sleep(self._chance.uniform(0.2, 4))
            self._harm()
        await source
        self._wanted |= {"worker-0"}
        for process in self._processes.values():
            process.dies_at = None
            process.wake()
        # Fresh events do not wait for the store.
        await self._settle(SOURCES, beside)
        self.waited = sum(self._lag(self._sources).values())
        self._store.come_back()
        await self._settle(self._sources, beside)
        self.happened["late asked"] += self._store.asked

    async def _settle(self, sources: Sequence[TP], beside: Sequence[asyncio.Task[None]]) -> None:
        """Wait until some sources are worked, or something has failed."""
        deadline = self._loop.time() + SETTLE_S_MAX
        while not self._failures:
            for task in beside:
                if task.done():
                    task.result()
            if self._is_settled(sources):
                break
            if self._loop.time() > deadline:
                self._failures.append(f"not settled: {self._lag(sources)}")
            await asyncio.sleep(LOOK_S)

    async def _send(self) -> None:
        left = self._chance.randint(*EVENTS)
        while left:
            for _ in range(min(left, self._chance.choice([1, 3, 8]))):
                place, event = self.load.next()
                self.broker.logs[place].append(batch_of(event), 1)
                left -= 1
            await asyncio.sleep(self._chance.uniform(0, 2))

    async def _supervise(self) -> None:
        """Start workers that are wanted, some time after they ended."""
        while True:
            for name in sorted(self._wanted):
                process = self._processes.get(name)
                if process is None or process.status is not None:
                    self._start(name)
            await asyncio.sleep(RESTART_S * self._chance.random())

    def _start(self, name: str) -> None:
        process = self._processes[name] = Process(name, self.broker, self._chance)
        token = CURRENT.set(process)
        try:
            member = Member(process, self._group, self._chance)
            lookup = Lookup(self._settings, StoreSettings()) if self.is_late_asked else None
            owned = Owned(
                self._settings,
                self._metrics,
                SliceLimit(records_max=SETTINGS.slice_records_max, ms_max=10_000),
                rules=self._rules_since_now(),
                assignment=lambda: member.assignment,
                left=lambda tp, offset: self.broker.logs[TopicPartition(*tp)].end - offset,
                lookup=lookup,
                release=member.release,
            )
            self._owned[name] = owned
            asyncio.create_task(member.run(owned))  # noqa: RUF006 - the process holds it.
        finally:
            CURRENT.reset(token)

    def _rules_since_now(self) -> Callable[[], Rules]:
        """Return what a new process knows: it reads a release some time after it is published."""
        delay_s = self._chance.uniform(0, 3)
        seen_s: float | None = self._loop.time() - delay_s if self._is_released else None

        def current() -> Rules:
            nonlocal seen_s
            if self._is_released and seen_s is None:
                seen_s = self._loop.time()
            known = seen_s is not None and self._loop.time() >= seen_s + delay_s
            return rules(released=known, late_lane=self.is_late_asked)

        return current

    def _harm(self) -> None:
        """Let one bad thing happen."""
        kind = self._chance.choice(self._faults)
        living = [one for one in self._processes.values() if one.status is None]
        if kind in FAULTS_OF_A_PROCESS:
            if not living:
                return
            self._harm_process(kind, self._chance.choice(living))
        elif kind == "wake":
            for process in living:
                process.wake()
        elif kind == "add":
            self._wanted.add(f"worker-{self._chance.randrange(4)}")
        elif kind == "compact":
            for place, log in self.broker.logs.items():
                if place.topic == "account-balances":
                    log.compact()
        elif kind == "store away":
            self._store.go_away()
            self._loop.call_later(self._chance.uniform(*AWAY_S), self._store.come_back)
        else:
            self._is_released = True
        self.happened[kind] += 1

    def _harm_process(self, kind: str, process: Process) -> None:
        if kind == "kill":
            process.kill()
        elif kind == "die later":
            process.dies_at = process.journeys + self._chance.randint(1, 60)
        elif kind == "pause":
            process.pause()
            # Shorter than the session, or longer.
            self._loop.call_later(self._chance.uniform(0.5, 20), process.wake)
        else:
            self._wanted.discard(process.name)
            process.kill()
            self._group.leave(process.name)

    def _is_settled(self, sources: Sequence[TP]) -> bool:
        logs = [log for log in self.broker.logs.values() if log.unended]
        return not logs and not self._lag(sources)

    def _lag(self, sources: Sequence[TP]) -> dict[TP, int]:
        """Return how much of each source is not worked."""
        lag = {}
        for tp in sources:
            place = TopicPartition(*tp)
            columns = self.broker.logs[place].read(
                self.broker.committed.get((SETTINGS.group_id, place), 0),
                records_max=lambda: 1 << 30,
            )
            if left := sum(map(len, columns)):
                lag[tp] = left
        return lag

    def _look_into_memory(self, transactional_id: str) -> None:
        """Now and then, check that a book that is about to commit knows what is committed, no more.

        One that fails there must not know more than the next one can restore.
        """
        if self._chance.random() >= LOOK_SHARE:
            return
        number = int(transactional_id.rpartition("-")[2])
        log = self.broker.logs[TopicPartition("account-balances", number)]
        values = [
            records.values[row] or b""
            for records in log.read(0, records_max=lambda: 1 << 30)
            for row in range(len(records))
        ]
        committed = restored(values)
        names = {str(decode_one(value)[1]["account_id"]) for value in values}
        process = CURRENT.get()
        book = self._owned[process.name]._books[number]
        if held(book.accounts, names) != held(committed, names):
            self._failures.append(f"book {number} holds something else than what is committed")

    def ended(self, status: int, error: BaseException | None) -> None:
        """Take note of a worker that ended itself."""
        self.happened[f"exit {status}"] += 1
        if status != EXIT_FENCED:
            self._failures.append(f"a worker ended with {status}: {error!r}")

    def _noted(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._failures.append(f"{context['message']}: {context.get('exception')!r}")

    async def _stop_all(self) -> None:
        for process in self._processes.values():
            process.kill()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Exit:
    """What a worker calls to say why it ends, and to end."""

    def __init__(self, ended: Callable[[int, BaseException | None], None]) -> None:
        self._ended = ended
        self._why: BaseException | None = None

    def tell(
        self, _log: object, _event: str, *, error: BaseException | None = None, **_fields: object
    ) -> None:
        """Hear why it stops; there is no error where it was fenced."""
        self._why = error

    def __call__(self, status: int) -> None:
        """End the process that calls."""
        process = CURRENT.get()
        if process.status is None:
            self._ended(status, self._why)
        process.exit(status)


def _nothing(*_told: object, **_fields: object) -> None:
    """Log nothing: waiting and slow slices are what bad days are made of."""


class _NoGarbage:
    """Python's collector belongs to the one process that all of this is."""

    def after_slice(self) -> None:
        """Collect nothing."""


@contextmanager
def simulated(
    loop: VirtualLoop, store: Store, ended: Callable[[int, BaseException | None], None]
) -> Iterator[None]:
    """Put the simulated broker, store, clock and exit in place of the real ones."""
    clock = SimpleNamespace(monotonic=loop.time, time=loop.time)
    leave = _Exit(ended)
    replaced: dict[str, object] = {
        "streams.book.AIOKafkaProducer": clients.Producer,
        "streams.book.AIOKafkaConsumer": clients.Consumer,
        "streams.book.AIOKafkaAdminClient": clients.Admin,
        "streams.book.fetch_columns": clients.fetch_columns,
        "streams.book.time": clock,
        "streams.recall.AIOKafkaAdminClient": clients.Admin,
        "streams.recall.time": clock,
        "streams.restore.AIOKafkaConsumer": clients.Consumer,
        "streams.restore.fetch_columns": clients.fetch_columns,
        "streams.restore.time": clock,
        "streams.lookup.AIOKafkaConsumer": clients.Consumer,
        "streams.lookup.fetch_columns": clients.fetch_columns,
        "streams.lookup.AIOKafkaAdminClient": clients.Admin,
        "streams.lookup.connect": store.connect,
        "streams.lookup.tell": _nothing,
        "streams.owned.tell": _nothing,
        "streams.lookup.threading": Threads(loop),
        "streams.lookup.time": clock,
        "streams.owned.time": clock,
        "streams.delivery.time": clock,
        "streams.owned.Garbage": _NoGarbage,
        "streams.stop.os": SimpleNamespace(_exit=leave),
        "streams.stop.logging": SimpleNamespace(shutdown=lambda: None),
        "streams.stop.tell": leave.tell,
        "schemas.columns.used": lambda: catalogue(current=False),
    }
    patches = [patch(name, value) for name, value in replaced.items()]
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in reversed(patches):
            one.stop()
