"""Again: groups of refused records go back to their topics, each in one transaction.

With each record goes a message on `refusals`, in the partition of its refusal, that says it was
sent again and where to. Both become visible together or not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerFenced

from producers.refused import TOPIC, RefusedRecord
from schemas.attempts import REPLAY, Attempt
from schemas.batches import BATCH_BYTES_MAX
from schemas.partition import partition_of
from schemas.settings import BrokerSettings

TRANSACTION_MS_MAX = 10_000
"""After it the broker aborts what a killed replay left; workers wait for that."""

Headers = list[tuple[str, bytes]]


class ReplayFenced(Exception):
    """Another replay has begun, and this one must not go on."""


@dataclass(frozen=True, slots=True)
class Again:
    """A record to send again: the refusal it is for, and what is sent."""

    refusal: RefusedRecord
    topic: str
    key: bytes | None
    value: bytes | None

    @property
    def attempt(self) -> Attempt:
        """Which attempt it is."""
        return Attempt(self.refusal.attempt + 1, self.refusal.refusal_id)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a message went."""

    topic: str
    partition: int
    offset: int


@asynccontextmanager
async def sending(settings: BrokerSettings) -> AsyncIterator[Sender]:
    """Give who sends; another replay that has not ended is fenced, and its last group settled."""
    producer = AIOKafkaProducer(
        **settings.client_options(),
        transactional_id=settings.topic("refusals-replay"),
        transaction_timeout_ms=TRANSACTION_MS_MAX,
        max_batch_size=BATCH_BYTES_MAX,
        linger_ms=0,
        compression_type="snappy",
    )
    try:
        await producer.start()
        yield Sender(producer, settings)
    finally:
        await producer.stop()


class Sender:
    """Sends groups, each in one transaction with the word that it was sent."""

    def __init__(self, producer: AIOKafkaProducer, settings: BrokerSettings) -> None:
        self._producer = producer
        self._settings = settings
        self._partitions: dict[str, int] = {}

    async def send(self, group: Sequence[Again]) -> None:
        """Return once the broker has committed a group.

        Raises:
            ReplayFenced: Another replay has begun; nothing of the group is visible.
        """
        await self._producer.begin_transaction()
        try:
            places = await self._deliver([await self._record(each) for each in group])
            await self._deliver([_word(*each) for each in zip(group, places, strict=True)])
            await self._producer.commit_transaction()
        except ProducerFenced as error:
            raise ReplayFenced("another replay has begun, and this one ends") from error
        except KafkaError:
            # Whether it is committed is not known; the next replay settles it, or the broker does.
            raise
        except BaseException:
            # Interrupted. Workers would wait for the end of the transaction.
            await self._producer.abort_transaction()
            raise

    async def _record(self, each: Again) -> _Message:
        count = await self._partitions_of(each.topic)
        partition = each.refusal.source_partition % count
        if each.key is not None:
            partition = partition_of(each.key, count)
        return _Message(each.topic, partition, each.key, each.value, each.attempt.headers())

    async def _partitions_of(self, topic: str) -> int:
        if topic not in self._partitions:
            found = await self._producer.partitions_for(self._settings.topic(topic))
            self._partitions[topic] = len(found)
        return self._partitions[topic]

    async def _deliver(self, messages: Sequence[_Message]) -> list[_Place]:
        """Return where messages are, once the broker has them all."""
        by_place: dict[tuple[str, int], list[int]] = {}
        for index, message in enumerate(messages):
            by_place.setdefault((message.topic, message.partition), []).append(index)
        sent: list[tuple[list[int], asyncio.Future[Any]]] = []
        for (topic, partition), indices in by_place.items():
            name = self._settings.topic(topic)
            batch, within = self._producer.create_batch(), list[int]()
            for index in indices:
                if not messages[index].append_to(batch):
                    future = await self._producer.send_batch(batch, name, partition=partition)
                    sent.append((within, future))
                    batch, within = self._producer.create_batch(), []
                    messages[index].append_to(batch)
                within.append(index)
            batch.close()
            future = await self._producer.send_batch(batch, name, partition=partition)
            sent.append((within, future))
        await asyncio.gather(*(future for _, future in sent))
        offsets = dict[int, int]()
        for within, future in sent:
            first = int(future.result().offset)
            offsets |= {index: first + at if first >= 0 else -1 for at, index in enumerate(within)}
        return [
            _Place(message.topic, message.partition, offsets[index])
            for index, message in enumerate(messages)
        ]


@dataclass(frozen=True, slots=True)
class _Message:
    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    def append_to(self, batch: Any) -> bool:
        """Return whether it fitted; the first of a batch always does."""
        appended = batch.append(
            key=self.key, value=self.value, timestamp=None, headers=self.headers
        )
        return appended is not None


def _word(each: Again, place: _Place) -> _Message:
    """Return what says on `refusals` that a refusal was sent again, and where to."""
    told = {
        "code": each.refusal.code,
        "reason": "It was sent again.",
        "origin": REPLAY,
        "topic": place.topic,
        "partition": str(place.partition),
        # A broker that had the batch already may have forgotten where.
        "offset": str(place.offset) if place.offset >= 0 else "",
    }
    headers = [(name, text.encode()) for name, text in told.items()]
    headers += each.attempt.headers()
    return _Message(TOPIC, each.refusal.partition, each.refusal.key, b"", headers)
