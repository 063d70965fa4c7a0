"""aiokafka's clients as books, restoring and look-ups use them, over the simulated broker.

They stand in for the names `AIOKafkaProducer`, `AIOKafkaConsumer` and `AIOKafkaAdminClient`, and
belong to the process whose code makes them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import OffsetAndMetadata, RecordMetadata, TopicPartition

from schemas.records import Records
from tests.simulation.broker import Busy
from tests.simulation.process import CURRENT

BUSY_S: Final = 0.1
BATCH_BYTES_MAX: Final = 600  # A few refusals.
CREATE_TIME: Final = 0


class Producer:
    """The part of a transactional producer that a book uses."""

    _txn_manager: Final = None

    def __init__(self, *, transactional_id: str, **_options: Any) -> None:
        self._process = CURRENT.get()
        self._broker = self._process.broker
        self._name = transactional_id
        self._id, self._epoch = -1, -1
        self._sequence = 0
        self._places: set[TopicPartition | None] = set()

    async def start(self) -> None:
        """Fence the owner before and wait until its last transaction has ended."""
        self._id, self._epoch = await self._patiently(lambda: self._broker.let_in(self._name))

    async def stop(self) -> None:
        """Stop."""
        await self._process.travel()

    def create_batch(self) -> BatchBuilder:
        """Return an empty batch."""
        return BatchBuilder(BATCH_BYTES_MAX, 0, is_transactional=True)

    async def begin_transaction(self) -> None:
        """Begin."""
        self._places.clear()

    async def send_batch(
        self, batch: BatchBuilder, topic: str, *, partition: int
    ) -> asyncio.Future[RecordMetadata]:
        """Send a batch on its way; the future has its place."""
        return asyncio.ensure_future(self._send(batch, TopicPartition(topic, partition)))

    async def _send(self, batch: BatchBuilder, place: TopicPartition) -> RecordMetadata:
        sequence, self._sequence = self._sequence, self._sequence + 1
        await self._take_part(place)
        batch._set_producer_state(self._id, self._epoch, sequence)
        data = bytes(batch._build())
        first = await self._process.ask(
            lambda: self._broker.produce(self._id, self._epoch, sequence, place, data)
        )
        return RecordMetadata(*place, place, first, 0, CREATE_TIME, 0)

    async def send_offsets_to_transaction(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata], group_id: str
    ) -> None:
        """Commit offsets of the group with the transaction."""
        await self._take_part(None)
        found = {(group_id, place): one.offset for place, one in offsets.items()}
        await self._process.ask(lambda: self._broker.add_offsets(self._name, self._epoch, found))

    async def commit_transaction(self) -> None:
        """Commit."""
        number = self._broker.number(self._name)
        await self._process.ask(lambda: self._broker.commit(self._name, self._epoch, number))

    async def _take_part(self, place: TopicPartition | None) -> None:
        if place not in self._places:
            await self._patiently(lambda: self._broker.take_part(self._name, self._epoch, place))
            self._places.add(place)

    async def _patiently(self, act: Callable[[], Any]) -> Any:
        while True:
            try:
                return await self._process.ask(act)
            except Busy:
                await self._process.rest(BUSY_S)


class Consumer:
    """The part of a consumer without a group that opening a book and looking up use."""

    def __init__(self, *, isolation_level: str = "read_uncommitted", **_options: Any) -> None:
        self._process = CURRENT.get()
        self._broker = self._process.broker
        self._is_committed = isolation_level == "read_committed"
        self._positions: dict[TopicPartition, int] = {}
        self.records_max: Callable[[], int] = lambda: 1 << 30

    async def start(self) -> None:
        """Start."""
        await self._process.travel()

    async def stop(self) -> None:
        """Stop."""
        await self._process.travel()

    async def end_offsets(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return where partitions end, for who reads as this consumer does."""

        def ends() -> dict[TopicPartition, int]:
            logs = {place: self._broker.logs[place] for place in places}
            return {
                place: log.stable_end if self._is_committed else log.end
                for place, log in logs.items()
            }

        return await self._process.ask(ends)

    async def beginning_offsets(
        self, places: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Return where partitions begin: everything is kept."""
        return await self._process.ask(lambda: dict.fromkeys(places, 0))

    def assign(self, places: Iterable[TopicPartition]) -> None:
        """Read from some partitions."""
        self._positions = dict.fromkeys(places, 0)

    def seek(self, place: TopicPartition, offset: int) -> None:
        """Go to an offset."""
        self._positions[place] = offset

    async def position(self, place: TopicPartition) -> int:
        """Return the next offset."""
        return self._positions[place]

    async def getmany(
        self, place: TopicPartition, *, timeout_ms: int
    ) -> dict[TopicPartition, list[Records]]:
        """Return what comes next, after a while nothing."""
        columns = await self._process.ask(
            lambda: self._broker.logs[place].read(
                self._positions[place], committed=self._is_committed, records_max=self.records_max
            )
        )
        found = list(columns)
        if columns.next_fetch_offset == self._positions[place]:
            await self._process.rest(timeout_ms / 1000)
        self._positions[place] = columns.next_fetch_offset
        return {place: found} if found else {}


def fetch_columns(consumer: Consumer, *, records_max: Callable[[], int]) -> None:
    """Let a consumer hand over so many records at a time; columns they are anyway."""
    consumer.records_max = records_max


class Admin:
    """The part of an admin client that opening a book and looking up use."""

    def __init__(self, **_options: Any) -> None:
        self._process = CURRENT.get()

    async def start(self) -> None:
        """Start."""
        await self._process.travel()

    async def close(self) -> None:
        """Close."""
        await self._process.travel()

    async def list_consumer_group_offsets(
        self, group_id: str, *, partitions: list[TopicPartition]
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        """Return the committed offsets of a group; -1 where there is none."""
        committed = self._process.broker.committed
        return await self._process.ask(
            lambda: {
                place: OffsetAndMetadata(committed.get((group_id, place), -1), "")
                for place in partitions
            }
        )
