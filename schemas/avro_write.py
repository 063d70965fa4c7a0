"""The loops that write Avro values and Kafka records; see `rows` for what they are given.

Columns are turned into rows by the block, so that what a row needs lies together when it is
written: to take every part from a column of its own costs three times as much.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from schemas.kernel import (
    BoolArray,
    Int64Array,
    Number,
    UInt8Array,
    copy_bytes,
    inlined,
    kernel,
    varint_bytes,
    write_varint,
)

WORD, TEXT, NUMBER = 0, 1, 2
"""Kinds of parts: bytes that are encoded already, text whose size goes before it, a number."""

NULL: Final = -1
ROW: Final = -1
FIRST: Final = -2
UNCODED: Final = -1
NOWHERE: Final = -1
BLOCK_ROWS: Final = 64
"""Rows that are laid out at a time; they and their columns stay in the nearest cache."""


@inlined
def _load(
    columns: Int64Array,
    words: Int64Array,
    numbers: Int64Array,
    base: int,
    begins: Int64Array,
    sizes: Int64Array,
    first: int,
    end: int,
    row_numbers: Int64Array,
    row_sizes: Int64Array,
) -> None:
    """Turn a block of columns into rows, where they are next to each other."""
    for part in range(len(columns)):
        column, word = columns[part], words[part]
        for row in range(first, end):
            number = np.int64(row)
            if column >= 0:
                number = numbers[column, row - base]
            elif column == FIRST:
                number = np.int64(0)
            if word == UNCODED:
                row_numbers[row - first, part] = number
            else:
                row_numbers[row - first, part] = begins[word + number]
                row_sizes[row - first, part] = sizes[word + number]


@inlined
def _value_bytes(
    kinds: Int64Array, nullable: BoolArray, numbers: Int64Array, sizes: Int64Array, row: int
) -> int:
    """Return how many bytes a value takes, given number and size of each part."""
    total = 0
    for part in range(len(kinds)):
        kind, size = kinds[part], sizes[row, part]
        if nullable[part]:
            total += 1
            if size == NULL:
                continue
        if kind == WORD:
            total += size
        elif kind == TEXT:
            total += varint_bytes(size) + size
        else:
            total += varint_bytes(numbers[row, part])
    return total


@inlined
def _write_value(
    kinds: Int64Array,
    nullable: BoolArray,
    pool: UInt8Array,
    numbers: Int64Array,
    sizes: Int64Array,
    row: int,
    out: UInt8Array,
    at: int,
) -> int:
    """Write a value and return the position behind it."""
    for part in range(len(kinds)):
        kind, number, size = kinds[part], numbers[row, part], sizes[row, part]
        if nullable[part]:
            out[at] = 0 if size == NULL else 2
            at += 1
            if size == NULL:
                continue
        if kind == NUMBER:
            at = write_varint(out, at, number)
        else:
            if kind == TEXT:
                at = write_varint(out, at, size)
            at = copy_bytes(out, at, pool, number, size)
    return at


@kernel
def write(
    kinds: Int64Array,
    nullable: BoolArray,
    columns: Int64Array,
    words: Int64Array,
    begins: Int64Array,
    sizes: Int64Array,
    pool: UInt8Array,
    key: int,
    time: int,
    numbers: Int64Array,
    base: int,
    row_numbers: Int64Array,
    row_sizes: Int64Array,
    begin: int,
    first: int,
    end: int,
    start_ms: int,
    lengths: Int64Array,
    out: UInt8Array,
    at: int,
) -> tuple[Number, Number]:
    """Write rows while they fit: values, or records if there is a key.

    Without a time all records have that of their batch.

    All arguments up to `time` are parts of `rows.Rows`.

    Args:
        numbers: The columns of some rows, shape (columns, rows).
        base: The first of those rows.
        row_numbers: Room for a block, shape (BLOCK_ROWS, parts).
        row_sizes: The same.
        begin: The first row of the batch.
        first: The first row to write.
        end: The row behind the last.
        start_ms: The time of the batch's first row.
        lengths: Takes how many bytes the value of each row takes, shape (n,).
        out: Takes the bytes.
        at: Where they go on.

    Returns:
        The row behind the last and the position behind it; or the first row and the bytes it takes,
        if not even that one fits.
    """
    for row in range(first, end):
        place = (row - first) % BLOCK_ROWS
        if place == 0:
            behind = min(row + BLOCK_ROWS, end)
            _load(
                columns, words, numbers, base, begins, sizes, row, behind, row_numbers, row_sizes
            )  # fmt: skip
        length = _value_bytes(kinds, nullable, row_numbers, row_sizes, place)
        lengths[row] = length
        needed = length
        delta: Number = np.int64(0)
        size: Number = np.int64(0)
        inner: Number = np.int64(0)
        if key != NOWHERE:
            size = row_sizes[place, key]
            if time != NOWHERE:
                delta = row_numbers[place, time] - start_ms
            # Attributes and number of headers are a byte each.
            inner = 2 + varint_bytes(delta) + varint_bytes(row - begin)
            inner += varint_bytes(size) + size + varint_bytes(length) + length
            needed = varint_bytes(inner) + inner
        if at + needed > len(out):
            return (row, at) if row > begin else (row, needed)
        if key != NOWHERE:
            at = write_varint(out, at, inner)
            out[at] = 0
            at = write_varint(out, at + 1, delta)
            at = write_varint(out, at, row - begin)
            at = write_varint(out, at, size)
            at = copy_bytes(out, at, pool, row_numbers[place, key], size)
            at = write_varint(out, at, length)
        at = _write_value(kinds, nullable, pool, row_numbers, row_sizes, place, out, at)
        if key != NOWHERE:
            out[at] = 0
            at += 1
    return end, at
