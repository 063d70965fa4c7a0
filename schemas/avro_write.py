"""The loops that write Avro values and Kafka records; see `rows` for what they are given.

Columns are turned into rows by the block, so that what a row needs lies together when it is
written: to take every field from a column of its own costs three times as much. The arguments are
the parts of `rows.Layout`.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from schemas.avro_read import BOOLEAN, BYTES, ENUM, STRING
from schemas.kernel import (
    BoolArray,
    Int64Array,
    Number,
    UInt8Array,
    copy_bytes,
    kernel,
    varint_bytes,
    write_varint,
)

NULL: Final = -1
ROW: Final = -1
UNCODED: Final = -1
NO_FIELD: Final = -1
BLOCK_ROWS: Final = 64
"""Rows that are laid out at a time; they and their columns stay in the nearest cache."""


@kernel
def _load(
    columns: Int64Array,
    steps: Int64Array,
    words: Int64Array,
    numbers: Int64Array,
    begins: Int64Array,
    sizes: Int64Array,
    first: int,
    end: int,
    row_numbers: Int64Array,
    row_sizes: Int64Array,
) -> None:
    """Turn a block of columns into rows, where they are next to each other."""
    for field in range(len(columns)):
        column, step, word = columns[field], steps[field], words[field]
        for row in range(first, end):
            number = row if column == ROW else numbers[column + row * step]
            if word == UNCODED:
                row_numbers[row - first, field] = number
            else:
                row_numbers[row - first, field] = begins[word + number]
                row_sizes[row - first, field] = sizes[word + number]


@kernel
def _value_bytes(
    head: UInt8Array,
    kinds: Int64Array,
    nullable: BoolArray,
    numbers: Int64Array,
    sizes: Int64Array,
) -> int:
    """Return how many bytes a value takes, given number and size of each field."""
    total = len(head)
    for field in range(len(kinds)):
        kind, number, size = kinds[field], numbers[field], sizes[field]
        if nullable[field]:
            total += 1
            if size == NULL:
                continue
        if kind in (STRING, BYTES):
            total += varint_bytes(size) + size
        elif kind in (BOOLEAN, ENUM):
            total += 1
        else:
            total += varint_bytes(number)
    return total


@kernel
def _write_value(
    head: UInt8Array,
    kinds: Int64Array,
    nullable: BoolArray,
    pool: UInt8Array,
    numbers: Int64Array,
    sizes: Int64Array,
    out: UInt8Array,
    at: int,
) -> int:
    """Write a value and return the position behind it."""
    at = copy_bytes(out, at, head, 0, len(head))
    for field in range(len(kinds)):
        kind, number, size = kinds[field], numbers[field], sizes[field]
        if nullable[field]:
            out[at] = 0 if size == NULL else 2
            at += 1
            if size == NULL:
                continue
        if kind in (STRING, BYTES):
            at = write_varint(out, at, size)
            at = copy_bytes(out, at, pool, number, size)
        elif kind == BOOLEAN:
            out[at] = number
            at += 1
        else:
            at = write_varint(out, at, number)
    return at


@kernel
def write(
    head: UInt8Array,
    kinds: Int64Array,
    nullable: BoolArray,
    columns: Int64Array,
    steps: Int64Array,
    words: Int64Array,
    numbers: Int64Array,
    begins: Int64Array,
    sizes: Int64Array,
    pool: UInt8Array,
    first: int,
    count: int,
    key: int,
    time: int,
    row_numbers: Int64Array,
    row_sizes: Int64Array,
    lengths: Int64Array,
    out: UInt8Array,
) -> tuple[Number, Number]:
    """Write rows while they fit: values, or records if there is a key.

    Without a time all records have that of their batch.

    Returns the row behind the last and the bytes they take; or the first row and the bytes it
    takes, if not even that one fits.
    """
    at = 0
    start = np.int64(0)
    for row in range(first, count):
        place = (row - first) % BLOCK_ROWS
        if place == 0:
            end = min(row + BLOCK_ROWS, count)
            _load(columns, steps, words, numbers, begins, sizes, row, end, row_numbers, row_sizes)
        own_numbers, own_sizes = row_numbers[place], row_sizes[place]
        length = _value_bytes(head, kinds, nullable, own_numbers, own_sizes)
        lengths[row] = length
        needed = length
        if key != NO_FIELD:
            delta: Number = np.int64(0)
            size = own_sizes[key]
            if time != NO_FIELD:
                if row == first:
                    start = own_numbers[time]
                delta = own_numbers[time] - start
            # Attributes and number of headers are a byte each.
            inner = 2 + varint_bytes(delta) + varint_bytes(row - first)
            inner += varint_bytes(size) + size + varint_bytes(length) + length
            needed = varint_bytes(inner) + inner
        if at + needed > len(out):
            return (row, at) if row > first else (row, needed)
        if key != NO_FIELD:
            at = write_varint(out, at, inner)
            out[at] = 0
            at = write_varint(out, at + 1, delta)
            at = write_varint(out, at, row - first)
            at = write_varint(out, at, size)
            at = copy_bytes(out, at, pool, own_numbers[key], size)
            at = write_varint(out, at, length)
        at = _write_value(head, kinds, nullable, pool, own_numbers, own_sizes, out, at)
        if key != NO_FIELD:
            out[at] = 0
            at += 1
    return count, at
