"""Rows to be written: Arrow columns taken apart, so that one pass makes records of them.

Words that repeat (programmes, factors, regions) may come as dictionary columns; they are never
spelt out. The records are Avro values, alone or as the records of a Kafka batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.avro_read import ARROW, shapes_of
from schemas.avro_write import BLOCK_ROWS, NO_FIELD, NULL, ROW, UNCODED, write
from schemas.fields import Field
from schemas.kernel import (
    BoolArray,
    Int64Array,
    UInt8Array,
    bytes_of,
)

ROW_BYTES_GUESS: Final = 1024
VALUES_BYTES_MAX: Final = 8 << 20


Layout: TypeAlias = tuple[
    UInt8Array,
    Int64Array,
    BoolArray,
    Int64Array,
    Int64Array,
    Int64Array,
    Int64Array,
    Int64Array,
    Int64Array,
    UInt8Array,
]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """n records to be written, taken apart by their m fields.

    A field is a column of numbers, or of codes into words: a word is a string, bytes, or
    a number that may be null. A column that holds one number for all rows keeps it once.

    Attributes:
        head: Goes before every value.
        kinds: Kind of each field, shape (m,).
        nullable: Whether each may be null.
        columns: Where in `numbers` the column of each begins; ROW if the row is the code.
        steps: 1, or 0 for a column that holds one number for all rows.
        words: Where in `begins` and `sizes` the words of each begin; UNCODED without words.
        numbers: Numbers, symbols and codes.
        begins: Where each word begins in `pool`; or the number itself.
        sizes: Bytes of each string; NULL for a null.
        pool: All strings.
        count: n.
    """

    head: UInt8Array
    kinds: Int64Array
    nullable: BoolArray
    columns: Int64Array
    steps: Int64Array
    words: Int64Array
    numbers: Int64Array
    begins: Int64Array
    sizes: Int64Array
    pool: UInt8Array
    count: int

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
        parts = _Parts()
        for field, column in zip(fields, columns, strict=True):
            parts.add(field, column)
        return cls(
            bytes_of(head),
            *shapes_of(fields),
            np.array(parts.columns, dtype=np.int64),
            np.array(parts.steps, dtype=np.int64),
            np.array(parts.words, dtype=np.int64),
            parts.numbers.joined(),
            parts.begins.joined(),
            parts.sizes.joined(),
            bytes_of(np.concatenate(parts.texts) if parts.texts else b""),
            batch.num_rows,
        )

    def __len__(self) -> int:
        return self.count

    def column(self, field: int) -> Int64Array:
        """Return the numbers of a field that has no words, shape (n,)."""
        column: Int64Array = self.numbers[
            self.columns[field] + np.arange(len(self)) * self.steps[field]
        ]
        return column

    def values(self) -> list[bytes]:
        """Return the values one by one."""
        lengths = np.empty(len(self), dtype=np.int64)
        values: list[bytes] = []
        for data, first, end in self._written(
            0, len(self), VALUES_BYTES_MAX, NO_FIELD, NO_FIELD, lengths
        ):
            text, ends = bytes(data), np.cumsum(lengths[first:end])
            begins = (ends - lengths[first:end]).tolist()
            values += [text[a:b] for a, b in zip(begins, ends.tolist(), strict=True)]
        return values

    def records(
        self, *, key: int, time: int, bytes_max: int, first: int = 0, end: int | None = None
    ) -> Iterator[tuple[memoryview, int, int]]:
        """Yield rows as the records of Kafka batches: bytes, their first row, and the end.

        The bytes are overwritten when the next are asked for.

        Args:
            key: Index of the string field that is the key.
            time: Index of the instant that is the timestamp; NO_FIELD if all have the same.
            bytes_max: Limit of a batch; a larger record gets one of its own.
            first: First row.
            end: Row behind the last, all where not given.
        """
        lengths = np.empty(len(self), dtype=np.int64)
        last = len(self) if end is None else end
        yield from self._written(first, last, bytes_max, key, time, lengths)

    def _written(
        self, first: int, last: int, bytes_max: int, key: int, time: int, lengths: Int64Array
    ) -> Iterator[tuple[memoryview, int, int]]:
        out = np.empty(min(bytes_max, (last - first) * ROW_BYTES_GUESS), dtype=np.uint8)
        numbers, sizes = np.zeros((2, BLOCK_ROWS, len(self.kinds)), dtype=np.int64)
        while first < last:
            end, size = write(*self._layout(), first, last, key, time, numbers, sizes, lengths, out)
            if end == first:  # Not even one fits: this is what it takes.
                room = np.empty(size, dtype=np.uint8)
                end, size = write(
                    *self._layout(), first, first + 1, key, time, numbers, sizes, lengths, room
                )
                yield room[:size].data, first, end
            else:
                yield out[:size].data, first, end
            first = end

    def _layout(self) -> Layout:
        return (
            self.head,
            self.kinds,
            self.nullable,
            self.columns,
            self.steps,
            self.words,
            self.numbers,
            self.begins,
            self.sizes,
            self.pool,
        )


class _Flat:
    """Arrays that will be one."""

    def __init__(self) -> None:
        self._parts: list[Int64Array] = [np.empty(0, dtype=np.int64)]
        self._count = 0

    def add(self, part: Int64Array) -> int:
        """Add an array and return where it will begin."""
        begin = self._count
        self._parts.append(part)
        self._count += len(part)
        return begin

    def joined(self) -> Int64Array:
        return np.concatenate(self._parts, dtype=np.int64)


class _Parts:
    """What `Rows` is made of, field by field."""

    def __init__(self) -> None:
        self.columns: list[int] = []
        self.steps: list[int] = []
        self.words: list[int] = []
        self.numbers, self.begins, self.sizes = _Flat(), _Flat(), _Flat()
        self.texts: list[UInt8Array] = []
        self._text_bytes = 0

    def add(self, field: Field, column: Any) -> None:
        """Add the column of the next field."""
        codes, column = _taken_apart(column)
        if field.kind in ("string", "bytes"):
            self._add_words(codes, *self._strings(column))
        else:
            numbers = _numbers(field, column)
            if field.nullable:
                null = column.is_null().to_numpy(zero_copy_only=False)
                self._add_words(codes, numbers, np.where(null, NULL, 0))
            else:
                self._add_column(numbers if codes is None else numbers[codes])
                self.words.append(UNCODED)

    def _add_words(self, codes: Any, begins: Int64Array, sizes: Int64Array) -> None:
        if codes is None:
            self.columns.append(ROW)
            self.steps.append(0)
        else:
            self._add_column(codes)
        self.words.append(self.begins.add(begins))
        self.sizes.add(sizes)

    def _add_column(self, numbers: Int64Array) -> None:
        same = len(numbers) > 0 and bool((numbers == numbers[0]).all())
        self.columns.append(self.numbers.add(numbers[:1] if same else numbers))
        self.steps.append(0 if same else 1)

    def _strings(self, column: Any) -> tuple[Int64Array, Int64Array]:
        """Take the text of a string column; return where each string begins, and its size."""
        buffers = column.buffers()
        offsets = np.frombuffer(buffers[1], np.int32, len(column) + 1, column.offset * 4)
        begin, end = int(offsets[0]), int(offsets[-1])
        base = self._text_bytes - begin
        if end > begin:
            self.texts.append(np.frombuffer(buffers[2], np.uint8, end - begin, begin))
            self._text_bytes += end - begin
        sizes = (offsets[1:] - offsets[:-1]).astype(np.int64)
        if column.null_count:
            sizes[column.is_null().to_numpy(zero_copy_only=False)] = NULL
        return offsets[:-1] + np.int64(base), sizes


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
        kind = ARROW[field.kind]
        coded = pa.types.is_dictionary(column.type) and column.type.value_type == kind
        columns.append(column if coded or column.type == kind else column.cast(kind))
    return columns


def _taken_apart(column: Any) -> tuple[Int64Array | None, Any]:
    """Return codes and words of a dictionary column; any other is its own words."""
    if not pa.types.is_dictionary(column.type):
        return None, column
    if column.null_count:
        return None, column.cast(column.type.value_type)
    return column.indices.to_numpy(), column.dictionary


def _numbers(field: Field, column: Any) -> Int64Array:
    """Return numbers, indices of symbols or booleans, whatever lies below a null."""
    if field.kind == "boolean":
        flags: BoolArray = column.fill_null(False).to_numpy(zero_copy_only=False)
        return flags.astype(np.int64)
    if field.kind != "enum":
        return _integers(column)
    symbols = pc.index_in(column, value_set=pa.array(field.symbols, pa.string()))
    if symbols.null_count > column.null_count:
        odd = column.filter(pc.and_(symbols.is_null(), column.is_valid()))[0].as_py()
        raise ValueError(f"{field.name} has no symbol {odd!r}")
    numbers: Int64Array = symbols.fill_null(0).to_numpy().astype(np.int64)
    return numbers


def _integers(column: Any) -> Int64Array:
    """Return int32, int64 or timestamp values as stored, whatever lies below a null."""
    if column.buffers()[1] is None:
        return np.zeros(len(column), dtype=np.int64)
    kind = np.dtype(np.int32 if column.type == pa.int32() else np.int64)
    stored: npt.NDArray[Any] = np.frombuffer(
        column.buffers()[1], kind, len(column), column.offset * kind.itemsize
    )
    return stored.astype(np.int64, copy=False)
