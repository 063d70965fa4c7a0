"""Split: the rows and columns of CSV found in its bytes, a window at a time.

The kernel goes on while rows are regular: as many columns as the header, quotes around whole
columns, lines that end in LF or CR LF. At any other row it stops and says where, and `csv.reader`
is asked about that row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from schemas.kernel import (
    BoolArray,
    Int32Array,
    Int64Array,
    UInt8Array,
    bytes_of,
    copy_bytes,
    kernel,
)

QUOTE, LF, CR = ord('"'), ord("\n"), ord("\r")
FULL, MORE, ODD = range(3)

ROW_BYTES_MAX: Final = 128 * 1024
"""A longer row is no regular one: `csv.reader` takes no column above that many characters."""
UNREAD: Final = -1


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Regular rows that lie one after another in a window, n of them.

    Attributes:
        begins: Where the text of each mapped column begins, shape (columns, n).
        sizes: Bytes of each, shape (columns, n).
        doubled: Whether there are doubled quotes among them, shape (columns, n).
        row_begins: Where each row begins, shape (n,).
        row_ends: Where it ends, without its line break, shape (n,).
        lines: The line it begins on, shape (n,).
        at: Where the next row begins.
        line: The line it begins on.
        why: FULL: there are as many as were asked for; MORE: the window ends within the next row;
            ODD: the next row is not regular.
    """

    begins: Int64Array
    sizes: Int64Array
    doubled: BoolArray
    row_begins: Int64Array
    row_ends: Int64Array
    lines: Int64Array
    at: int
    line: int
    why: int

    def __len__(self) -> int:
        return len(self.lines)

    def column(self, data: bytes, column: int) -> Any:
        """Return the texts of a mapped column."""
        sizes = self.sizes[column]
        pool = np.empty(int(sizes.sum()), dtype=np.uint8)
        offsets = np.zeros(len(self) + 1, dtype=np.int32)
        begins, doubled = self.begins[column], self.doubled[column]
        if doubled.any():
            _gather_single(bytes_of(data), begins, sizes, doubled, offsets, pool)
        else:
            _gather(bytes_of(data), begins, sizes, offsets, pool)
        return pa.StringArray.from_buffers(len(self), pa.py_buffer(offsets), pa.py_buffer(pool))


def split(
    data: bytes, at: int, *, line: int, delimiter: str, slots: Int64Array, rows_max: int
) -> Split:
    """Find regular rows from a position on, `rows_max` at most.

    Args:
        data: The window.
        at: Where a row begins in it.
        line: The line that row begins on.
        delimiter: One byte.
        slots: Which mapped column each column of the file is, UNREAD if it is none.
        rows_max: At most so many.
    """
    width = int(slots.max(initial=UNREAD)) + 1
    begins, sizes = (np.empty((width, rows_max), dtype=np.int64) for _ in range(2))
    doubled = np.zeros((width, rows_max), dtype=np.bool_)
    row_begins, row_ends, lines = (np.empty(rows_max, dtype=np.int64) for _ in range(3))
    place = bytes_of(data), at, line, ord(delimiter), slots
    count, at, line, why = _split(*place, begins, sizes, doubled, row_begins, row_ends, lines)
    return Split(
        begins=begins[:, :count],
        sizes=sizes[:, :count],
        doubled=doubled[:, :count],
        row_begins=row_begins[:count],
        row_ends=row_ends[:count],
        lines=lines[:count],
        at=int(at),
        line=int(line),
        why=int(why),
    )


@kernel
def _split(
    data: UInt8Array,
    at: int,
    line: int,
    delimiter: int,
    slots: Int64Array,
    begins: Int64Array,
    sizes: Int64Array,
    doubled: BoolArray,
    row_begins: Int64Array,
    row_ends: Int64Array,
    lines: Int64Array,
) -> tuple[int, int, int, int]:
    """Return how many rows there are, where and on which line the next begins, and why it stops."""
    n, width, count = len(data), len(slots), 0
    while count < len(lines):
        start, breaks = at, 0
        if at >= n:
            return count, start, line, MORE
        if data[at] == LF:  # An empty line is no row.
            at += 1
            line += 1
            continue
        if data[at] == CR:
            return count, start, line, ODD
        column, stop = 0, -1
        while stop < 0:
            if at >= n:
                return count, start, line, MORE
            begin, has_doubled = at, False
            if data[at] == QUOTE:
                begin += 1
                at += 1
                while at < n:
                    if data[at] == QUOTE:
                        if at + 1 >= n or data[at + 1] != QUOTE:
                            break
                        has_doubled = True
                        at += 1
                    elif data[at] == LF or (data[at] == CR and at + 1 < n and data[at + 1] != LF):
                        breaks += 1
                    at += 1
                    if at - start > ROW_BYTES_MAX:
                        return count, start, line, ODD
                end = at
                at += 1
            else:
                while at < n and data[at] != delimiter and data[at] != LF and data[at] != CR:
                    at += 1
                end = at
            if at >= n:
                return count, start, line, MORE
            if column == width:
                return count, start, line, ODD
            if slots[column] >= 0:
                begins[slots[column], count] = begin
                sizes[slots[column], count] = end - begin
                doubled[slots[column], count] = has_doubled
            column += 1
            if data[at] == delimiter:
                at += 1
            elif data[at] == LF:
                stop = at
                at += 1
            elif data[at] == CR:
                if at + 1 >= n:
                    return count, start, line, MORE
                if data[at + 1] != LF:
                    return count, start, line, ODD
                stop = at
                at += 2
            else:
                return count, start, line, ODD
        if column != width or stop - start > ROW_BYTES_MAX:
            return count, start, line, ODD
        row_begins[count], row_ends[count], lines[count] = start, stop, line
        count += 1
        line += 1 + breaks
    return count, at, line, FULL


@kernel
def _gather(
    data: UInt8Array, begins: Int64Array, sizes: Int64Array, offsets: Int32Array, pool: UInt8Array
) -> None:
    """Copy texts behind one another."""
    at = np.int64(0)
    for row in range(len(begins)):
        at = copy_bytes(pool, at, data, begins[row], sizes[row])
        offsets[row + 1] = at


@kernel
def _gather_single(
    data: UInt8Array,
    begins: Int64Array,
    sizes: Int64Array,
    doubled: BoolArray,
    offsets: Int32Array,
    pool: UInt8Array,
) -> None:
    """Copy texts behind one another, a single quote for each doubled one."""
    at = np.int64(0)
    for row in range(len(begins)):
        if doubled[row]:
            place, end = begins[row], begins[row] + sizes[row]
            while place < end:
                pool[at] = data[place]
                at += 1
                place += 2 if data[place] == QUOTE else 1
        else:
            at = copy_bytes(pool, at, data, begins[row], sizes[row])
        offsets[row + 1] = at
