"""The state of some accounts: what the step reads of them, and what becomes of them.

One shape for both, as columns: a slice's accounts are read as `States`, folded into new `States`,
written to `account-balances`, and taken over by the store of the book once they are committed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import pyarrow as pa

from carbon.exact import BoolArray, Int32Array, Int64Array
from carbon.rate import Words
from schemas.names import ABSENT
from streams.memory import Memory

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
NUMBERS: Final = len(SUMS) + len(TIMES)
COLUMN: Final = {name: at for at, name in enumerate(SUMS + TIMES)}
NEW: Final = ABSENT


@dataclass(frozen=True, slots=True, eq=False)
class States:
    """State of k different accounts.

    Attributes:
        names: account_id of each.
        rows: Where the store has each, NEW for an account that it has not.
        programme: The programme each belongs to; the code of a new account is NEW.
        numbers: SUMS then TIMES, shape (k, NUMBERS).
        memory: Recent events of each.
        forgotten_until: Latest day of which something was forgotten, 0 for none, shape (k,).
    """

    names: pa.StringArray
    rows: Int64Array
    programme: Words
    numbers: Int64Array
    memory: Memory
    forgotten_until: Int32Array

    def __len__(self) -> int:
        return len(self.names)

    def known(self) -> BoolArray:
        """Return which accounts there were before, shape (k,)."""
        known: BoolArray = self.rows != NEW
        return known

    def column(self, name: str) -> Int64Array:
        """Return one of SUMS or TIMES, shape (k,)."""
        return self.numbers[:, COLUMN[name]]

    def balances(self) -> pa.RecordBatch:
        """Return the states as AccountBalance records, k rows."""
        vocabulary = pa.array(self.programme.vocabulary, pa.string())
        columns: dict[str, pa.Array] = {
            "account_id": self.names,
            "programme": pa.DictionaryArray.from_arrays(
                pa.array(self.programme.codes.astype(np.int32)), vocabulary
            ),
        }
        for name in SUMS:
            columns[name] = pa.array(self.column(name))
        for name in TIMES:
            columns[name] = pa.array(self.column(name)).cast(pa.timestamp("ms"))
        columns["seen"], columns["seen_days"] = self.memory.packed()
        columns["forgotten_until"] = pa.array(self.forgotten_until)
        return pa.RecordBatch.from_pydict(columns)


class AccountStore(Protocol):
    """The accounts of one partition, in memory (`streams.accounts`) or on disk (`streams.disk`).

    What it holds is what `account-balances` says below its checkpoint. It changes only after the
    transaction that carries the change is committed.
    """

    @property
    def checkpoint(self) -> int:
        """The offset in `account-balances` below which nothing is missing; restoring begins there.

        It may hold later changes, too: to restore what it holds already changes nothing.
        """

    def __len__(self) -> int:
        """Return the number of accounts."""

    def names(self) -> pa.StringArray:
        """Return the account_id of every account."""

    def read(self, names: pa.StringArray) -> States:
        """Return the state of k different accounts; that of a new one is all zeros."""

    def apply(self, change: States, checkpoint: int | None = None) -> None:
        """Take over the committed state of some accounts.

        Args:
            change: Their new states, from what was read last.
            checkpoint: The offset behind their records; None where nobody knows it.
        """

    def restore(self, balances: pa.RecordBatch, checkpoint: int | None = None) -> None:
        """Take over AccountBalance records, each newer than any before of the same account.

        Args:
            balances: The records, in order.
            checkpoint: The offset behind them.
        """

    def close(self) -> None:
        """Let go of what it has open; closing twice is fine."""


def states_of(balances: pa.RecordBatch, rows: Int64Array) -> States:
    """Return the states that AccountBalance records of k different accounts hold.

    Args:
        balances: The records.
        rows: Where the store has each account, shape (k,).

    Raises:
        ValueError: What an account remembers is not hashes and as many days.
    """
    programme = balances.column("programme").dictionary_encode()
    numbers = [balances.column(name).to_numpy() for name in SUMS]
    numbers += [balances.column(name).cast(pa.int64()).to_numpy() for name in TIMES]
    return States(
        names=balances.column("account_id"),
        rows=rows,
        programme=Words(programme.indices.to_numpy(), tuple(programme.dictionary.to_pylist())),
        numbers=np.stack(numbers, axis=1),
        memory=Memory.unpacked(balances.column("seen"), balances.column("seen_days")),
        forgotten_until=balances.column("forgotten_until").to_numpy(),
    )


def latest_of_each(balances: pa.RecordBatch) -> pa.RecordBatch:
    """Return the last record of each account, in order."""
    names = balances.column("account_id").dictionary_encode().indices.to_numpy()
    last = len(names) - 1 - np.unique(names[::-1], return_index=True)[1]
    return balances if len(last) == len(names) else balances.take(pa.array(np.sort(last)))
