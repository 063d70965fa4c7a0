"""Columns: whole Arrow batches, raw messages, refusals and factors to Kafka, for the loaders.

    async with CarbonflowProducer(BrokerSettings(bootstrap="127.0.0.1:9092")) as producer:
        await producer.send_batch("charging_session", batch)            # a whole Arrow batch

Every call returns when the broker has acknowledged all it was given (acks=all, idempotent), or
raises aiokafka's `KafkaError`. A record's key is its account, and its partition murmur2 of the key,
as the Java client has it: the state of an account lives where its records are. Single records are
`sync`'s and `asynchronous`'s; this module alone of the client needs the pipeline's packages.

Given `pseudonyms`, it takes natural ids as accounts of sessions and trips, and only pseudonyms
leave the process; a programme without a key raises `NoKeyError` before anything is sent.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from aiokafka import AIOKafkaProducer

from carbon.factors import Factor
from producers.pseudonyms import Pseudonyms
from producers.rows import UnmappedRow
from producers.targets import topic_of
from schemas.batches import ColumnBatch, partitioned_batches
from schemas.partition import partition_of
from schemas.settings import BrokerSettings
from schemas.singles import encode_one

BATCH_BYTES = 512 * 1024
RAW_BYTES_MAX = 256 * 1024
"""What a refusal carries of its row at most: a broker takes no message above about 1 MB."""

Message = tuple[bytes, bytes, list[tuple[str, bytes]]]
"""Key, value and headers."""

NO_HEADERS: list[tuple[str, bytes]] = []


class CarbonflowProducer:
    """Sends batches of sessions and trips, refusals and factors; an async context manager."""

    def __init__(self, settings: BrokerSettings, pseudonyms: Pseudonyms | None = None) -> None:
        self.settings = settings
        self.pseudonyms = pseudonyms
        self._producer: AIOKafkaProducer | None = None
        self._partitions: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        producer = AIOKafkaProducer(
            **self.settings.client_options(),
            acks="all",
            enable_idempotence=True,
            compression_type="lz4",
            max_batch_size=BATCH_BYTES,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()  # It has begun to connect, and would say that nobody closed it.
            raise
        self._producer = producer
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await producer.stop()

    async def send_batch(self, record: str, batch: pa.RecordBatch) -> int:
        """Send every row of a batch in the fields of its record, in order within each account.

        Returns:
            How many records were acknowledged.
        """
        return await (await self.hand_over(record, batch))

    async def hand_over(self, record: str, batch: pa.RecordBatch) -> asyncio.Task[int]:
        """Hand a batch over to be sent, and return before it is acknowledged.

        The next may be handed over meanwhile: what is sent stays in order within each account.

        Returns:
            What ends with the number of records once all are acknowledged.
        """
        if self.pseudonyms is not None:
            batch = _pseudonymous(batch, self.pseudonyms)
        topic = topic_of(record)
        count, name = await self._partitions_of(topic), self.settings.prefix + topic
        packed = await asyncio.to_thread(_packed, record, batch, count)
        waiting = [
            await self._kafka.send_batch(made, name, partition=partition)
            for partition, made in packed
        ]
        return asyncio.create_task(_acknowledged(waiting, batch.num_rows))

    async def send_raw(self, topic: str, messages: Iterable[tuple[bytes, bytes]]) -> int:
        """Send keys and values as they are to an unprefixed topic; no bytes are too bad for it."""
        return await self._send_all(topic, [(key, value, NO_HEADERS) for key, value in messages])

    async def send_refusals(self, rows: Sequence[UnmappedRow], *, columns: str = "") -> int:
        """Send rows that could not be mapped to `refusals`, keyed by file and line.

        Args:
            rows: The rows.
            columns: The first row of their CSV file, without which they cannot be mapped later.
        """
        return await self._send_all("refusals", [_refusal(row, columns) for row in rows])

    async def publish_factors(self, factors: Iterable[Factor]) -> int:
        """Publish factors under the key release/factor_id; running workers take them up."""
        return await self._send_all(
            "emission-factors",
            [
                (
                    f"{factor.release}/{factor.factor_id}".encode(),
                    encode_one("emission_factor", asdict(factor)),
                    NO_HEADERS,
                )
                for factor in factors
            ],
        )

    @property
    def _kafka(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise RuntimeError("use the producer in an `async with` block")
        return self._producer

    async def _partitions_of(self, topic: str) -> int:
        if topic not in self._partitions:
            found = await self._kafka.partitions_for(self.settings.prefix + topic)
            self._partitions[topic] = len(found)
        return self._partitions[topic]

    async def _send_all(self, topic: str, messages: Sequence[Message]) -> int:
        count = await self._partitions_of(topic)
        by_partition: dict[int, list[Message]] = {}
        for message in messages:
            by_partition.setdefault(partition_of(message[0], count), []).append(message)
        waiting: list[asyncio.Future[object]] = []
        for partition, some in by_partition.items():
            waiting += await self._fill(topic, partition, some)
        await asyncio.gather(*waiting)
        return len(messages)

    async def _fill(
        self, topic: str, partition: int, messages: Iterable[Message]
    ) -> list[asyncio.Future[object]]:
        """Fill record batches for one partition and hand them over; returns their deliveries.

        Built by hand because aiokafka's own path spends a task switch on every record.
        """
        kafka, name = self._kafka, self.settings.prefix + topic
        deliveries: list[asyncio.Future[object]] = []
        batch = kafka.create_batch()
        for key, value, headers in messages:
            if batch.append(key=key, value=value, timestamp=None, headers=headers) is None:
                deliveries.append(await kafka.send_batch(batch, name, partition=partition))
                batch = kafka.create_batch()
                batch.append(key=key, value=value, timestamp=None, headers=headers)
        if batch.record_count():
            batch.close()
            deliveries.append(await kafka.send_batch(batch, name, partition=partition))
        return deliveries


def _packed(record: str, batch: pa.RecordBatch, partitions: int) -> list[tuple[int, ColumnBatch]]:
    """Return a batch as what the broker takes, by partition."""
    now_ms = time.time_ns() // 1_000_000
    made = partitioned_batches(
        record, batch, key="account_id", partitions=partitions, timestamp_ms=now_ms
    )
    return list(made)


async def _acknowledged(waiting: Sequence[asyncio.Future[object]], count: int) -> int:
    await asyncio.gather(*waiting)
    return count


def _pseudonymous(batch: pa.RecordBatch, pseudonyms: Pseudonyms) -> pa.RecordBatch:
    """Return a batch with the pseudonym of each account in place of its natural id."""
    programmes, accounts = batch["programme"], batch["account_id"]
    replaced = np.empty(batch.num_rows, object)
    for programme in pc.unique(programmes).to_pylist():
        at = pc.equal(programmes, programme)
        made = pseudonyms.of_many(programme, accounts.filter(at).to_pylist())
        replaced[at.to_numpy(zero_copy_only=False)] = made
    column = batch.schema.get_field_index("account_id")
    return batch.set_column(column, batch.schema.field(column), pa.array(replaced, accounts.type))


def _refusal(row: UnmappedRow, columns: str) -> Message:
    """Return a row as a message of the topic `refusals`; see ARCHITECTURE for the headers."""
    cut = len(row.raw) > RAW_BYTES_MAX
    reason = f"{row.reason} (the row is cut to {RAW_BYTES_MAX} bytes)" if cut else row.reason
    headers = {
        "code": row.code,
        "reason": reason,
        "origin": "loader",
        **dict.fromkeys(("topic", "partition", "offset", "timestamp"), ""),
        "file": row.file,
        "line": str(row.line),
    }
    if cut:
        headers["bytes"] = str(len(row.raw))
    if columns:
        headers["columns"] = columns
    # Reasons quote the file, and a file can hold what is no Unicode text.
    encoded = [(name, text.encode("utf-8", "replace")) for name, text in headers.items()]
    return f"{row.file}:{row.line}".encode("utf-8", "replace"), row.raw[:RAW_BYTES_MAX], encoded
