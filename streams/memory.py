"""What accounts remember: the hashes of recent events, so that a repeat is known as one.

An account's list is short, so it is searched from end to end; a slice reads the lists of its
accounts once and writes them once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from carbon.exact import BoolArray, Int32Array, Int64Array
from schemas.kernel import UInt8Array, kernel

SEEN_MAX: Final = 50_000
"""Events an account remembers at most: half a megabyte of its balance record."""

HASH: Final = np.dtype("<i8")
DAY: Final = np.dtype("<i4")


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """Events that k accounts remember, one account after another.

    Attributes:
        hashes: Identity of each event, shape (m,).
        days: The day each was recorded, in days since 1970, shape (m,).
        offsets: Where those of each account begin, shape (k + 1,).
    """

    hashes: Int64Array
    days: Int32Array
    offsets: Int64Array

    @classmethod
    def unpacked(cls, seen: pa.BinaryArray, seen_days: pa.BinaryArray) -> Memory:
        """Return what k AccountBalance records say that their accounts remember.

        Raises:
            ValueError: It is not hashes and as many days.
        """
        hash_ends, hashes = _unpacked(seen, HASH)
        day_ends, days = _unpacked(seen_days, DAY)
        offsets = hash_ends // HASH.itemsize
        if not (
            np.array_equal(offsets * HASH.itemsize, hash_ends)
            and np.array_equal(offsets * DAY.itemsize, day_ends)
        ):
            raise ValueError("an account has not as many days as hashes that it remembers")
        return cls(hashes.view(HASH), days.view(DAY), offsets)

    def packed(self) -> tuple[pa.BinaryArray, pa.BinaryArray]:
        """Return `seen` and `seen_days` of k AccountBalance records: the arrays as they are."""
        return _packed(self.offsets, self.hashes, HASH), _packed(self.offsets, self.days, DAY)

    def counts(self) -> Int64Array:
        """Return how many events each account remembers, shape (k,)."""
        return self.offsets[1:] - self.offsets[:-1]

    def remembers(self, account: Int64Array, hashes: Int64Array) -> BoolArray:
        """Return whether its account remembers each event, shape (n,).

        Args:
            account: Index of the account of each event, shape (n,).
            hashes: Identity of each event, shape (n,).
        """
        found = np.empty(len(hashes), dtype=np.bool_)
        _find(account, hashes, self.hashes, self.offsets, found)
        return found

    def take(self, accounts: Int64Array) -> Memory:
        """Return the memory of some accounts."""
        counts = self.counts()[accounts]
        offsets = np.zeros(len(accounts) + 1, dtype=np.int64)
        np.cumsum(counts, out=offsets[1:])
        source = np.repeat(self.offsets[accounts] - offsets[:-1], counts) + np.arange(offsets[-1])
        return Memory(self.hashes[source], self.days[source], offsets)

    def with_events(
        self,
        account: Int64Array,
        hashes: Int64Array,
        days: Int64Array,
        *,
        dedupe_days: int,
        forgotten_until: Int32Array,
    ) -> tuple[Memory, Int32Array]:
        """Return the memory with new events and without those recorded more than dedupe_days ago.

        Ages count from the account's own latest event, so no other's timestamp can make it forget.
        An account that remembers more than SEEN_MAX events forgets its oldest days sooner.

        Args:
            account: Index of the account of each new event, shape (n,).
            hashes: Identity of each, shape (n,).
            days: The day each was recorded, shape (n,).
            dedupe_days: How long events are remembered.
            forgotten_until: Latest forgotten day of each account before, shape (k,).

        Returns:
            The memory, and the latest forgotten day of each account, shape (k,).
        """
        k = len(self.offsets) - 1
        order = _order(account)
        new = Memory(
            hashes[order],
            days[order].astype(np.int32),
            np.searchsorted(account[order], np.arange(k + 1)),
        )
        until = forgotten_until.copy()
        total = len(self.hashes) + len(hashes)
        offsets = np.zeros(k + 1, dtype=np.int64)
        merged, merged_days = np.empty(total, dtype=np.int64), np.empty(total, dtype=np.int32)
        _merge(
            self.hashes,
            self.days,
            self.offsets,
            new.hashes,
            new.days,
            new.offsets,
            self._oldest(new, dedupe_days),
            until,
            merged,
            merged_days,
            offsets,
        )
        return Memory(merged[: offsets[-1]], merged_days[: offsets[-1]], offsets), until

    def _oldest(self, new: Memory, dedupe_days: int) -> Int32Array:
        """Return the first day that each account keeps, shape (k,)."""
        nothing = np.iinfo(np.int32).min
        held, added = self.counts(), new.counts()
        any_day = np.append(self.days, 0)
        any_new = np.append(new.days, 0)
        first = np.where(held > 0, any_day[self.offsets[:-1]], any_new[new.offsets[:-1]])
        last = np.where(added > 0, any_new[new.offsets[1:] - 1], any_day[self.offsets[1:] - 1])
        aged = (held + added > 0) & (first < last - dedupe_days)
        oldest = np.where(aged, last - dedupe_days, nothing).astype(np.int32)
        for at in np.flatnonzero(held + added > SEEN_MAX).tolist():
            days = np.concatenate(
                [part.days[part.offsets[at] : part.offsets[at + 1]] for part in (self, new)]
            )
            latest = int(np.sort(days)[-SEEN_MAX])
            oldest[at] = max(int(last[at]) - dedupe_days, latest)
        return oldest


def _order(account: Int64Array) -> Int64Array:
    """Return the indices that sort accounts, in order where they are the same."""
    # Each number is another one, so the sort may be one that mixes equals: a tenth of the time.
    bits = len(account).bit_length()
    sorted_with_index = np.sort(account << bits | np.arange(len(account)))
    order: Int64Array = sorted_with_index & ((1 << bits) - 1)
    return order


def _packed(offsets: Int64Array, items: Any, kind: Any) -> pa.BinaryArray:
    ends = pa.array(offsets * kind.itemsize, pa.int32())
    items = np.ascontiguousarray(items, dtype=kind)
    return pa.Array.from_buffers(
        pa.binary(), len(offsets) - 1, [None, ends.buffers()[1], pa.py_buffer(items)]
    )


def _unpacked(column: pa.BinaryArray, kind: Any) -> tuple[Int64Array, UInt8Array]:
    """Return where the bytes of each row begin and the last ends, from zero on, and the bytes."""
    _, ends, data = column.buffers()
    offsets = np.frombuffer(ends, np.int32, len(column) + 1, column.offset * 4).astype(np.int64)
    begin, end = int(offsets[0]), int(offsets[-1])
    bytes_in_all = (end - begin) // kind.itemsize * kind.itemsize
    return offsets - begin, np.frombuffer(data, np.uint8, bytes_in_all, begin)


@kernel
def _find(
    code: Int64Array,
    hashes: Int64Array,
    memory_hashes: Int64Array,
    memory_offsets: Int64Array,
    found: BoolArray,
) -> None:
    """Find which events their accounts remember; `code` is the account of each event."""
    for event in range(len(code)):
        account = code[event]
        wanted = hashes[event]
        same = False
        for index in range(memory_offsets[account], memory_offsets[account + 1]):
            same |= memory_hashes[index] == wanted
        found[event] = same


@kernel
def _merge(
    memory_hashes: Int64Array,
    memory_days: Int32Array,
    memory_offsets: Int64Array,
    new_hashes: Int64Array,
    new_days: Int32Array,
    new_offsets: Int64Array,
    oldest: Int32Array,
    forgotten_until: Int32Array,
    hashes: Int64Array,
    days: Int32Array,
    offsets: Int64Array,
) -> None:
    """Append new events to each memory and drop those before its oldest day, which is noted."""
    to = 0
    for account in range(len(oldest)):
        for part in range(2):
            if part == 0:
                begin, end = memory_offsets[account], memory_offsets[account + 1]
            else:
                begin, end = new_offsets[account], new_offsets[account + 1]
            for source in range(begin, end):
                if part == 0:
                    one, day = memory_hashes[source], memory_days[source]
                else:
                    one, day = new_hashes[source], new_days[source]
                if day < oldest[account]:
                    forgotten_until[account] = max(forgotten_until[account], day)
                    continue
                hashes[to], days[to] = one, day
                to += 1
        offsets[account + 1] = to
