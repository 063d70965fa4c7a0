"""The latest balance of every account, in memory, as columns: what `account-balances` says last.

A million accounts take some two hundred megabytes and are asked for in microseconds. One thread may
take records in while others ask. What a programme adds up to is carried along, by what each record
changes, so that asking for it costs the same however many accounts there are.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.columns import decode
from schemas.names import ABSENT, FIRST_ROWS, Names, grown
from schemas.raw import Raw
from sinks.records import Balance, Instant, ProgrammeSum
from sinks.writer import BrokenRecordError

NUMBERS: Final = tuple(
    field.name for field in fields(Balance) if field.name not in {"account_id", "programme"}
)
"""The fields of a balance that are integers; instants among them, in milliseconds."""


_UPDATED: Final = NUMBERS.index("updated_at")


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken in: the programme of each record, and when its event came [ms]."""

    programmes: npt.NDArray[np.int32]
    updated_ms: npt.NDArray[np.int64]


class LatestBalances:
    """Balances by account."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names = Names()
        self._vocabulary: dict[str, int] = {}
        self._programme = np.zeros(FIRST_ROWS, dtype=np.int32)
        self._numbers = np.zeros((FIRST_ROWS, len(NUMBERS)), dtype=np.int64)
        # By programme: what NUMBERS add up to (of instants it means nothing), how many accounts
        # there are, and when the latest event came.
        self._sums = dict[int, npt.NDArray[np.int64]]()
        self._accounts = dict[int, int]()
        self._newest_ms = dict[int, int]()

    def __len__(self) -> int:
        return len(self._names)

    @property
    def nbytes(self) -> int:
        """Bytes of memory, room to grow among them."""
        return self._names.nbytes + self._programme.nbytes + self._numbers.nbytes

    def take(self, values: Raw) -> Taken:
        """Take in AccountBalance records, each newer than any before of the same account.

        Raises:
            BrokenRecordError: One of them cannot be read; none is taken.
        """
        decoded = decode("account_balance", values)
        if decoded.refused:
            first = decoded.refused[0]
            raise BrokenRecordError(f"account-balances: {first.code}: {first.reason}")
        names = decoded.batch.column("account_id")
        programme = decoded.batch.column("programme").dictionary_encode()
        columns = [decoded.batch.column(name).cast(pa.int64()).to_numpy() for name in NUMBERS]
        with self._lock:
            rows = self._names.rows(names)
            if (rows == ABSENT).any():
                self._add(pc.unique(names.filter(pa.array(rows == ABSENT))))
                rows = self._names.rows(names)
            codes = [
                self._vocabulary.setdefault(name, len(self._vocabulary))
                for name in programme.dictionary.to_pylist()
            ]
            touched = np.unique(rows)
            before = self._numbers[touched]
            of_record = np.array(codes, dtype=np.int32)[programme.indices.to_numpy()]
            # Where an account comes twice, the last value stays.
            self._programme[rows] = of_record
            for column, numbers in enumerate(columns):
                self._numbers[rows, column] = numbers
            self._add_up(touched, before)
        return Taken(of_record, columns[_UPDATED])

    def programme_names(self) -> tuple[str, ...]:
        """Return the names of the programmes, by the numbers that `Taken` has."""
        with self._lock:
            return tuple(self._vocabulary)

    def sums(self) -> tuple[ProgrammeSum, ...]:
        """Return what the balances of each programme add up to, by programme."""
        with self._lock:
            names = tuple(self._vocabulary)
            found = [
                (names[code], self._accounts[code], self._newest_ms[code], sums.tolist())
                for code, sums in self._sums.items()
            ]
        return tuple(
            _sum(name, accounts, newest_ms, dict(zip(NUMBERS, sums, strict=True)))
            for name, accounts, newest_ms, sums in sorted(found)
        )

    def balances(self, account_ids: Sequence[str]) -> list[Balance | None]:
        """Return the balances of accounts in their order, None where nothing was ever booked."""
        with self._lock:
            rows = self._names.rows(pa.array(account_ids, pa.string()))
            programmes, numbers = self._programme[rows].tolist(), self._numbers[rows].tolist()
            vocabulary = tuple(self._vocabulary)
        return [
            None
            if row == ABSENT
            else Balance(
                account_id=account_id,
                programme=vocabulary[programme],
                **dict(zip(NUMBERS, values, strict=True)),
            )
            for account_id, row, programme, values in zip(
                account_ids, rows.tolist(), programmes, numbers, strict=True
            )
        ]

    def _add_up(self, touched: npt.NDArray[np.int64], before: npt.NDArray[np.int64]) -> None:
        programmes, after = self._programme[touched], self._numbers[touched]
        change = after - before
        # A row that was never written is nothing but zeros; no event came in 1970.
        is_new = before[:, _UPDATED] == 0
        for code in np.unique(programmes).tolist():
            of_it = programmes == code
            self._sums[code] = self._sums.get(code, 0) + change[of_it].sum(axis=0)
            self._accounts[code] = self._accounts.get(code, 0) + int(is_new[of_it].sum())
            newest_ms = int(after[of_it, _UPDATED].max())
            self._newest_ms[code] = max(self._newest_ms.get(code, 0), newest_ms)

    def _add(self, names: pa.StringArray) -> None:
        self._names.add(names)
        self._programme = grown(self._programme, len(self))
        self._numbers = grown(self._numbers, len(self))


def _sum(programme: str, accounts: int, newest_ms: int, numbers: dict[str, int]) -> ProgrammeSum:
    return ProgrammeSum(
        programme=programme,
        accounts=accounts,
        activities=numbers["session_count"] + numbers["trip_count"],
        duplicates=numbers["duplicate_count"],
        emissions_mg=numbers["emissions_mg"],
        reduction_mg=numbers["reduction_mg"],
        energy_wh=numbers["energy_wh"],
        transport_kg_km=numbers["transport_kg_km"],
        newest_at=Instant(newest_ms),
    )
