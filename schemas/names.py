"""Names: which row each of many different strings has, without a Python object for any of them.

The strings lie in one buffer and are found by their hash, a thousand of them in one call. Rows
count from 0 in the order in which names were added, and are never reused, so whoever keeps
something for each name keeps it in arrays.
"""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.identity import text_hashes
from schemas.kernel import Int32Array, Int64Array, UInt8Array, bytes_of, inlined, kernel, prefetch

D = TypeVar("D", bound=np.generic)

FIRST_ROWS: Final = 1024
SLOTS_PER_ROW: Final = 2
"""Slots of the index for each row there is room for: at most half of them are taken."""

ABSENT: Final = -1

AHEAD: Final = 8
"""Names between one step of the look-up and the next."""


class Names:
    """Different strings and their rows."""

    def __init__(self) -> None:
        self._count = 0
        self._slots = np.zeros(FIRST_ROWS * SLOTS_PER_ROW, dtype=np.int32)  # Row + 1; 0 is free.
        self._hashes = np.zeros(FIRST_ROWS, dtype=np.int64)
        self._text = np.zeros(FIRST_ROWS * 16, dtype=np.uint8)
        self._offsets = np.zeros(FIRST_ROWS + 1, dtype=np.int64)

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Bytes of memory, room to grow among them."""
        return sum(array.nbytes for array in (self._slots, self._hashes, self._text, self._offsets))

    def all(self) -> pa.StringArray:
        """Return the names in the order of their rows."""
        offsets = self._offsets[: self._count + 1]
        return pa.LargeStringArray.from_buffers(
            len(self), pa.py_buffer(offsets), pa.py_buffer(self._text)
        ).cast(pa.string())

    def rows(self, names: pa.StringArray) -> Int64Array:
        """Return the row of each of n names, ABSENT for one that has none."""
        rows = np.empty(len(names), dtype=np.int64)
        text, offsets = _text_of(names)
        _find(
            text_hashes(names), text, offsets, self._slots, self._hashes, self._text,
            self._offsets, rows,
        )  # fmt: skip
        return rows

    def add(self, names: pa.StringArray) -> Int64Array:
        """Return the rows made for n different names that have none."""
        first, end = self._count, self._count + len(names)
        text, offsets = _text_of(names)
        begin = int(self._offsets[first])
        size = int(offsets[-1]) - int(offsets[0])
        self._grow(end, begin + size)
        self._text[begin : begin + size] = text[offsets[0] : offsets[-1]]
        self._offsets[first + 1 : end + 1] = offsets[1:] - offsets[0] + np.int64(begin)
        self._hashes[first:end] = text_hashes(names)
        self._count = end
        _index(self._hashes, first, end, self._slots)
        return np.arange(first, end)

    def _grow(self, rows: int, text_bytes: int) -> None:
        self._text = grown(self._text, text_bytes)
        if rows <= len(self._hashes):
            return
        self._hashes = grown(self._hashes, rows)
        room = len(self._hashes)
        self._offsets = grown(self._offsets, room + 1)
        if room * SLOTS_PER_ROW > len(self._slots):
            slots = 1 << (room * SLOTS_PER_ROW - 1).bit_length()
            self._slots = np.zeros(slots, dtype=np.int32)
            _index(self._hashes, 0, self._count, self._slots)


def grown(array: npt.NDArray[D], count: int) -> npt.NDArray[D]:
    """Return an array with room for that many and more, or the array itself if it has it."""
    if count <= len(array):
        return array
    larger = np.zeros((max(count, len(array) * 3 // 2), *array.shape[1:]), dtype=array.dtype)
    larger[: len(array)] = array
    return larger


def _text_of(names: pa.StringArray) -> tuple[UInt8Array, Int32Array]:
    buffers = names.buffers()
    offsets: Int32Array = np.frombuffer(buffers[1], np.int32, len(names) + 1, names.offset * 4)
    return bytes_of(buffers[2] or b""), offsets


@inlined
def _fetch_ahead(
    at: int,
    hashes: Int64Array,
    slots: Int32Array,
    row_hashes: Int64Array,
    row_text: UInt8Array,
    row_offsets: Int64Array,
) -> None:
    """Have fetched what the names behind the one at hand will need, each further step sooner."""
    mask = len(slots) - 1
    if at + 3 * AHEAD < len(hashes):
        prefetch(slots, hashes[at + 3 * AHEAD] & mask)
    if 0 <= at + 2 * AHEAD < len(hashes):
        row = slots[hashes[at + 2 * AHEAD] & mask] - 1
        if row >= 0:
            prefetch(row_hashes, row)
            prefetch(row_offsets, row)
    if 0 <= at + AHEAD < len(hashes):
        row = slots[hashes[at + AHEAD] & mask] - 1
        if row >= 0:
            prefetch(row_text, row_offsets[row])


@kernel
def _find(
    hashes: Int64Array,
    text: UInt8Array,
    offsets: Int32Array,
    slots: Int32Array,
    row_hashes: Int64Array,
    row_text: UInt8Array,
    row_offsets: Int64Array,
    rows: Int64Array,
) -> None:
    # To look up a name is to wait for memory four times; others are looked up meanwhile.
    mask = len(slots) - 1
    for at in range(-3 * AHEAD, len(hashes)):
        _fetch_ahead(at, hashes, slots, row_hashes, row_text, row_offsets)
        if at < 0:
            continue
        begin, size = offsets[at], offsets[at + 1] - offsets[at]
        slot = hashes[at] & mask
        rows[at] = ABSENT
        while slots[slot] != 0:
            row = slots[slot] - 1
            if row_hashes[row] == hashes[at]:
                there = row_offsets[row]
                same = row_offsets[row + 1] - there == size
                index = 0
                while same and index < size:
                    same = row_text[there + index] == text[begin + index]
                    index += 1
                if same:
                    rows[at] = row
                    break
            slot = (slot + 1) & mask


@kernel
def _index(row_hashes: Int64Array, first: int, end: int, slots: Int32Array) -> None:
    """Enter rows first to end into the slots."""
    mask = len(slots) - 1
    for row in range(first, end):
        slot = row_hashes[row] & mask
        while slots[slot] != 0:
            slot = (slot + 1) & mask
        slots[slot] = row + 1
