"""Writing records by columns: Avro values, alone or as the records of a Kafka batch, in one pass.

Words that repeat (programmes, factors, regions) may come as dictionary columns; they are never
spelt out. Sizes are computed first, so that every length is known before it is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.avro_read import ARROW, BOOLEAN, ENUM, KINDS, STRING
from schemas.fields import Field
from schemas.kernel import (
    BoolArray,
    Int64Array,
    UInt8Array,
    bytes_of,
    copy_bytes,
    kernel,
    varint_bytes,
    write_varint,
)

NULL: Final = -1
RECORD_OVERHEAD: Final = 32  # length, attributes, timestamp, offset, two lengths, header count


Layout: TypeAlias = tuple[
    UInt8Array,
    Int64Array,
    BoolArray,
    BoolArray,
    Int64Array,
    Int64Array,
    UInt8Array,
    Int64Array,
    Int64Array,
]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """n records to be written, taken apart by field.

    Attributes:
        head: Goes before every value.
        kinds: Kind of each of m fields.
        nullable: Whether each may be null.
        many: Whether each is an array.
        numbers: Number, symbol, or begin in `pool` or `items`, shape (n, m).
        sizes: Bytes of a string, items of an array; NULL for a null, shape (n, m).
        pool: All strings.
        items: All items of arrays: numbers, or begins in `pool`.
        item_sizes: Bytes of each item that is a string.
        lengths: Bytes of each value with its head, shape (n,).
    """

    head: UInt8Array
    kinds: Int64Array
    nullable: BoolArray
    many: BoolArray
    numbers: Int64Array
    sizes: Int64Array
    pool: UInt8Array
    items: Int64Array
    item_sizes: Int64Array
    lengths: Int64Array

    @classmethod
    def of(cls, batch: pa.RecordBatch, fields: Sequence[Field], head: bytes) -> Rows:
        """Return the records of a batch.

        Args:
            batch: Its columns are taken by name and cast where nothing is lost by it.
            fields: The record's fields.
            head: Goes before every value.

        Raises:
            ValueError: A column is missing or unknown, does not fit its field without loss, or
                has nulls where the schema allows none.
        """
        columns = _columns(batch, fields)
        n = batch.num_rows
        pool = _Pool()
        # A row for each record, so that writing one reads from one place in memory.
        numbers = np.zeros((n, len(fields)), dtype=np.int64)
        sizes = np.zeros((n, len(fields)), dtype=np.int64)
        for index, (field, column) in enumerate(zip(fields, columns, strict=True)):
            _fill(field, column, numbers[:, index], sizes[:, index], pool)
            if column.null_count:
                sizes[:, index][column.is_null().to_numpy(zero_copy_only=False)] = NULL
        text, items, item_sizes = pool.joined()
        rows = cls(
            bytes_of(head),
            np.array([KINDS[field.kind] for field in fields], dtype=np.int64),
            np.array([field.nullable for field in fields], dtype=np.bool_),
            np.array([field.many for field in fields], dtype=np.bool_),
            numbers,
            sizes,
            text,
            items,
            item_sizes,
            np.empty(n, dtype=np.int64),
        )
        _measure(*rows._layout(), rows.lengths)
        return rows

    def __len__(self) -> int:
        return len(self.lengths)

    def values(self) -> list[bytes]:
        """Return the values one by one."""
        out = np.empty(int(self.lengths.sum()), dtype=np.uint8)
        _write_values(*self._layout(), out)
        data, ends = out.tobytes(), np.cumsum(self.lengths)
        starts = (ends - self.lengths).tolist()
        return [data[begin:end] for begin, end in zip(starts, ends.tolist(), strict=True)]

    def runs(self, key: int, bytes_max: int) -> list[tuple[int, int]]:
        """Return first and end of as many consecutive records as fit into a batch each.

        Args:
            key: Index of the field that is the key.
            bytes_max: Limit of a batch; a larger record gets one of its own.
        """
        ends = np.cumsum(self.lengths + self.sizes[:, key] + RECORD_OVERHEAD)
        runs, first = [], 0
        while first < len(self):
            before = ends[first - 1] if first else 0
            end = max(first + 1, int(np.searchsorted(ends, before + bytes_max, side="right")))
            runs.append((first, end))
            first = end
        return runs

    def records(self, first: int, end: int, key: int, timestamp: int) -> bytearray:
        """Return some rows as the records of a Kafka batch.

        Args:
            first: First row.
            end: Behind the last row.
            key: Index of the field that is the key.
            timestamp: Index of the field that is the timestamp.
        """
        part = slice(first, end)
        room = int(self.lengths[part].sum() + self.sizes[part, key].sum())
        out = bytearray(room + RECORD_OVERHEAD * (end - first))
        written = _write_records(
            *self._layout(),
            self.lengths,
            first,
            end,
            key,
            timestamp,
            np.frombuffer(out, dtype=np.uint8),
        )
        return out[:written]

    def _layout(self) -> Layout:
        return (
            self.head,
            self.kinds,
            self.nullable,
            self.many,
            self.numbers,
            self.sizes,
            self.pool,
            self.items,
            self.item_sizes,
        )


class _Pool:
    """Collects strings and items of several columns."""

    def __init__(self) -> None:
        self._texts: list[UInt8Array] = []
        self._bytes = 0
        self._items: list[Int64Array] = []
        self._item_sizes: list[Int64Array] = []
        self._count = 0

    def strings(self, column: Any) -> tuple[Int64Array, Int64Array]:
        """Take the text of a string column; return where each string begins, and its size."""
        buffers = column.buffers()
        offsets = np.frombuffer(buffers[1], np.int32, len(column) + 1, column.offset * 4)
        begin, end = int(offsets[0]), int(offsets[-1])
        base = self._bytes - begin
        if end > begin:
            self._texts.append(np.frombuffer(buffers[2], np.uint8, end - begin, begin))
            self._bytes += end - begin
        return offsets[:-1] + np.int64(base), np.diff(offsets).astype(np.int64)

    def lists(self, field: Field, column: Any) -> tuple[Int64Array, Int64Array]:
        """Take the items of a list column; return where each list begins, and its count."""
        offsets = np.frombuffer(column.buffers()[1], np.int32, len(column) + 1, column.offset * 4)
        items = column.values.slice(offsets[0], offsets[-1] - offsets[0])
        base = self._count - int(offsets[0])
        if field.kind == "string":
            begins, sizes = self.strings(items)
        else:
            begins, sizes = _integers(items), np.zeros(len(items), dtype=np.int64)
        self._items.append(begins)
        self._item_sizes.append(sizes)
        self._count += len(items)
        return offsets[:-1] + np.int64(base), np.diff(offsets).astype(np.int64)

    def joined(self) -> tuple[UInt8Array, Int64Array, Int64Array]:
        """Return all text, all items and their sizes."""
        nothing = np.empty(0, dtype=np.int64)
        return (
            bytes_of(np.concatenate(self._texts) if self._texts else b""),
            np.concatenate(self._items) if self._items else nothing,
            np.concatenate(self._item_sizes) if self._item_sizes else nothing,
        )


def _columns(batch: pa.RecordBatch, fields: Sequence[Field]) -> list[Any]:
    names = batch.schema.names
    if sorted(names) != sorted(field.name for field in fields):
        odd = sorted(set(names) ^ {field.name for field in fields})
        raise ValueError(f"columns of the batch and fields of the record differ: {odd}")
    columns = []
    for field in fields:
        column = batch.column(field.name)
        if column.null_count and not field.nullable:
            raise ValueError(f"{field.name} has nulls")
        kind = pa.list_(ARROW[field.kind]) if field.many else ARROW[field.kind]
        coded = pa.types.is_dictionary(column.type) and column.type.value_type == kind
        columns.append(column if coded or column.type == kind else column.cast(kind))
    return columns


def _fill(field: Field, column: Any, numbers: Int64Array, sizes: Int64Array, pool: _Pool) -> None:
    if field.many:
        numbers[:], sizes[:] = pool.lists(field, column)
        return
    if pa.types.is_dictionary(column.type):
        codes = column.indices.fill_null(0).to_numpy()
        if not len(column.dictionary):
            return  # Nothing but nulls, if anything.
        words, lengths = _words(field, column.dictionary, pool)
        numbers[:], sizes[:] = words[codes], lengths[codes]
    elif field.kind in {"string", "enum"}:
        numbers[:], sizes[:] = _words(field, column, pool)
    elif field.kind == "boolean":
        numbers[:] = column.fill_null(False).to_numpy(zero_copy_only=False)
    else:
        numbers[:] = _integers(column)


def _words(field: Field, column: Any, pool: _Pool) -> tuple[Int64Array, Int64Array]:
    """Return begins and sizes of strings, or indices of symbols and zeros."""
    if field.kind == "string":
        return pool.strings(column)
    symbols = pc.index_in(column, value_set=pa.array(field.symbols, pa.string()))
    if symbols.null_count > column.null_count:
        odd = column.filter(pc.and_(symbols.is_null(), column.is_valid()))[0].as_py()
        raise ValueError(f"{field.name} has no symbol {odd!r}")
    numbers = symbols.fill_null(0).to_numpy().astype(np.int64)
    return numbers, np.zeros(len(numbers), dtype=np.int64)


def _integers(column: Any) -> Int64Array:
    """Return int32, int64 or timestamp values as stored, whatever lies below a null."""
    if column.buffers()[1] is None:
        return np.zeros(len(column), dtype=np.int64)
    kind = np.dtype(np.int32 if column.type == pa.int32() else np.int64)
    stored: npt.NDArray[Any] = np.frombuffer(
        column.buffers()[1], kind, len(column), column.offset * kind.itemsize
    )
    return stored.astype(np.int64, copy=False)


@kernel
def _measure(  # One argument for each part of the layout, as in all that follow.
    head: UInt8Array,
    kinds: Int64Array,
    nullable: BoolArray,
    many: BoolArray,
    numbers: Int64Array,
    sizes: Int64Array,
    _pool: UInt8Array,
    items: Int64Array,
    item_sizes: Int64Array,
    lengths: Int64Array,
) -> None:
    for row in range(len(lengths)):
        total = len(head)
        for field in range(len(kinds)):
            kind, size = kinds[field], sizes[row, field]
            if nullable[field]:
                total += 1
                if size == NULL:
                    continue
            if many[field]:
                total += 1
                if size > 0:
                    total += varint_bytes(size)
                    begin = numbers[row, field]
                    for item in range(begin, begin + size):
                        if kind == STRING:
                            total += varint_bytes(item_sizes[item]) + item_sizes[item]
                        else:
                            total += varint_bytes(items[item])
            elif kind == STRING:
                total += varint_bytes(size) + size
            elif kind in (BOOLEAN, ENUM):
                total += 1
            else:
                total += varint_bytes(numbers[row, field])
        lengths[row] = total


@kernel
def _write_value(
    head: UInt8Array,
    kinds: Int64Array,
    nullable: BoolArray,
    many: BoolArray,
    numbers: Int64Array,
    sizes: Int64Array,
    pool: UInt8Array,
    items: Int64Array,
    item_sizes: Int64Array,
    row: int,
    out: UInt8Array,
    at: int,
) -> int:
    at = copy_bytes(out, at, head, 0, len(head))
    for field in range(len(kinds)):
        kind, number, size = kinds[field], numbers[row, field], sizes[row, field]
        if nullable[field]:
            out[at] = 0 if size == NULL else 2
            at += 1
            if size == NULL:
                continue
        if many[field]:
            if size > 0:
                at = write_varint(out, at, size)
                for item in range(number, number + size):
                    if kind == STRING:
                        at = write_varint(out, at, item_sizes[item])
                        at = copy_bytes(out, at, pool, items[item], item_sizes[item])
                    else:
                        at = write_varint(out, at, items[item])
            out[at] = 0
            at += 1
        elif kind == STRING:
            at = write_varint(out, at, size)
            at = copy_bytes(out, at, pool, number, size)
        elif kind == BOOLEAN:
            out[at] = number
            at += 1
        else:
            at = write_varint(out, at, number)
    return at


@kernel
def _write_values(
    head: UInt8Array,
    kinds: Int64Array,
    nullable: BoolArray,
    many: BoolArray,
    numbers: Int64Array,
    sizes: Int64Array,
    pool: UInt8Array,
    items: Int64Array,
    item_sizes: Int64Array,
    out: UInt8Array,
) -> None:
    at = 0
    for row in range(numbers.shape[0]):
        at = _write_value(
            head, kinds, nullable, many, numbers, sizes, pool, items, item_sizes, row, out, at
        )


@kernel
def _write_records(
    head: UInt8Array,
    kinds: Int64Array,
    nullable: BoolArray,
    many: BoolArray,
    numbers: Int64Array,
    sizes: Int64Array,
    pool: UInt8Array,
    items: Int64Array,
    item_sizes: Int64Array,
    lengths: Int64Array,
    first: int,
    end: int,
    key: int,
    timestamp: int,
    out: UInt8Array,
) -> int:
    """Write the records of some rows, as Apache Kafka's protocol guide has them."""
    at = 0
    for row in range(first, end):
        delta = numbers[row, timestamp] - numbers[first, timestamp]
        size = sizes[row, key]
        length = (
            2 + varint_bytes(delta) + varint_bytes(row - first) + varint_bytes(size) + size
        )  # attributes and number of headers are a byte each
        length += varint_bytes(lengths[row]) + lengths[row]
        at = write_varint(out, at, length)
        out[at] = 0
        at = write_varint(out, at + 1, delta)
        at = write_varint(out, at, row - first)
        at = write_varint(out, at, size)
        at = copy_bytes(out, at, pool, numbers[row, key], size)
        at = write_varint(out, at, lengths[row])
        at = _write_value(
            head, kinds, nullable, many, numbers, sizes, pool, items, item_sizes, row, out, at
        )
        out[at] = 0
        at += 1
    return at
