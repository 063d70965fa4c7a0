"""Reading Avro records by columns: one pass over the bytes of a slice, checked byte by byte.

A row is read if its bytes are the one encoding of a record (see `singles`): shortest varints, ints
within 32 bits, strings in UTF-8, nothing behind the end. Of any other row it
is only said that it is none; `singles` says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import pyarrow as pa

from schemas.fields import Field
from schemas.kernel import (
    BROKEN,
    BoolArray,
    Int32Array,
    Int64Array,
    Number,
    UInt8Array,
    copy_bytes,
    inlined,
    kernel,
    read_varint,
    word_at,
)

LONG, INT, BOOLEAN, ENUM, STRING, BYTES = range(6)
KINDS: Final = {
    "long": LONG,
    "instant": LONG,
    "int": INT,
    "boolean": BOOLEAN,
    "enum": ENUM,
    "string": STRING,
    "bytes": BYTES,
}
ARROW: Final = {
    "string": pa.string(),
    "bytes": pa.binary(),
    "enum": pa.string(),
    "int": pa.int32(),
    "long": pa.int64(),
    "boolean": pa.bool_(),
    "instant": pa.timestamp("ms"),
}
BLOCK_ROWS: Final = 64
INT_MAX: Final = 2**31 - 1
HIGH_BITS: Final = np.uint64(0x8080808080808080)


def read_rows(
    data: UInt8Array, begins: Int64Array, ends: Int64Array, fields: Sequence[Field]
) -> tuple[list[pa.Array], BoolArray]:
    """Return a column for each field of the rows that can be read, and which rows those are.

    Args:
        data: The buffer with all records.
        begins: Where each record begins, shape (n,).
        ends: Where it ends, shape (n,).
        fields: The record's fields in the version the rows were written in.

    Returns:
        Columns of k rows, and the mask of those k among the n.
    """
    n = len(begins)
    kinds, nullable = shapes_of(fields)
    symbols = np.array([len(field.symbols) for field in fields], dtype=np.int64)
    numbers = np.empty((len(fields), n), dtype=np.int64)
    places = np.empty((len(fields), n), dtype=np.int64)
    good = np.empty(n, dtype=np.bool_)
    row_numbers, row_places = np.zeros((2, BLOCK_ROWS, len(fields)), dtype=np.int64)
    k = _scan(
        data, begins, ends, kinds, nullable, symbols, numbers, places, row_numbers, row_places, good
    )  # fmt: skip
    columns = [
        _column(field, data, numbers[index, :k], places[index, :k])
        for index, field in enumerate(fields)
    ]
    return columns, good


def shapes_of(fields: Sequence[Field]) -> tuple[Int64Array, BoolArray]:
    """Return of each field its kind, and whether it may be null."""
    return _shapes(tuple((field.kind, field.nullable) for field in fields))


@lru_cache(maxsize=256)
def _shapes(of: tuple[tuple[str, bool], ...]) -> tuple[Int64Array, BoolArray]:
    kinds, nullable = zip(*of, strict=True)
    return (
        np.array([KINDS[kind] for kind in kinds], dtype=np.int64),
        np.array(nullable, dtype=np.bool_),
    )


def _column(field: Field, data: UInt8Array, numbers: Int64Array, places: Int64Array) -> pa.Array:
    """Return a column of values; numbers hold the size of text, places its begin or a null's -1."""
    n = len(numbers)
    valid = places >= 0
    no_nulls = bool(valid.all())
    mask = None if no_nulls else pa.array(valid).buffers()[1]
    if field.kind in ("string", "bytes"):
        offsets = np.empty(n + 1, dtype=np.int32)
        text = np.empty(int(numbers.sum()), dtype=np.uint8)
        _gather(data, places, numbers, offsets, text)
        return pa.Array.from_buffers(
            ARROW[field.kind], n, [mask, pa.py_buffer(offsets), pa.py_buffer(text)]
        )
    if field.kind == "enum":
        words = pa.array(field.symbols, pa.string())
        return words.take(pa.array(numbers, mask=None if no_nulls else ~valid))
    if field.kind == "boolean":
        return pa.array(numbers != 0, mask=None if no_nulls else ~valid)
    stored = numbers.astype(np.int32) if field.kind == "int" else numbers
    return pa.Array.from_buffers(ARROW[field.kind], n, [mask, pa.py_buffer(stored)])


@kernel
def _scan(
    data: UInt8Array,
    begins: Int64Array,
    ends: Int64Array,
    kinds: Int64Array,
    nullable: BoolArray,
    symbols: Int64Array,
    numbers: Int64Array,
    places: Int64Array,
    row_numbers: Int64Array,
    row_places: Int64Array,
    good: BoolArray,
) -> int:
    """Read every row; return how many are good, in the first columns of numbers and places."""
    # Rows are read next to each other and turned into columns by the block.
    done, held = 0, 0
    for row in range(len(begins)):
        at = _row(
            data, begins[row], ends[row], kinds, nullable, symbols,
            row_numbers[held], row_places[held],
        )  # fmt: skip
        good[row] = at == ends[row]
        held += 1 if good[row] else 0
        if held == BLOCK_ROWS or row == len(begins) - 1:
            for field in range(len(kinds)):
                for index in range(held):
                    numbers[field, done + index] = row_numbers[index, field]
                    places[field, done + index] = row_places[index, field]
            done += held
            held = 0
    return done


@inlined
def _row(
    data: UInt8Array,
    at: int,
    end: int,
    kinds: Int64Array,
    nullable: BoolArray,
    symbols: Int64Array,
    numbers: Int64Array,
    places: Int64Array,
) -> Number:
    """Read a row and return the position behind it; a null's place is -1."""
    for field in range(len(kinds)):
        if nullable[field]:
            branch, at = read_varint(data, at, end)
            if at != BROKEN and branch == 0:
                numbers[field], places[field] = 0, -1
                continue
            if branch != 1:
                return BROKEN
        numbers[field], places[field], at = _value(data, at, end, kinds[field], symbols[field])
        if at == BROKEN:
            return BROKEN
    return at


@inlined
def _value(
    data: UInt8Array, at: int, end: int, kind: int, symbols: int
) -> tuple[Number, Number, Number]:
    """Return number or size, place, and the position behind it."""
    if kind == BOOLEAN:
        if at >= end or data[at] > 1:
            return 0, 0, BROKEN
        return np.int64(data[at]), at, at + 1
    number, behind = read_varint(data, at, end)
    if behind == BROKEN:
        return 0, 0, BROKEN
    if kind in (STRING, BYTES):
        if number < 0 or number > end - behind:
            return 0, 0, BROKEN
        if kind == STRING and not _is_text(data, behind, behind + number):
            return 0, 0, BROKEN
        return number, behind, behind + number
    if kind == INT and (number > INT_MAX or number < -INT_MAX - 1):
        return 0, 0, BROKEN
    if kind == ENUM and (number < 0 or number >= symbols):
        return 0, 0, BROKEN
    return number, at, behind


@inlined
def _is_text(data: UInt8Array, at: int, end: int) -> bool:
    """Return whether bytes are UTF-8, eight at a time where they are ASCII."""
    begin = at
    while at + 8 <= end and word_at(data, at) & HIGH_BITS == 0:
        at += 8
    rest = end - at
    if rest < 8 and at + 8 <= len(data):
        mask = (np.uint64(1) << np.uint64(8 * rest)) - np.uint64(1)
        if word_at(data, at) & HIGH_BITS & mask == 0:
            return True
    return _is_utf8(data, begin, end)


@kernel
def _is_utf8(data: UInt8Array, at: int, end: int) -> bool:
    """Return whether bytes are UTF-8: no surrogates, nothing overlong, nothing beyond U+10FFFF."""
    while at < end:
        byte = data[at]
        if byte < 0x80:
            at += 1
            continue
        if 0xC2 <= byte <= 0xDF:
            more, least, most = 1, 0x80, 0xBF
        elif 0xE0 <= byte <= 0xEF:
            more = 2
            least = 0xA0 if byte == 0xE0 else 0x80
            most = 0x9F if byte == 0xED else 0xBF
        elif 0xF0 <= byte <= 0xF4:
            more = 3
            least = 0x90 if byte == 0xF0 else 0x80
            most = 0x8F if byte == 0xF4 else 0xBF
        else:
            return False
        if at + more >= end:
            return False
        if data[at + 1] < least or data[at + 1] > most:
            return False
        for index in range(2, more + 1):
            if data[at + index] < 0x80 or data[at + index] > 0xBF:
                return False
        at += more + 1
    return True


@kernel
def _gather(
    data: UInt8Array, places: Int64Array, sizes: Int64Array, offsets: Int32Array, text: UInt8Array
) -> None:
    """Copy strings to one another; a null has no size."""
    to = np.int64(0)
    for row in range(len(places)):
        offsets[row] = to
        to = copy_bytes(text, to, data, places[row], sizes[row])
    offsets[len(places)] = to
