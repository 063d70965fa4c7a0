"""A broker, simulated: logs in record batches, transactions with markers, group offsets.

It keeps to Kafka where exactly-once hangs on it. A coordinator that is asked to end a transaction
answers at once and writes the markers later, one partition after another, and the offsets of the
group, too. A producer that comes with the same id is let in when all of that is done, and the one
before it is fenced: at the coordinator at once, on a partition from the next marker on.
"""

from __future__ import annotations

import asyncio
import random
import struct
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from aiokafka.errors import ProducerFenced
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

from schemas.records import RecordColumns, Records

CONTROL: Final = 0x20
MARKER_S_MAX: Final = 0.3
CLEAN: Final = -1
"""The producer of a record that is in no transaction."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch of a log, its offsets filled in."""

    data: bytes
    first: int
    end: int
    producer: int


@dataclass
class Log:
    """One partition.

    Attributes:
        batches: In order of offset.
        end: Offset behind the last.
        unended: First offset of each transaction under way, by producer.
        aborted: Producer, first offset and the marker's offset of each that was aborted.
        epochs: The latest epoch seen of each producer.
        sequences: Offsets given to the batches of a producer, by epoch and sequence.
    """

    batches: list[Batch] = field(default_factory=list)
    end: int = 0
    unended: dict[int, int] = field(default_factory=dict)
    aborted: list[tuple[int, int, int]] = field(default_factory=list)
    epochs: dict[int, int] = field(default_factory=dict)
    sequences: dict[tuple[int, int, int], int] = field(default_factory=dict)

    @property
    def stable_end(self) -> int:
        """The end for who reads committed records."""
        return min(self.unended.values(), default=self.end)

    def append(self, data: bytes, count: int, producer: int = CLEAN) -> int:
        """Append a batch and return its first offset."""
        first = self.end
        self.batches.append(
            Batch(first.to_bytes(8, "big") + data[8:], first, first + count, producer)
        )
        self.end += count
        if producer != CLEAN:
            self.unended.setdefault(producer, first)
        return first

    def mark(self, producer: int, epoch: int, *, commit: bool) -> None:
        """Write the marker that ends a producer's transaction here."""
        self.epochs[producer] = epoch
        first = self.unended.pop(producer, None)
        if first is not None and not commit:
            self.aborted.append((producer, first, self.end))
        builder = _DefaultRecordBatchBuilderPy(2, 0, True, producer, epoch, 0, 1 << 30)
        builder.append(0, 1, struct.pack(">hh", 0, int(commit)), struct.pack(">hi", 0, 0), [])
        batch = bytearray(builder.build())
        batch[22] |= CONTROL
        batch[17:21] = calc_crc32c(memoryview(batch)[21:]).to_bytes(4, "big")
        self.append(bytes(batch), 1)

    def read(
        self, offset: int, *, committed: bool = True, records_max: Callable[[], int]
    ) -> RecordColumns:
        """Return the records from an offset on, as a consumer has them fetched."""
        end = self.stable_end if committed else self.end
        kept = [batch for batch in self.batches if batch.end > offset and batch.end <= end]
        return RecordColumns(
            b"".join(batch.data for batch in kept),
            fetch_offset=offset,
            aborted=[(who, first) for who, first, marker in self.aborted if marker >= offset],
            read_committed=committed,
            check_crcs=False,
            records_max=records_max,
        )

    def compact(self) -> None:
        """Drop the records that have a later one of the same key, all of them ended."""
        whole = self.read(0, records_max=lambda: 1 << 30)
        last = {
            records.keys[row]: int(records.offsets[row])
            for records in whole
            for row in range(len(records))
        }
        stable = self.stable_end
        self.batches = [
            batch if batch.end > stable else _compacted(batch, last) for batch in self.batches
        ]


def _compacted(batch: Batch, last: Mapping[bytes | None, int]) -> Batch:
    """Return a batch with those records only that are the last of their key; it may be empty."""
    found = MemoryRecords(batch.data).next_batch()
    if found is None or found.is_control_batch:
        return batch
    # The builder counts offsets from the begin of the batch, as the wire has them.
    builder = _DefaultRecordBatchBuilderPy(
        2, 0, found.is_transactional, batch.producer, found.producer_epoch, 0, 1 << 30
    )
    kept = [one for one in found if last.get(one.key, one.offset) == one.offset]
    for one in kept:
        builder.append(
            one.offset - batch.first, one.timestamp, one.key, one.value, list(one.headers)
        )
    if not kept:
        return Batch(b"", batch.first, batch.end, batch.producer)
    made = bytearray(builder.build())
    made[:8] = batch.first.to_bytes(8, "big")
    # A compacted batch keeps its last offset.
    made[23:27] = (batch.end - batch.first - 1).to_bytes(4, "big")
    return Batch(bytes(made), batch.first, batch.end, batch.producer)


class State(Enum):
    """Where a transaction is."""

    EMPTY = auto()
    ONGOING = auto()
    ENDING = auto()


@dataclass
class Transaction:
    """What the coordinator knows of a transactional id."""

    producer: int
    epoch: int = -1
    state: State = State.EMPTY
    number: int = 0
    places: set[TopicPartition] = field(default_factory=set)
    offsets: dict[tuple[str, TopicPartition], int] = field(default_factory=dict)


class Busy(Exception):
    """The coordinator still ends the transaction before: ask again."""


class Broker:
    """All logs, the coordinator of transactions, and the committed offsets of groups.

    Attributes:
        committed: Next offset by group and place.
    """

    def __init__(self, chance: random.Random, timeout_s: float) -> None:
        self.logs: defaultdict[TopicPartition, Log] = defaultdict(Log)
        self.committed: dict[tuple[str, TopicPartition], int] = {}
        self.before_end: Callable[[str], None] = lambda _name: None
        """Called when a transaction is about to be committed."""
        self._transactions: dict[str, Transaction] = {}
        self._chance = chance
        self._timeout_s = timeout_s

    def let_in(self, name: str) -> tuple[int, int]:
        """Return producer id and epoch for a transactional id, its former owner fenced.

        Raises:
            Busy: Its last transaction has not ended.
        """
        known = self._transactions.setdefault(name, Transaction(len(self._transactions)))
        if known.state is State.ONGOING:
            known.epoch += 1
            self._end(known, commit=False)
        if known.state is State.ENDING:
            raise Busy
        known.epoch += 1
        return known.producer, known.epoch

    def take_part(self, name: str, epoch: int, place: TopicPartition | None) -> None:
        """Make a partition, or the offsets of the group, part of a producer's transaction.

        Raises:
            Busy: The transaction before has not ended.
            ProducerFenced: The producer has a successor.
        """
        known = self._checked(name, epoch)
        if known.state is State.ENDING:
            raise Busy
        if known.state is State.EMPTY:
            known.state, known.number = State.ONGOING, known.number + 1
            number = known.number
            loop = asyncio.get_running_loop()
            loop.call_later(self._timeout_s, self._expire, known, number)
        if place is not None:
            known.places.add(place)

    def produce(
        self, producer: int, epoch: int, sequence: int, place: TopicPartition, data: bytes
    ) -> int:
        """Append a batch and return its first offset, the same when it is sent again.

        Raises:
            ProducerFenced: A later owner has been here.
        """
        log = self.logs[place]
        if log.epochs.get(producer, -1) > epoch:
            raise ProducerFenced
        log.epochs[producer] = epoch
        if (found := log.sequences.get((producer, epoch, sequence))) is not None:
            return found
        count = int.from_bytes(data[57:61], "big")
        first = log.sequences[producer, epoch, sequence] = log.append(data, count, producer)
        return first

    def add_offsets(
        self, name: str, epoch: int, offsets: Mapping[tuple[str, TopicPartition], int]
    ) -> None:
        """Take offsets of a group to commit with a producer's transaction."""
        self._checked(name, epoch).offsets |= offsets

    def commit(self, name: str, epoch: int, number: int) -> None:
        """Decide that a transaction is committed; its markers follow.

        Raises:
            ProducerFenced: The producer has a successor.
        """
        known = self._checked(name, epoch)
        if known.number != number or known.state is not State.ONGOING:
            return  # It has been asked for before, and the answer was lost.
        self.before_end(name)
        self._end(known, commit=True)

    def number(self, name: str) -> int:
        """Return how many transactions a transactional id has begun."""
        return self._transactions[name].number

    def _checked(self, name: str, epoch: int) -> Transaction:
        known = self._transactions[name]
        if known.epoch != epoch:
            raise ProducerFenced
        return known

    def _expire(self, known: Transaction, number: int) -> None:
        if known.number == number and known.state is State.ONGOING:
            known.epoch += 1
            self._end(known, commit=False)

    def _end(self, known: Transaction, *, commit: bool) -> None:
        known.state = State.ENDING
        loop, left = asyncio.get_running_loop(), len(known.places) + 1

        def ended() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                known.state = State.EMPTY

        def mark(place: TopicPartition) -> None:
            self.logs[place].mark(known.producer, known.epoch, commit=commit)
            ended()

        def commit_offsets(offsets: dict[tuple[str, TopicPartition], int]) -> None:
            if commit:
                self.committed |= offsets
            ended()

        for place in sorted(known.places):
            loop.call_later(self._chance.uniform(0, MARKER_S_MAX), mark, place)
        offsets, known.offsets, known.places = known.offsets, {}, set()
        loop.call_later(self._chance.uniform(0, MARKER_S_MAX), commit_offsets, offsets)


def all_of(log: Log) -> list[Records]:
    """Return all committed records of a log."""
    return list(log.read(0, records_max=lambda: 1 << 30))
