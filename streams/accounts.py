"""The accounts of one partition, as columns: what the book holds in memory.

Nothing here changes before the transaction that carries the change is committed: `step` reads, the
book applies the `Change` afterwards. Restoring is applying what `account-balances` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any, Final

import numpy as np
import pyarrow as pa

from carbon.exact import Int32Array, Int64Array

SUMS: Final = (
    "reduction_mg",
    "emissions_mg",
    "energy_wh",
    "distance_m",
    "transport_kg_km",
    "session_count",
    "trip_count",
    "transfer_count",
    "duplicate_count",
)
"""The fields of AccountBalance that are sums; `TIMES` are maxima."""

TIMES: Final = ("last_booked_at", "updated_at")
NEW: Final = -1


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """New absolute state of k accounts.

    Attributes:
        names: account_id of each.
        rows: Their rows in `Accounts`, NEW for accounts that come into being, shape (k,).
        programmes: Their programmes.
        state: SUMS then TIMES, shape (k, 11).
        seen: Hashes of recent events of each.
        seen_days: The day each was recorded.
        forgotten_until: Latest forgotten day of each, shape (k,).
        remembered: Hashes that are remembered from now on.
        forgotten: Hashes that are no longer remembered.
    """

    names: list[str]
    rows: Int64Array
    programmes: list[str]
    state: Int64Array
    seen: list[list[int]]
    seen_days: list[list[int]]
    forgotten_until: Int32Array
    remembered: list[int]
    forgotten: list[int]

    def __len__(self) -> int:
        return len(self.names)

    def balances(self) -> pa.RecordBatch:
        """Return the change as AccountBalance records, k rows."""
        columns: dict[str, pa.Array] = {
            "account_id": pa.array(self.names, pa.string()),
            "programme": pa.array(self.programmes, pa.string()),
        }
        for index, name in enumerate(SUMS):
            columns[name] = pa.array(self.state[:, index])
        for index, name in enumerate(TIMES, start=len(SUMS)):
            columns[name] = pa.array(self.state[:, index]).cast(pa.timestamp("ms"))
        columns["seen"] = _lists(self.seen, np.int64)
        columns["seen_days"] = _lists(self.seen_days, np.int32)
        columns["forgotten_until"] = pa.array(self.forgotten_until)
        return pa.RecordBatch.from_pydict(columns)


class Accounts:
    """The accounts of one partition; rows are dense and never reused."""

    def __init__(self) -> None:
        self._row_of: dict[str, int] = {}
        self._programmes: list[str] = []
        self._state = np.zeros((1024, len(SUMS) + len(TIMES)), dtype=np.int64)
        self._forgotten_until = np.zeros(1024, dtype=np.int32)
        self._seen: list[list[int]] = []
        self._seen_days: list[list[int]] = []
        self._memory: set[int] = set()

    def __len__(self) -> int:
        return len(self._row_of)

    def names(self) -> list[str]:
        """Return the account_id of every account."""
        return list(self._row_of)

    def rows(self, names: Sequence[str]) -> Int64Array:
        """Return the row of each account or NEW, shape (k,)."""
        rows = map(self._row_of.get, names, repeat(NEW))
        return np.fromiter(rows, dtype=np.int64, count=len(names))

    def programme(self, row: int) -> str:
        """Return the programme an account belongs to."""
        return self._programmes[row]

    def state(self, rows: Int64Array) -> Int64Array:
        """Return SUMS and TIMES of some accounts, zeros for NEW, shape (k, 11)."""
        return np.where((rows == NEW)[:, None], 0, self._state[rows])

    def forgotten_until(self, rows: Int64Array) -> Int32Array:
        """Return the latest forgotten day of some accounts, 0 for NEW, shape (k,)."""
        return np.where(rows == NEW, 0, self._forgotten_until[rows]).astype(np.int32)

    def seen(self, row: int) -> tuple[list[int], list[int]]:
        """Return the remembered hashes of an account and their days; not to be changed."""
        return (self._seen[row], self._seen_days[row]) if row != NEW else ([], [])

    def remembers(self, hashes: Int64Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Return whether each event was booked and is remembered, shape (n,)."""
        known = map(self._memory.__contains__, hashes.tolist())
        return np.fromiter(known, dtype=np.bool_, count=len(hashes))

    def apply(self, change: Change) -> None:
        """Take over a committed change."""
        rows = change.rows.copy()
        for index in np.flatnonzero(rows == NEW).tolist():
            rows[index] = self._row_of.setdefault(change.names[index], len(self._row_of))
            self._programmes.append(change.programmes[index])
            self._seen.append([])
            self._seen_days.append([])
        self._grow(len(self._row_of))
        self._state[rows] = change.state
        self._forgotten_until[rows] = change.forgotten_until
        self._memory.difference_update(change.forgotten)
        for row, seen, days in zip(rows.tolist(), change.seen, change.seen_days, strict=True):
            self._seen[row], self._seen_days[row] = seen, days
        self._memory.update(change.remembered)

    def restore(self, balances: pa.RecordBatch) -> None:
        """Take over AccountBalance records, each newer than any before of the same account."""
        names_all = balances.column("account_id").to_pylist()
        latest = {name: index for index, name in enumerate(names_all)}
        newest = balances.take(pa.array(list(latest.values()), pa.int64()))
        names = list(latest)
        rows = self.rows(names)
        seen = newest.column("seen").to_pylist()
        forgotten = [
            h
            for row, now in zip(rows.tolist(), seen, strict=True)
            for h in set(self.seen(row)[0]).difference(now)
        ]
        numbers = [newest.column(name).to_numpy() for name in SUMS]
        numbers += [newest.column(name).cast(pa.int64()).to_numpy() for name in TIMES]
        self.apply(
            Change(
                names=names,
                rows=rows,
                programmes=newest.column("programme").to_pylist(),
                state=np.stack(numbers, axis=1),
                seen=seen,
                seen_days=newest.column("seen_days").to_pylist(),
                forgotten_until=newest.column("forgotten_until").to_numpy(),
                remembered=list(chain.from_iterable(seen)),
                forgotten=forgotten,
            )
        )

    def _grow(self, count: int) -> None:
        capacity = len(self._state)
        if count > capacity:
            extra = max(count, 2 * capacity) - capacity
            self._state = np.pad(self._state, ((0, extra), (0, 0)))
            self._forgotten_until = np.pad(self._forgotten_until, (0, extra))


def _lists(lists: list[list[int]], kind: type[np.int64] | type[np.int32]) -> pa.ListArray:
    lengths = np.fromiter(map(len, lists), dtype=np.int32, count=len(lists))
    offsets = np.zeros(len(lists) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    flat = np.fromiter(chain.from_iterable(lists), dtype=kind, count=int(offsets[-1]))
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat))
