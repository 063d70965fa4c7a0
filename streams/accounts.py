"""The accounts of one partition, in memory, as columns: an account is a row of some arrays.

Nothing here changes before the transaction that carries the change is committed: `step` reads, the
book applies what came of it afterwards. Restoring is applying what `account-balances` says.

No Python object stands for an account: its row is found by its name (`schemas.names`), the events
it remembers lie together in one array, with room to grow. A million accounts take some hundred
megabytes, and to read or change a thousand of them is one call.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from carbon.exact import Int64Array
from carbon.rate import Words
from schemas.names import FIRST_ROWS, Names, grown
from streams import rows as kernels
from streams.memory import Memory
from streams.states import NEW, NUMBERS, States, latest_of_each, states_of

GARBAGE_SHARE_MAX: Final = 0.5


class Accounts:
    """The accounts of one partition; rows are dense and never reused."""

    def __init__(self) -> None:
        self.checkpoint = 0
        self._names = Names()
        self._vocabulary: dict[str, int] = {}
        self._programme = np.zeros(FIRST_ROWS, dtype=np.int32)
        self._numbers = np.zeros((FIRST_ROWS, NUMBERS), dtype=np.int64)
        self._forgotten_until = np.zeros(FIRST_ROWS, dtype=np.int32)
        self._seen = np.zeros(FIRST_ROWS * 4, dtype=np.int64)
        self._seen_days = np.zeros(FIRST_ROWS * 4, dtype=np.int32)
        self._seen_end = 0
        self._seen_live = 0
        self._seen_at = np.zeros(FIRST_ROWS, dtype=np.int64)
        self._seen_count = np.zeros(FIRST_ROWS, dtype=np.int32)
        self._seen_room = np.zeros(FIRST_ROWS, dtype=np.int32)

    def __len__(self) -> int:
        return len(self._names)

    def names(self) -> pa.StringArray:
        """Return the account_id of every account."""
        return self._names.all()

    def read(self, names: pa.StringArray) -> States:
        """Return the state of k different accounts; that of a new one is all zeros."""
        rows = self._names.rows(names)
        known = rows != NEW
        held = np.where(known, rows, 0)
        counts = np.where(known, self._seen_count[held], 0).astype(np.int64)
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(counts, out=offsets[1:])
        hashes = np.empty(int(offsets[-1]), dtype=np.int64)
        days = np.empty(int(offsets[-1]), dtype=np.int32)
        numbers = np.empty((len(rows), NUMBERS), dtype=np.int64)
        kernels.read(
            rows, self._numbers, self._seen, self._seen_days, self._seen_at, offsets,
            numbers, hashes, days,
        )  # fmt: skip
        return States(
            names=names,
            rows=rows,
            programme=Words(
                np.where(known, self._programme[held], NEW).astype(np.int32),
                tuple(self._vocabulary),
            ),
            numbers=numbers,
            memory=Memory(hashes, days, offsets),
            forgotten_until=np.where(known, self._forgotten_until[held], 0).astype(np.int32),
        )

    def apply(self, change: States, checkpoint: int | None = None) -> None:
        """Take over the committed state of some accounts."""
        self.checkpoint = self.checkpoint if checkpoint is None else checkpoint
        rows = change.rows.copy()
        new = np.flatnonzero(rows == NEW)
        rows[new] = self._add(change.names.take(pa.array(new)))
        codes = [
            self._vocabulary.setdefault(name, len(self._vocabulary))
            for name in change.programme.vocabulary
        ]
        self._programme[rows] = np.array(codes or [0], dtype=np.int32)[change.programme.codes]
        self._numbers[rows] = change.numbers
        self._forgotten_until[rows] = change.forgotten_until
        self._remember(rows, change.memory)

    def restore(self, balances: pa.RecordBatch, checkpoint: int | None = None) -> None:
        """Take over AccountBalance records, each newer than any before of the same account."""
        newest = latest_of_each(balances)
        self.apply(states_of(newest, self._names.rows(newest.column("account_id"))), checkpoint)

    def close(self) -> None:
        """Nothing is open."""

    def _add(self, names: pa.StringArray) -> Int64Array:
        """Make rows for names that have none and return them."""
        rows = self._names.add(names)
        room = len(self._names)
        self._programme = grown(self._programme, room)
        self._numbers = grown(self._numbers, room)
        self._forgotten_until = grown(self._forgotten_until, room)
        self._seen_at = grown(self._seen_at, room)
        self._seen_count = grown(self._seen_count, room)
        self._seen_room = grown(self._seen_room, room)
        return rows

    def _remember(self, rows: Int64Array, memory: Memory) -> None:
        counts = memory.counts()
        moved = counts > self._seen_room[rows]
        # A place with room for some more, so that not every event moves its account.
        room = np.where(moved, counts + counts // 2 + 2, self._seen_room[rows])
        self._seen_live += int((room - self._seen_room[rows]).sum())
        ends = self._seen_end + np.cumsum(np.where(moved, room, 0))
        needed = int(ends[-1]) if len(ends) else 0
        self._seen = grown(self._seen, needed)
        self._seen_days = grown(self._seen_days, needed)
        self._seen_at[rows] = np.where(moved, ends - room, self._seen_at[rows])
        self._seen_room[rows] = room
        self._seen_count[rows] = counts
        self._seen_end = max(self._seen_end, needed)
        kernels.remember(
            rows, memory.hashes, memory.days, memory.offsets, self._seen, self._seen_days,
            self._seen_at,
        )  # fmt: skip
        if self._seen_end - self._seen_live > GARBAGE_SHARE_MAX * self._seen_end:
            self.compact()

    def compact(self) -> None:
        """Move the memory of all accounts together, without the places that were left."""
        room = self._seen_room[: len(self)].astype(np.int64)
        at = np.cumsum(room) - room
        seen = np.zeros(max(int(room.sum()), 1), dtype=np.int64)
        days = np.zeros(len(seen), dtype=np.int32)
        kernels.compact(
            self._seen, self._seen_days, self._seen_at, self._seen_count[: len(self)], at,
            seen, days,
        )  # fmt: skip
        self._seen, self._seen_days = seen, days
        self._seen_at[: len(self)] = at
        self._seen_end = self._seen_live = int(room.sum())
