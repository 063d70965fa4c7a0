"""Kafka record batches made from columns: no Python runs for a single record.

aiokafka frames records one by one, which costs more than everything else that is done to them, so
`avro_write` writes them as the columns they are. Header, checksum and compression stay aiokafka's
(its builder in Python, whose buffer is filled here; pinned, and held by tests against the bytes
aiokafka itself would make).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pyarrow as pa
from aiokafka.codec import snappy_encode
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from schemas.catalogue import shipped
from schemas.fields import fields_of
from schemas.framing import VALUE_BYTES_MAX, frame
from schemas.rows import Rows

BATCH_BYTES_MAX: Final = VALUE_BYTES_MAX
"""Bytes of records in one batch; brokers accept 1 MiB by default."""

PACKED_TIMES: Final = 3
"""A batch is filled with so many times the bytes, because they shrink: the fewer, the cheaper."""

ROWS_MAX: Final = 8192
"""Rows that are taken apart at a time: columns of all would take more memory than anything else."""

SNAPPY: Final = 2
"""aiokafka's number of the codec. Repeated names shrink to a fifth for little time."""


class _Builder(_DefaultRecordBatchBuilderPy):  # type: ignore[misc]
    """aiokafka's builder around records that are compressed already."""

    _packed = True

    def _maybe_compress(self) -> bool:
        return self._packed


class ColumnBatch(BatchBuilder):  # type: ignore[misc]
    """A closed batch for `AIOKafkaProducer.send_batch`, compressed at once.

    aiokafka would compress it on the event loop, when it is sent.

    Args:
        records: The records, which are copied.
        count: How many records.
        first_timestamp_ms: Of the first record.
        last_timestamp_ms: The latest of all.
        transactional: Whether the producer is.
    """

    def __init__(
        self,
        records: memoryview,
        *,
        count: int,
        first_timestamp_ms: int,
        last_timestamp_ms: int,
        transactional: bool,
    ) -> None:
        packed = snappy_encode(records)
        builder = _Builder(2, SNAPPY, transactional, -1, -1, 0, len(records))
        builder._packed = len(packed) < len(records)
        builder._buffer += packed if builder._packed else records
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
) -> Iterator[ColumnBatch]:
    """Yield batches with a message for each row, in order.

    Args:
        record: Name in the catalogue, such as transfer.
        batch: Its fields as columns.
        key: The string field that is the message key.
        timestamp: The instant that is the message timestamp.
        transactional: Whether the producer is.
        bytes_max: Limit of a compressed batch; a larger record gets one of its own.

    Raises:
        ValueError: The columns are not those of the record.
    """
    schema = shipped().newest(record)
    fields = fields_of(schema)
    names = [field.name for field in fields]
    key_field, time_field = names.index(key), names.index(timestamp)

    def batches(rows: Rows, first: int, end: int, size: int) -> Iterator[ColumnBatch]:
        times = rows.column(time_field)
        for records, begin, behind in rows.records(
            key=key_field, time=time_field, bytes_max=size, first=first, end=end
        ):
            made = ColumnBatch(
                records,
                count=behind - begin,
                first_timestamp_ms=int(times[begin]),
                last_timestamp_ms=int(times[begin:behind].max()),
                transactional=transactional,
            )
            if made.size() > bytes_max and size > bytes_max:
                # Less regular than most: as it is, it is too large for the broker.
                yield from batches(rows, begin, behind, bytes_max)
            else:
                yield made

    for at in range(0, batch.num_rows, ROWS_MAX):
        rows = Rows.of(batch.slice(at, ROWS_MAX), fields, frame(schema.schema_id))
        yield from batches(rows, 0, len(rows), bytes_max * PACKED_TIMES)
