"""Rows to be written: Arrow columns taken apart, so that one pass makes records of them.

A record is written part by part. What is one word for all rows, or one of a few (programmes,
factors, regions, nulls), is encoded once, and fields of that kind that follow each other are one
part: the loops copy it and know nothing of its fields. Text and numbers of which each row has its
own are parts of their own.

The records are Avro values, alone or as the records of a Kafka batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.avro_read import ARROW
from schemas.avro_write import (
    BLOCK_ROWS,
    FIRST,
    NOWHERE,
    NULL,
    NUMBER,
    ROW,
    TEXT,
    UNCODED,
    WORD,
    write,
)
from schemas.fields import Field
from schemas.kernel import BoolArray, Int64Array, UInt8Array, bytes_of
from schemas.spoken import IS_NULL, IS_VALUE, Spoken, few_numbers, few_texts

ROW_BYTES_GUESS: Final = 1024
VALUES_BYTES_MAX: Final = 8 << 20
CHUNK_ROWS: Final = 2048
"""Rows whose columns are gathered at a time: those of all would not stay in a near cache."""

_NO_TEXT: Final = np.empty(0, dtype=np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """n records to be written, in m parts.

    Attributes:
        kinds: Kind of each part, shape (m,).
        nullable: Whether each may be null, shape (m,).
        columns: Which of `codes` each has; ROW if the row is the code, FIRST if it is 0.
        words: Where in `begins` and `sizes` the words of each begin; UNCODED if codes are numbers.
        begins: Where each word begins in `pool`; or the number itself.
        sizes: Bytes of each word; NULL for a null.
        pool: All words.
        key: The part that is the key, or NOWHERE.
        time: The part that is the timestamp, or NOWHERE.
        codes: Columns of codes or numbers, each of shape (n,).
        count: n.
    """

    kinds: Int64Array
    nullable: BoolArray
    columns: Int64Array
    words: Int64Array
    begins: Int64Array
    sizes: Int64Array
    pool: UInt8Array
    key: int
    time: int
    codes: Sequence[npt.NDArray[Any]]
    count: int

    @classmethod
    def of(
        cls,
        batch: pa.RecordBatch,
        fields: Sequence[Field],
        head: bytes,
        *,
        key: str = "",
        time: str = "",
    ) -> Rows:
        """Return the records of a batch.

        Args:
            batch: Its columns are taken by name and cast where nothing is lost by it.
            fields: The record's fields.
            head: Goes before every value.
            key: The string field that is the key of a message, if they are to be records.
            time: The instant that is its timestamp; if none is, all have the same.

        Raises:
            ValueError: A column is missing or unknown, does not fit its field without loss, or
                has nulls where the schema allows none.
        """
        parts, places = _Parts(head), {"": NOWHERE}
        for field, column in zip(fields, _columns(batch, fields), strict=True):
            places[field.name] = parts.add(field, column, alone=field.name in (key, time))
        parts.end()
        return cls(
            np.array(parts.kinds, dtype=np.int64),
            np.array(parts.nullable, dtype=np.bool_),
            np.array(parts.columns, dtype=np.int64),
            np.array(parts.words, dtype=np.int64),
            _joined(parts.begins),
            _joined(parts.sizes),
            bytes_of(np.concatenate([_NO_TEXT, *parts.texts])),
            places[key],
            places[time],
            parts.codes,
            batch.num_rows,
        )

    def __len__(self) -> int:
        return self.count

    def values(self) -> list[bytes]:
        """Return the values one by one, where there is no key."""
        lengths = np.empty(len(self), dtype=np.int64)
        values: list[bytes] = []
        for data, first, end in self._written(0, len(self), VALUES_BYTES_MAX, lengths):
            text, ends = bytes(data), np.cumsum(lengths[first:end])
            begins = (ends - lengths[first:end]).tolist()
            values += [text[a:b] for a, b in zip(begins, ends.tolist(), strict=True)]
        return values

    def records(
        self, *, bytes_max: int, first: int = 0, end: int | None = None
    ) -> Iterator[tuple[memoryview, int, int]]:
        """Yield rows as the records of Kafka batches: bytes, their first row, and the end.

        The bytes are overwritten when the next are asked for.

        Args:
            bytes_max: Limit of a batch; a larger record gets one of its own.
            first: First row.
            end: Row behind the last, all where not given.
        """
        lengths = np.empty(len(self), dtype=np.int64)
        yield from self._written(first, len(self) if end is None else end, bytes_max, lengths)

    def span(self, first: int, end: int) -> tuple[int, int]:
        """Return the first and the latest timestamp of rows."""
        times = self.codes[self.columns[self.time]]
        return int(times[first]), int(times[first:end].max())

    def _written(
        self, first: int, last: int, bytes_max: int, lengths: Int64Array
    ) -> Iterator[tuple[memoryview, int, int]]:
        out = np.empty(min(bytes_max, (last - first) * ROW_BYTES_GUESS), dtype=np.uint8)
        chunk = np.empty((len(self.codes), min(CHUNK_ROWS, last - first)), dtype=np.int64)
        numbers, sizes = np.zeros((2, BLOCK_ROWS, len(self.kinds)), dtype=np.int64)
        parts = (
            self.kinds, self.nullable, self.columns, self.words, self.begins, self.sizes, self.pool,
            self.key, self.time,
        )  # fmt: skip
        times = None if self.time == NOWHERE else self.codes[self.columns[self.time]]
        begin, base, behind, at = first, first, first, 0
        while first < last:
            if first == behind:
                base, behind = first, min(first + CHUNK_ROWS, last)
                for column, codes in zip(chunk, self.codes, strict=True):
                    column[: behind - base] = codes[base:behind]
            start_ms = 0 if times is None else int(times[begin])
            rest = (chunk, base, numbers, sizes, begin)
            first, at = write(*parts, *rest, first, behind, start_ms, lengths, out, at)
            if first == behind < last:
                continue
            if first == begin:  # Not even one fits: this is what it takes.
                room = np.empty(at, dtype=np.uint8)
                first, at = write(*parts, *rest, first, first + 1, start_ms, lengths, room, 0)
                yield room[:at].data, begin, first
            else:
                yield out[:at].data, begin, first
            begin, at = first, 0


class _Parts:
    """What `Rows` is made of, field by field."""

    def __init__(self, head: bytes) -> None:
        self.kinds: list[int] = []
        self.nullable: list[bool] = []
        self.columns: list[int] = []
        self.words: list[int] = []
        self.codes: list[npt.NDArray[Any]] = []
        self.begins: list[Int64Array] = []
        self.sizes: list[Int64Array] = []
        self.texts: list[UInt8Array] = []
        self._places: dict[tuple[int, int, int], int] = {}
        self._words_count = 0
        self._text_bytes = 0
        self._spoken = Spoken([head])

    def add(self, field: Field, column: Any, *, alone: bool = False) -> int:
        """Add the column of the next field and return the part that it is, if it is `alone`."""
        codes, words = _taken_apart(column)
        nulls = _nulls(words) if field.nullable else None
        if nulls is not None and nulls.all() and not alone:
            return self._say(Spoken([IS_NULL]))
        is_text = field.kind in ("string", "bytes")
        few = None
        if is_text:
            few = None if alone else few_texts(field, codes, words)
        else:
            numbers = _numbers(field, words)
            numbers = numbers if codes is None else numbers[codes]
            few = None if alone else few_numbers(field, numbers, nulls)
        if few is not None:
            return self._say(few)
        if field.nullable and nulls is None:
            self._say(Spoken([IS_VALUE]))
        self.end()
        if is_text:
            self._add_texts(codes, words, nullable=nulls is not None)
        elif nulls is None:
            self._add_part(NUMBER, UNCODED, numbers, nullable=False)
        else:
            self._add_words(
                NUMBER, None, numbers, np.where(nulls, NULL, 0), _NO_TEXT, nullable=True
            )
        return len(self.kinds) - 1

    def end(self) -> None:
        """Make a part of what has been said and is none yet."""
        said, self._spoken = self._spoken, Spoken([b""])
        if said.codes is not None or said.words[0]:
            sizes = np.array([len(word) for word in said.words], dtype=np.int64)
            text = np.frombuffer(b"".join(said.words), np.uint8)
            codes = FIRST if said.codes is None else said.codes
            self._add_words(WORD, codes, np.cumsum(sizes) - sizes, sizes, text)

    def _say(self, few: Spoken) -> int:
        if (both := self._spoken.and_then(few)) is None:
            self.end()
            both = few
        self._spoken = both
        return NOWHERE

    def _add_texts(self, codes: Int64Array | None, texts: Any, *, nullable: bool) -> None:
        """Add a part with texts; those that an earlier part has are taken once."""
        place = (texts.buffers()[1].address, texts.offset, len(texts))
        if (words := self._places.get(place)) is None:
            self._places[place] = self._words_count
            self._add_words(TEXT, codes, *_strings(texts), nullable=nullable)
        else:
            self._add_part(TEXT, words, ROW if codes is None else codes, nullable=nullable)

    def _add_words(
        self,
        kind: int,
        codes: npt.NDArray[Any] | int | None,
        begins: Int64Array,
        sizes: Int64Array,
        text: UInt8Array,
        *,
        nullable: bool = False,
    ) -> None:
        """Add a part with words: where each begins in a text, or the number that it is."""
        self._add_part(kind, self._words_count, ROW if codes is None else codes, nullable=nullable)
        self.begins.append(begins + self._text_bytes if len(text) else begins)
        self.sizes.append(sizes)
        self.texts.append(text)
        self._words_count += len(sizes)
        self._text_bytes += len(text)

    def _add_part(
        self, kind: int, words: int, codes: npt.NDArray[Any] | int, *, nullable: bool
    ) -> None:
        self.kinds.append(kind)
        self.nullable.append(nullable)
        self.words.append(words)
        if isinstance(codes, int):
            self.columns.append(codes)
        else:
            self.columns.append(len(self.codes))
            self.codes.append(codes)


def _joined(parts: Sequence[Int64Array]) -> Int64Array:
    return np.concatenate([np.empty(0, dtype=np.int64), *parts])


def _nulls(column: Any) -> BoolArray | None:
    """Return which items are null, None if none is."""
    if not column.null_count:
        return None
    nulls: BoolArray = column.is_null().to_numpy(zero_copy_only=False)
    return nulls


def _strings(column: Any) -> tuple[Int64Array, Int64Array, UInt8Array]:
    """Return where each string of a column begins, its size, NULL for a null, and the text."""
    buffers = column.buffers()
    offsets = np.frombuffer(buffers[1], np.int32, len(column) + 1, column.offset * 4)
    begin, end = int(offsets[0]), int(offsets[-1])
    text = np.frombuffer(buffers[2], np.uint8, end - begin, begin) if end > begin else _NO_TEXT
    sizes = (offsets[1:] - offsets[:-1]).astype(np.int64)
    if (nulls := _nulls(column)) is not None:
        sizes[nulls] = NULL
    return offsets[:-1] - np.int64(begin), sizes, text


def _columns(batch: pa.RecordBatch, fields: Sequence[Field]) -> list[Any]:
    names = batch.schema.names
    if sorted(names) != sorted(field.name for field in fields):
        odd = sorted(set(names) ^ {field.name for field in fields})
        raise ValueError(f"columns of the batch and fields of the record differ: {odd}")
    columns = []
    for field in fields:
        column = batch.column(field.name)
        coded = isinstance(column, pa.DictionaryArray)
        if coded and (column.null_count or column.dictionary.null_count):
            column, coded = column.cast(column.type.value_type), False  # Nulls are those of rows.
        if column.null_count and not field.nullable:
            raise ValueError(f"{field.name} has nulls")
        kind = ARROW[field.kind]
        fits = column.type == kind or (coded and column.type.value_type == kind)
        columns.append(column if fits else column.cast(kind))
    return columns


def _taken_apart(column: Any) -> tuple[Int64Array | None, Any]:
    """Return codes and words of a dictionary column, which has no nulls; any other is its own."""
    if isinstance(column, pa.DictionaryArray):
        return column.indices.to_numpy(), column.dictionary
    return None, column


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
