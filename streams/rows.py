"""Loops over the rows of `Accounts`: copy states out, copy memories in.

A thousand accounts lie all over memory, so each costs some cache misses and nothing else; a pass
of numpy for each column would pay for them again and again.
"""

from __future__ import annotations

from carbon.exact import Int32Array, Int64Array
from schemas.kernel import kernel


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
    for at in range(len(rows)):
        row = rows[at]
        if row < 0:
            numbers[at, :] = 0
            continue
        numbers[at, :] = row_numbers[row, :]
        there = row_seen_at[row] - offsets[at]
        for to in range(offsets[at], offsets[at + 1]):
            hashes[to] = row_seen[there + to]
            days[to] = row_days[there + to]


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
    for at in range(len(rows)):
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
