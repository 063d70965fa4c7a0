"""How many bytes each row of a batch takes as Avro, computed on columns.

pyruhvro forgives bytes behind a record, varints longer than needed and ints beyond 32 bits. Each
of them makes the record longer than its fields need, so comparing lengths finds them without
decoding anything twice. Two overflows leave the length as it is, in an int of five bytes and in a
long of ten; rows that hold such a number are named as `widest`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.fields import Field

Int64Array = npt.NDArray[np.int64]
UInt64Array = npt.NDArray[np.uint64]
BoolArray = npt.NDArray[np.bool_]

_WIDEST: Final = {"int": 5, "long": 10, "instant": 10}
_DTYPES: Final = {"int": np.int32, "long": np.int64, "instant": np.int64}


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths of n values, or one length they all have."""

    bytes: Int64Array | int
    """Encoded length of each value [bytes]."""
    widest: BoolArray | None
    """Which values are ints or longs of the greatest length; None where none is."""


def lengths_of(batch: pa.RecordBatch, fields: Sequence[Field]) -> Lengths:
    """Return the encoded length of each row, frame excluded, and which rows hold a widest number.

    Args:
        batch: Rows, with the columns of `fields` in order.
        fields: The record's fields in the version the rows were written in.
    """
    total = np.zeros(batch.num_rows, dtype=np.int64)
    if batch.num_rows == 0:
        return Lengths(total, None)
    same, widest = 0, None
    for field, column in zip(fields, batch.columns, strict=True):
        lengths = _column(column, field)
        if isinstance(lengths.bytes, int):
            same += lengths.bytes
        else:
            total += lengths.bytes
        widest = _either(widest, lengths.widest)
    total += same
    return Lengths(total, widest)


def _column(column: Any, field: Field) -> Lengths:
    if field.many:
        return _array(column, field)
    if not field.nullable:
        return _plain(column, field)
    # A null is its branch alone, one byte; the values below nulls are whatever they are.
    inner = _plain(column, field)
    if column.null_count == 0:
        return Lengths(1 + inner.bytes, inner.widest)
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    widest = None if inner.widest is None else inner.widest & valid
    return Lengths(1 + np.where(valid, inner.bytes, 0), widest)


def _plain(column: Any, field: Field) -> Lengths:
    if field.kind in {"boolean", "enum"}:
        return Lengths(1, None)
    if field.kind == "string":
        chars = np.diff(_offsets(column)).astype(np.int64)
        return Lengths(chars + _varint((chars << 1).view(np.uint64)), None)
    dtype = np.dtype(_DTYPES[field.kind])
    numbers = np.frombuffer(column.buffers()[1], dtype, len(column), column.offset * dtype.itemsize)
    return _number(numbers.astype(np.int64, copy=False), field.kind)


def _number(numbers: Int64Array, kind: str) -> Lengths:
    """Return the lengths of zigzag varints."""
    lengths = _varint(((numbers << 1) ^ (numbers >> 63)).view(np.uint64))
    widest = _WIDEST[kind]
    if isinstance(lengths, int):
        every = np.ones(len(numbers), dtype=np.bool_) if lengths == widest else None
        return Lengths(lengths, every)
    found = lengths == widest
    return Lengths(lengths, found if found.any() else None)


def _array(column: Any, field: Field) -> Lengths:
    """Return the lengths of arrays of one block: count, items and a zero; if empty, the zero."""
    offsets = _offsets(column).astype(np.int64)
    counts = np.diff(offsets)
    ends = np.where(counts > 0, 1 + _varint((counts << 1).view(np.uint64)), 1)
    items = column.values.slice(offsets[0], offsets[-1] - offsets[0])
    if len(items) == 0:
        return Lengths(ends, None)
    inner, bounds = _plain(items, field), offsets - offsets[0]
    widest = None if inner.widest is None else _sums(inner.widest, bounds) > 0
    if isinstance(inner.bytes, int):
        return Lengths(ends + counts * inner.bytes, widest)
    return Lengths(ends + _sums(inner.bytes, bounds), widest)


def _varint(values: UInt64Array) -> Int64Array | int:
    """Return how many bytes each value takes at seven bits a byte; one number if all agree."""
    if len(values) == 0:
        return 0
    fewest, most = (
        max(1, -(-int(edge).bit_length() // 7)) for edge in (values.min(), values.max())
    )
    if fewest == most:
        return fewest
    lengths = np.full(len(values), fewest, dtype=np.int64)
    for length in range(fewest, most):
        lengths += values >= np.uint64(1 << (7 * length))
    return lengths


def _sums(values: npt.NDArray[Any], bounds: Int64Array) -> Int64Array:
    """Return the sum of values between each two neighbouring bounds."""
    running = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=running[1:])
    between: Int64Array = np.diff(running[bounds])
    return between


def _offsets(column: Any) -> npt.NDArray[np.int32]:
    return np.frombuffer(column.buffers()[1], np.int32, len(column) + 1, column.offset * 4)


def _either(one: BoolArray | None, other: BoolArray | None) -> BoolArray | None:
    if one is None or other is None:
        return other if one is None else one
    return one | other
