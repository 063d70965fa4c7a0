"""Kafka record batches made from columns: no Python runs for a single record.

aiokafka frames records one by one, which costs more than everything else that is done to them. The
layout is simple enough to be composed by columns: each record is a few varints around its key and
value, so the varints are computed by numpy and Arrow joins the parts. Header, checksum and
compression stay aiokafka's (its builder in Python, whose buffer is filled here; pinned, and held by
tests against the bytes aiokafka itself would make).

Source: Apache Kafka protocol guide, record batch v2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyruhvro
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from schemas.catalogue import shipped
from schemas.columns import checked
from schemas.framing import frame

Int64Array = npt.NDArray[np.int64]
UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]

BATCH_BYTES_MAX: Final = 900_000
"""Bytes of records in one batch, before compression; brokers accept 1 MiB by default."""

SNAPPY: Final = 2
"""aiokafka's number of the codec. Repeated names shrink to a fifth for little time."""

RECORD_OVERHEAD: Final = 26  # length, attributes, timestamp, offset, two lengths, header count
NOTHING: Final = pa.scalar(b"", pa.binary())
NO_HEADERS: Final = pa.scalar(b"\x00", pa.binary())


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """Consecutive records, encoded for one batch."""

    data: bytes
    count: int
    first_timestamp_ms: int
    last_timestamp_ms: int


class ColumnBatch(BatchBuilder):  # type: ignore[misc]
    """A closed batch of records for `AIOKafkaProducer.send_batch`."""

    def __init__(self, records: Records, *, transactional: bool) -> None:
        builder = _DefaultRecordBatchBuilderPy(
            2, SNAPPY, transactional, -1, -1, 0, len(records.data)
        )
        builder._buffer += records.data
        builder._num_records = records.count
        builder._last_offset = records.count - 1
        builder._first_timestamp = records.first_timestamp_ms
        builder._max_timestamp = records.last_timestamp_ms
        self._builder = builder
        self._relative_offset = records.count
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
        key: The string column that is the message key.
        timestamp: The timestamp[ms] column that is the message timestamp.
        transactional: Whether the producer is.
        bytes_max: Limit of a batch before compression; a larger record gets one of its own.

    Raises:
        ValueError: The columns are not those of the record.
    """
    schema = shipped().newest(record)
    rows = checked(record, batch)
    if not rows.num_rows:
        return
    payload = pa.chunked_array(
        pyruhvro.serialize_record_batch(rows, schema.text, 1), pa.binary()
    ).combine_chunks()
    keys = rows.column(key).cast(pa.binary())
    times = rows.column(timestamp).cast(pa.int64()).to_numpy()
    for records in encoded_records(
        keys, frame(schema.schema_id), payload, times, bytes_max=bytes_max
    ):
        yield ColumnBatch(records, transactional=transactional)


def encoded_records(
    keys: pa.BinaryArray,
    head: bytes,
    values: pa.BinaryArray,
    timestamps_ms: Int64Array,
    *,
    bytes_max: int,
) -> Iterator[Records]:
    """Yield the records of n messages, as many in each piece as fit.

    Args:
        keys: Key of each message, shape (n,), no nulls.
        head: Goes before every value.
        values: Rest of each value, shape (n,), no nulls.
        timestamps_ms: Timestamp of each message [ms], shape (n,).
        bytes_max: Limit of a piece.
    """
    key_bytes, value_bytes = _lengths(keys), _lengths(values) + len(head)
    first = 0
    ends = np.cumsum(key_bytes + value_bytes + RECORD_OVERHEAD)
    while first < len(keys):
        before = ends[first - 1] if first else 0
        end = max(first + 1, int(np.searchsorted(ends, before + bytes_max, side="right")))
        part = slice(first, end)
        times = timestamps_ms[part]
        yield Records(
            data=_joined(keys[part], head, values[part], key_bytes[part], value_bytes[part], times),
            count=end - first,
            first_timestamp_ms=int(times[0]),
            last_timestamp_ms=int(times.max()),
        )
        first = end


def _joined(
    keys: pa.BinaryArray,
    head: bytes,
    values: pa.BinaryArray,
    key_bytes: Int64Array,
    value_bytes: Int64Array,
    times: Int64Array,
) -> bytes:
    n = len(keys)
    attributes = np.zeros((n, 1), dtype=np.uint8), np.ones((n, 1), dtype=np.bool_)
    time = _varints(times - times[0])
    offset = _varints(np.arange(n))
    key_length, value_length = _varints(key_bytes), _varints(value_bytes)
    small = sum(mask.sum(axis=1) for _, mask in (time, offset, key_length, value_length))
    length = _varints(small + key_bytes + value_bytes + 2)  # attributes and header count
    before_key = _packed([length, attributes, time, offset, key_length])
    before_value = _packed([value_length])
    joined: Any = pc.binary_join_element_wise(
        before_key, keys, before_value, pa.scalar(head, pa.binary()), values, NO_HEADERS, NOTHING
    )
    data: bytes = joined.buffers()[2].to_pybytes()
    return data


def _varints(numbers: Int64Array) -> tuple[UInt8Array, BoolArray]:
    """Return zigzag varints as a matrix of bytes and the mask of those that count, (n, width)."""
    zigzag = ((numbers << 1) ^ (numbers >> 63)).astype(np.uint64)
    width = max(1, -(-int(zigzag.max()).bit_length() // 7))
    shifts = np.arange(width, dtype=np.uint64) * np.uint64(7)
    groups = zigzag[:, None] >> shifts
    mask = groups > 0
    mask[:, 0] = True
    more = np.zeros_like(mask)
    more[:, :-1] = mask[:, 1:]
    varint = (groups & np.uint64(0x7F)) | (more.astype(np.uint64) << np.uint64(7))
    return varint.astype(np.uint8), mask


def _packed(parts: list[tuple[UInt8Array, BoolArray]]) -> pa.BinaryArray:
    """Return the bytes of each row that count, one value a row."""
    mask = np.concatenate([mask for _, mask in parts], axis=1)
    data = np.concatenate([matrix for matrix, _ in parts], axis=1)[mask]
    offsets = np.zeros(len(mask) + 1, dtype=np.int32)
    np.cumsum(mask.sum(axis=1), out=offsets[1:])
    return pa.Array.from_buffers(
        pa.binary(), len(mask), [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )


def _lengths(column: pa.BinaryArray) -> Int64Array:
    lengths: Int64Array = pc.binary_length(column).to_numpy().astype(np.int64)
    return lengths
