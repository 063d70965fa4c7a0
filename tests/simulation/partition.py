"""The life of one partition, simulated: a log in memory, and workers that crash, sleep and wake.

Real are `Book.work` with everything below it: slices, step, accounts, delivery, and the records on
the wire. Simulated is the log: what a transaction wrote becomes visible at its commit, as a whole;
opening a book fences the owner before; offsets are committed with the transaction. No thread, no
clock, no sleep: a plan of actions decides everything, so a failure can be repeated.

Whenever a transaction stands before its commit, the log looks into the memory of the worker: it
must hold exactly what is committed, since a worker that fails there must not know more than the
next one can restore.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final

from aiokafka.errors import ProducerFenced
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import OffsetAndMetadata, RecordMetadata, TopicPartition

from schemas.singles import decode_one
from streams.book import Book, Worked
from streams.breaker import Breaker
from streams.settings import WorkerSettings
from streams.states import AccountStore
from streams.step import Rules
from tests.streams.scene import SESSIONS, TRIPS, Event, held, part_of, restored

PARTITION: Final = 0
BATCH_BYTES_MAX: Final = 400  # A few refusals.
SETTINGS: Final = WorkerSettings(group="simulated", instance="simulated")


class Crash(Exception):
    """The process is gone, with its memory."""


class Fault(Enum):
    """Where the process ends, or loses its partition, while it works a slice."""

    NONE = auto()
    BEFORE_STEP = auto()
    BEFORE_TRANSACTION = auto()
    WITHIN_TRANSACTION = auto()
    BEFORE_COMMIT = auto()
    AFTER_COMMIT = auto()
    TAKEN_OVER_BEFORE_COMMIT = auto()


@dataclass(frozen=True, slots=True)
class Written:
    """One record of an output topic."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, str]


def written(topic: str, data: bytes) -> list[Written]:
    """Return the records of Kafka batches as a consumer reads them."""
    log = MemoryRecords(data)
    found = []
    while (batch := log.next_batch()) is not None:
        assert batch.is_transactional
        for record in batch:
            headers = {name: text.decode() for name, text in record.headers}
            found.append(Written(topic, record.key, record.value, headers))
    return found


@dataclass
class Log:
    """What lies on the broker: source records, committed outputs and offsets, and who owns them."""

    sources: Mapping[str, Sequence[Event]]
    written: list[Written] = field(default_factory=list)
    committed: dict[str, int] = field(default_factory=lambda: {SESSIONS: 0, TRIPS: 0})
    epoch: int = 0

    def on(self, topic: str) -> list[Written]:
        """Return what is committed on an output topic."""
        return [one for one in self.written if one.topic == topic]

    def restore(self) -> AccountStore:
        """Return the accounts of `account-balances`, as a book that opens has them."""
        return restored(one.value for one in self.on("account-balances") if one.value)

    def accounts(self) -> set[str]:
        """Return the names of all accounts with a balance."""
        return {(one.key or b"").decode() for one in self.on("account-balances")}

    def compact(self) -> None:
        """Drop every balance that has a later one of the same account."""
        last = {
            one.key: at for at, one in enumerate(self.written) if one.topic == "account-balances"
        }
        self.written = [
            one
            for at, one in enumerate(self.written)
            if one.topic != "account-balances" or last[one.key] == at
        ]


class Producer:
    """The part of aiokafka's transactional producer that a book uses, over a simulated log."""

    def __init__(self, log: Log) -> None:
        log.epoch += 1
        self._log, self._epoch = log, log.epoch
        self._pending: list[Written] = []
        self._offsets: dict[str, int] = {}
        self.fault = Fault.NONE
        self.book: Book | None = None

    def create_batch(self) -> BatchBuilder:
        """Return an empty batch."""
        return BatchBuilder(BATCH_BYTES_MAX, 0, is_transactional=True)

    async def begin_transaction(self) -> None:
        """Begin."""
        self._pending, self._offsets = [], {}
        self._end_if(Fault.BEFORE_TRANSACTION)

    async def send_batch(
        self, batch: BatchBuilder, topic: str, *, partition: int
    ) -> asyncio.Future[RecordMetadata]:
        """Write a batch, not visible yet."""
        assert partition == PARTITION
        first = len(self._log.on(topic)) + sum(one.topic == topic for one in self._pending)
        self._pending += written(topic, bytes(batch._build()))
        self._end_if(Fault.WITHIN_TRANSACTION)
        sent: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        place = TopicPartition(topic, partition)
        sent.set_result(RecordMetadata(topic, partition, place, first, 0, 0, 0))
        return sent

    async def send_offsets_to_transaction(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata], group_id: str
    ) -> None:
        """Commit source offsets with the transaction."""
        assert group_id == SETTINGS.group_id
        self._offsets = {place.topic: found.offset for place, found in offsets.items()}

    async def commit_transaction(self) -> None:
        """Make all of it visible, unless another owner has come."""
        if self.fault is Fault.TAKEN_OVER_BEFORE_COMMIT:
            self._log.epoch += 1
        if self._epoch != self._log.epoch:
            raise ProducerFenced
        self._memory_is_what_is_committed()
        self._end_if(Fault.BEFORE_COMMIT)
        self._log.written += self._pending
        self._log.committed.update(self._offsets)
        self._end_if(Fault.AFTER_COMMIT)

    def _end_if(self, fault: Fault) -> None:
        if self.fault is fault:
            raise Crash(fault.name)

    def _memory_is_what_is_committed(self) -> None:
        assert self.book is not None
        names = self._log.accounts()
        assert held(self.book.accounts, names) == held(self._log.restore(), names)
        assert len(self.book.accounts) == len(names)
        assert self.book.next_offset == self._log.committed


class Worker:
    """A process with one open book and the slices it has fetched but not worked."""

    def __init__(self, log: Log) -> None:
        # The order of Book.open: fence, then committed offsets, then accounts.
        self._producer = Producer(log)
        next_offset = dict(log.committed)
        self.book = Book(
            SETTINGS, PARTITION, self._producer, next_offset, log.restore(), Breaker(0)
        )
        self._producer.book = self.book
        self._log = log
        self._position = dict(log.committed)
        self._buffer: deque[tuple[str, int, int]] = deque()

    def fetch(self, topic: str, records: int) -> None:
        """Fetch the next records of a topic into the buffer."""
        first = self._position[topic]
        end = min(first + records, len(self._log.sources[topic]))
        if end > first:
            self._buffer.append((topic, first, end))
            self._position[topic] = end

    def rewind(self, topic: str, records: int) -> None:
        """Fetch earlier records again, as after a rebalance."""
        self._position[topic] = max(0, self._position[topic] - records)

    async def work(self, rules: Rules, fault: Fault = Fault.NONE) -> Worked | None:
        """Work the oldest slice of the buffer.

        Raises:
            Crash: The fault ended the process.
            ProducerFenced: The partition has another owner, and nothing became visible.
        """
        if not self._buffer:
            return None
        topic, first, end = self._buffer.popleft()
        if fault is Fault.BEFORE_STEP:
            raise Crash(fault.name)
        part = part_of(
            self._log.sources[topic][first:end],
            topic=topic,
            partition=PARTITION,
            first_offset=first,
        )
        self._producer.fault = fault
        try:
            return await self.book.work(part, rules)
        finally:
            self._producer.fault = Fault.NONE

    def __len__(self) -> int:
        """Return the number of slices in the buffer."""
        return len(self._buffer)


@dataclass(frozen=True, slots=True)
class Fetch:
    """The owner fetches some records."""

    topic: str
    records: int


@dataclass(frozen=True, slots=True)
class Rewind:
    """The owner is given records it has fetched before."""

    topic: str
    records: int


@dataclass(frozen=True, slots=True)
class Work:
    """The owner works a slice, and perhaps does not survive it."""

    fault: Fault = Fault.NONE


@dataclass(frozen=True, slots=True)
class Sleep:
    """The owner is paused with what it has fetched; another one opens the book."""


@dataclass(frozen=True, slots=True)
class Wake:
    """All paused owners go on where they stopped."""


@dataclass(frozen=True, slots=True)
class Compact:
    """The broker compacts the balances."""


Action = Fetch | Rewind | Work | Sleep | Wake | Compact


class Partition:
    """Plays a plan of actions, and works what is left to the end."""

    def __init__(self, sources: Mapping[str, Sequence[Event]], rules: Rules) -> None:
        self.log = Log(sources)
        self.crashes = 0
        self.fenced = 0
        self._rules = rules
        self._owner = Worker(self.log)
        self._sleepers: list[Worker] = []

    def play(self, plan: Sequence[Action]) -> None:
        """Play a plan, then work everything that is left."""
        with asyncio.Runner() as runner:
            runner.run(self._play(plan))

    async def _play(self, plan: Sequence[Action]) -> None:
        for action in plan:
            await self._act(action)
        for topic, events in self.log.sources.items():
            slices_max = len(self._owner) + len(events)
            for _ in range(slices_max):
                self._owner.fetch(topic, 7)
                await self._work(Fault.NONE)
            assert self.log.committed[topic] == len(events), "the owner does not get on"
        await self._wake()

    async def _act(self, action: Action) -> None:
        match action:
            case Fetch(topic, records):
                self._owner.fetch(topic, records)
            case Rewind(topic, records):
                self._owner.rewind(topic, records)
            case Work(fault):
                await self._work(fault)
            case Sleep():
                self._sleepers.append(self._owner)
                self._owner = Worker(self.log)
            case Wake():
                await self._wake()
            case Compact():
                self.log.compact()

    async def _work(self, fault: Fault) -> None:
        try:
            await self._owner.work(self._rules, fault)
        except Crash:
            self.crashes += 1
            self._owner = Worker(self.log)
        except ProducerFenced:
            self.fenced += 1
            self._owner = Worker(self.log)

    async def _wake(self) -> None:
        for sleeper in self._sleepers:
            before = (list(self.log.written), dict(self.log.committed))
            try:
                while len(sleeper):
                    assert await sleeper.work(self._rules) is None, "a fenced owner has booked"
            except ProducerFenced:
                self.fenced += 1
            assert (self.log.written, self.log.committed) == before
        self._sleepers.clear()


def records(log: Log, topic: str) -> list[dict[str, Any]]:
    """Return the records of an output topic by field."""
    return [decode_one(one.value)[1] for one in log.on(topic)]
