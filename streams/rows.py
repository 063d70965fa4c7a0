"""Loops over the rows of `Accounts`: copy states out, copy memories in.

A thousand accounts lie all over memory, so each costs some waiting for it and nothing else; a pass
of numpy for each column would pay for that again and again. What the next accounts need is fetched
meanwhile.
"""

from __future__ import annotations

from typing import Final

from carbon.exact import Int32Array, Int64Array
from schemas.kernel import inlined, kernel, prefetch

AHEAD: Final = 8
"""Accounts between the one at hand and that whose memory is fetched."""
LINE_BYTES: Final = 64


@inlined
def _fetch_ahead(
    at: int,
    rows: Int64Array,
    row_seen: Int64Array,
    row_days: Int32Array,
    row_seen_at: Int64Array,
    offsets: Int64Array,
) -> None:
    """Have fetched where an account further on begins, and of a nearer one what it remembers."""
    if at + 2 * AHEAD < len(rows) and rows[at + 2 * AHEAD] >= 0:
        prefetch(row_seen_at, rows[at + 2 * AHEAD])
    if 0 <= at + AHEAD < len(rows) and rows[at + AHEAD] >= 0:
        there = row_seen_at[rows[at + AHEAD]]
        count = offsets[at + AHEAD + 1] - offsets[at + AHEAD]
        for index in range(0, count, LINE_BYTES // 8):
            prefetch(row_seen, there + index)
        for index in range(0, count, LINE_BYTES // 4):
            prefetch(row_days, there + index)


@kernel
def read(
    rows: Int64Array,
    row_numbers: Int64Array,
    row_seen: Int64Array,
    row_days: Int32Array,
    row_seen_at: Int64Array,
    offsets: Int64Array,
    numbers: Int64Array,
    hashes: Int64Array,
    days: Int32Array,
) -> None:
    """Copy numbers and memory of some rows out; zeros for row -1."""
    flat = row_numbers.reshape(row_numbers.size)
    width = row_numbers.shape[1]
    for at in range(-2 * AHEAD, len(rows)):
        _fetch_ahead(at, rows, row_seen, row_days, row_seen_at, offsets)
        if at + 2 * AHEAD < len(rows) and rows[at + 2 * AHEAD] >= 0:
            prefetch(flat, rows[at + 2 * AHEAD] * width)
            prefetch(flat, rows[at + 2 * AHEAD] * width + width - 1)
        if at < 0:
            continue
        row = rows[at]
        for column in range(width):
            numbers[at, column] = 0 if row < 0 else row_numbers[row, column]
        if row < 0:
            continue
        there = row_seen_at[row] - offsets[at]
        for to in range(offsets[at], offsets[at + 1]):
            hashes[to] = row_seen[there + to]
            days[to] = row_days[there + to]


@kernel
def add(numbers: Int64Array, column: int, rows: Int64Array, amounts: Int64Array) -> None:
    """Add amounts to a column of numbers, each in its row. What numpy has for it holds the lock."""
    for at in range(len(rows)):
        numbers[rows[at], column] += amounts[at]


@kernel
def raise_to(numbers: Int64Array, column: int, rows: Int64Array, least: Int64Array) -> None:
    """Raise a column of numbers to what each row has to have at least."""
    for at in range(len(rows)):
        numbers[rows[at], column] = max(numbers[rows[at], column], least[at])


@kernel
def remember(
    rows: Int64Array,
    hashes: Int64Array,
    days: Int32Array,
    offsets: Int64Array,
    row_seen: Int64Array,
    row_days: Int32Array,
    row_seen_at: Int64Array,
) -> None:
    """Copy the memory of some accounts to their rows."""
    for at in range(-2 * AHEAD, len(rows)):
        _fetch_ahead(at, rows, row_seen, row_days, row_seen_at, offsets)
        if at < 0:
            continue
        there = row_seen_at[rows[at]] - offsets[at]
        for source in range(offsets[at], offsets[at + 1]):
            row_seen[there + source] = hashes[source]
            row_days[there + source] = days[source]


@kernel
def compact(
    row_seen: Int64Array,
    row_days: Int32Array,
    row_seen_at: Int64Array,
    counts: Int32Array,
    at: Int64Array,
    seen: Int64Array,
    days: Int32Array,
) -> None:
    """Copy the memory of all rows to new places."""
    for row in range(len(counts)):
        for index in range(counts[row]):
            seen[at[row] + index] = row_seen[row_seen_at[row] + index]
            days[at[row] + index] = row_days[row_seen_at[row] + index]
