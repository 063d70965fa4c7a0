"""Kafka record batches made from columns: no Python runs for a single record.

aiokafka frames records one by one, which costs more than everything else that is done to them, so
`avro_write` writes them as the columns they are. The header before them has the layout that its
builder in Python gives it (pinned, and held by tests against the bytes aiokafka itself would make).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from schemas.catalogue import used
from schemas.checksums import crc32c
from schemas.fields import fields_of
from schemas.framing import VALUE_BYTES_MAX, frame
from schemas.kernel import bytes_of, varint_at
from schemas.packing import SNAPPY, packed
from schemas.partition import partitions_of
from schemas.rows import Rows
from schemas.spoken import varint
from schemas.traceparents import TRACEPARENT

BATCH_BYTES_MAX: Final = VALUE_BYTES_MAX
"""Bytes of records in one batch; brokers accept 1 MiB by default."""

CHECKSUM: Final = struct.Struct(">I")

PACKED_TIMES: Final = 4
"""A batch is filled with so many times the bytes, because they shrink: the fewer, the cheaper."""


class _Builder(_DefaultRecordBatchBuilderPy):  # type: ignore[misc]
    """aiokafka's builder around records that are as they are to be sent."""

    _records = b""
    _packed = True

    def size(self) -> int:
        return int(self.HEADER_STRUCT.size) + len(self._records)

    def build(self) -> bytes:
        header = bytearray(self.HEADER_STRUCT.size)
        self.HEADER_STRUCT.pack_into(
            header,
            0,
            0,  # The broker gives the first offset.
            self.size() - self.AFTER_LEN_OFFSET,
            self.NO_PARTITION_LEADER_EPOCH,
            self._magic,
            0,  # The checksum is that of all that follows it.
            self._get_attributes(self._packed),
            self._last_offset,
            self._first_timestamp,
            self._max_timestamp,
            self._producer_id,
            self._producer_epoch,
            self._base_sequence,
            self._num_records,
        )
        checksum = crc32c(bytes(header[self.ATTRIBUTES_OFFSET :]), self._records)
        CHECKSUM.pack_into(header, self.CRC_OFFSET, checksum)
        return b"".join((header, self._records))


class ColumnBatch(BatchBuilder):  # type: ignore[misc]
    """A closed batch for `AIOKafkaProducer.send_batch`, compressed at once if at all.

    aiokafka would compress it on the event loop, when it is sent.

    Args:
        records: The records, which are copied.
        count: How many records.
        first_timestamp_ms: Of the first record.
        last_timestamp_ms: The latest of all.
        transactional: Whether the producer is.
        pack: Whether to compress it.
    """

    def __init__(
        self,
        records: memoryview,
        *,
        count: int,
        first_timestamp_ms: int,
        last_timestamp_ms: int,
        transactional: bool,
        pack: bool = True,
    ) -> None:
        shrunk = packed(records) if pack else b""
        builder = _Builder(2, SNAPPY, transactional, -1, -1, 0, len(records))
        builder._packed = pack and len(shrunk) < len(records)
        builder._records = shrunk if builder._packed else bytes(records)
        builder._num_records = count
        builder._last_offset = count - 1
        builder._first_timestamp = first_timestamp_ms
        builder._max_timestamp = last_timestamp_ms
        self._builder = builder
        self._relative_offset = count
        self._buffer = None
        self._closed = True

    def _set_producer_state(self, producer_id: int, producer_epoch: int, sequence: int) -> None:
        self._builder.set_producer_state(producer_id, producer_epoch, sequence)


def column_batches(
    record: str,
    batch: pa.RecordBatch,
    *,
    key: str,
    timestamp: str,
    transactional: bool,
    bytes_max: int = BATCH_BYTES_MAX,
    pack: bool = True,
    traceparent: str | None = None,
) -> Iterator[ColumnBatch]:
    """Yield batches with a message for each row, in order.

    Args:
        record: Name in the catalogue, such as transfer.
        batch: Its fields as columns.
        key: The string field that is the message key.
        timestamp: The instant that is the message timestamp.
        transactional: Whether the producer is.
        bytes_max: Limit of a batch as it is sent; a larger record gets one of its own.
        pack: Whether to compress it.
        traceparent: A header of the first message only: who reads on finds all of them by it.

    Raises:
        ValueError: The columns are not those of the record.
    """
    schema = used().newest(record)
    rows = Rows.of(batch, fields_of(schema), frame(schema.schema_id), key=key, time=timestamp)
    made = _Making(transactional, bytes_max, pack, traceparent)
    yield from made.batches(rows, 0, len(rows), rows.span, PACKED_TIMES if pack else 1)


def partitioned_batches(
    record: str,
    batch: pa.RecordBatch,
    *,
    key: str,
    partitions: int,
    timestamp_ms: int,
    bytes_max: int = BATCH_BYTES_MAX,
) -> Iterator[tuple[int, ColumnBatch]]:
    """Yield partitions and batches for them, with a message for each row, in order by key.

    Args:
        record: Name in the catalogue, such as charging_session.
        batch: Its fields as columns; words may come as dictionaries.
        key: The string field that is the message key.
        partitions: How many the topic has.
        timestamp_ms: The timestamp of all messages.
        bytes_max: Limit of a compressed batch; a larger record gets one of its own.

    Raises:
        ValueError: The columns are not those of the record, or a key is null.
    """
    schema = used().newest(record)
    keys = batch.column(key)
    found = partitions_of(keys.cast(pa.string()), partitions)
    order = np.argsort(found, kind="stable")
    ends = np.cumsum(np.bincount(found, minlength=partitions)).tolist()
    rows = Rows.of(batch.take(pa.array(order)), fields_of(schema), frame(schema.schema_id), key=key)
    made = _Making(False, bytes_max)
    begin = 0
    for partition, end in enumerate(ends):
        for each in made.batches(rows, begin, end, lambda _first, _end: (timestamp_ms,) * 2):
            yield partition, each
        begin = end


def _headed(records: memoryview, traceparent: str) -> memoryview:
    """Return records without headers, with one in the first of them."""
    size, at = varint_at(bytes_of(records), 0)
    body = records[at : at + size]
    assert body[-1] == 0, "the first record has no headers yet"
    name, named = TRACEPARENT.encode(), traceparent.encode()
    header = b"".join((varint(1), varint(len(name)), name, varint(len(named)), named))
    first = (varint(len(body) - 1 + len(header)), body[:-1], header)
    return memoryview(b"".join((*first, records[at + len(body) :])))


@dataclass(frozen=True, slots=True)
class _Making:
    """How batches are made of rows, and how large they may be."""

    transactional: bool
    bytes_max: int
    pack: bool = True
    traceparent: str | None = None

    def batches(
        self,
        rows: Rows,
        first: int,
        end: int,
        span: Callable[[int, int], tuple[int, int]],
        times: int = PACKED_TIMES,
    ) -> Iterator[ColumnBatch]:
        """Yield batches of rows, each filled with so many times the bytes it may have.

        Args:
            rows: The rows.
            first: The first of them.
            end: The one behind the last.
            span: Gives the first and the latest timestamp of a range of rows.
            times: How much smaller they are expected to get.
        """
        for records, begin, behind in rows.records(
            bytes_max=self.bytes_max * times, first=first, end=end
        ):
            if self.traceparent is not None and begin == 0:
                records = _headed(records, self.traceparent)  # noqa: PLW2901
            earliest, latest = span(begin, behind)
            made = ColumnBatch(
                records,
                count=behind - begin,
                first_timestamp_ms=earliest,
                last_timestamp_ms=latest,
                transactional=self.transactional,
                pack=self.pack,
            )
            if made.size() > self.bytes_max and times > 1:
                # Less regular than most: as it is, it is too large for the broker.
                yield from self.batches(rows, begin, behind, span, 1)
            else:
                yield made
