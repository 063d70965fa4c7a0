"""What the tests of the streams share: real rules, records with sensible fields, slices of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import pyarrow as pa

from carbon.factors import FactorTable
from producers.factors.spec import load_factors
from producers.programmes.load import load_programmes
from schemas.columns import decode, encode
from schemas.raw import Raw
from schemas.singles import encode_one
from streams.accounts import Accounts
from streams.read import read
from streams.slice import Slice
from streams.states import SUMS, AccountStore
from streams.step import Outcome, Rules, step
from streams.transfers import FactorNames

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
NOW_MS: Final = 1_688_212_800_000  # 2023-07-01, noon
SESSIONS: Final = "charging-sessions"
TRIPS: Final = "freight-trips"
RECORD: Final = {SESSIONS: "charging_session", TRIPS: "freight_trip"}

SESSION: Final[Mapping[str, object]] = {
    "session_id": "S1",
    "source": "test",
    "account_id": "anna",
    "programme": "cn-charging",
    "vehicle_class": "car",
    "grid_region": "CN-BJ",
    "started_at": NOW_MS - 2 * HOUR_MS,
    "ended_at": NOW_MS - HOUR_MS,
    "energy_wh": 20_000,
    "meter_side": "grid",
    "current": "ac",
    "operator_id": "cpo",
    "evse_id": "evse",
    "reversal_of": None,
    "revision": 0,
}
TRIP: Final[Mapping[str, object]] = {
    "trip_id": "T1",
    "source": "test",
    "account_id": "bert",
    "programme": "cn-freight",
    "vehicle_id": "v",
    "vehicle_class": "truck_46t",
    "energy_carrier": "diesel",
    "departed_at": NOW_MS - 21 * HOUR_MS,
    "arrived_at": NOW_MS - HOUR_MS,
    "distance_m": 840_000,
    "distance_basis": "actual",
    "cargo_kg": 28_000,
    "empty_distance_m": 150_000,
    "energy_used": 321_600,
    "origin_region": "CN-JS",
    "destination_region": "CN-SH",
    "data_grade": "primary",
    "reversal_of": None,
    "revision": 0,
}


def session(**changes: object) -> dict[str, object]:
    """Return the fields of a session: 20 kWh in Beijing, unless changed."""
    return {**SESSION, **changes}


def trip(**changes: object) -> dict[str, object]:
    """Return the fields of a trip: the worked one of DOMAIN 3.5, unless changed."""
    return {**TRIP, **changes}


@dataclass(frozen=True, slots=True)
class Event:
    """One record of a source topic, before it has an offset."""

    value: bytes | None
    timestamp_ms: int = NOW_MS
    key: bytes | None = b"key"


def event(fields: Mapping[str, object], timestamp_ms: int = NOW_MS) -> Event:
    """Return the event of a session or a trip."""
    record = "charging_session" if "session_id" in fields else "freight_trip"
    key = str(fields["account_id"]).encode()
    return Event(encode_one(record, fields), timestamp_ms, key)


def part_of(
    events: Sequence[Event], *, topic: str = SESSIONS, partition: int = 0, first_offset: int = 0
) -> Slice:
    """Return the slice of some events with consecutive offsets."""
    return Slice(
        topic=topic,
        partition=partition,
        values=Raw.of([one.value for one in events]),
        keys=Raw.of([one.key for one in events]),
        offsets=np.arange(first_offset, first_offset + len(events), dtype=np.int64),
        timestamps_ms=np.array([one.timestamp_ms for one in events], dtype=np.int64),
    )


def sessions_of(*fields: Mapping[str, object], first_offset: int = 0) -> Slice:
    """Return the slice of some sessions."""
    return part_of([event(one) for one in fields], first_offset=first_offset)


@cache
def shipped_factors() -> FactorTable:
    """Return the factors of the shipped release."""
    return FactorTable.of(load_factors("release:2026.1"))


@cache
def rules(*, partitions: int = 1, dedupe_days: int = 35) -> Rules:
    """Return the shipped rules; with one partition every account is at home."""
    factors = shipped_factors()
    return Rules(load_programmes(), factors, FactorNames.of(factors), partitions, dedupe_days)


def work(accounts: AccountStore, part: Slice, by: Rules | None = None) -> Outcome:
    """Step a slice and take its change over, as a book does after a commit."""
    outcome = step(read(part), accounts, by or rules())
    accounts.apply(outcome.change)
    return outcome


def wire_balances(outcome: Outcome) -> list[bytes]:
    """Return the balances of an outcome as they lie in `account-balances`."""
    return encode("account_balance", outcome.change.balances())


def restored(values: Iterable[bytes], accounts: AccountStore | None = None) -> AccountStore:
    """Return accounts restored from balances as a book restores them."""
    accounts = Accounts() if accounts is None else accounts
    decoded = decode("account_balance", list(values))
    assert not decoded.refused
    accounts.restore(decoded.batch)
    return accounts


def held(accounts: AccountStore, names: Iterable[str]) -> dict[str, tuple[Any, ...]]:
    """Return all that accounts hold of those of the names they know."""
    listed = list(names)
    states = accounts.read(pa.array(listed, pa.string()))
    found = {}
    for at, name in enumerate(listed):
        if states.known()[at]:
            part = slice(*states.memory.offsets[at : at + 2].tolist())
            seen = states.memory.hashes[part].tolist(), states.memory.days[part].tolist()
            found[name] = (
                states.programme.vocabulary[states.programme.codes[at]],
                tuple(states.numbers[at].tolist()),
                tuple(sorted(zip(*seen, strict=True))),
                int(states.forgotten_until[at]),
            )
    return found


def remembered(accounts: AccountStore, name: str, hashes: Iterable[int]) -> list[bool]:
    """Return which events an account remembers."""
    wanted = np.array(list(hashes), dtype=np.int64)
    memory = accounts.read(pa.array([name])).memory
    known: list[bool] = memory.remembers(np.zeros(len(wanted), dtype=np.int64), wanted).tolist()
    return known


def refused(outcome: Outcome) -> list[tuple[int, str]]:
    """Return position and code of each refusal."""
    return [(bad.position, bad.code) for bad in outcome.refused]


def transfers(outcome: Outcome) -> list[dict[str, Any]]:
    """Return the transfers, instants as integers, after a journey over the wire."""
    decoded = decode("transfer", encode("transfer", outcome.transfers))
    assert not decoded.refused
    batch = decoded.batch
    columns = {
        name: batch.column(name).cast("int64" if name.endswith("_at") else batch.column(name).type)
        for name in batch.schema.names
    }
    pythons = {name: column.to_pylist() for name, column in columns.items()}
    return [dict(zip(pythons, row, strict=True)) for row in zip(*pythons.values(), strict=True)]


def sums(accounts: AccountStore, name: str) -> dict[str, int]:
    """Return the sums of an account by name."""
    return dict(zip(SUMS, held(accounts, [name])[name][1], strict=False))


def nothing_came_of(outcome: Outcome) -> bool:
    """Return whether nothing was booked, counted or put right, and no account changed."""
    return (outcome.booked, outcome.duplicates, outcome.transfers.num_rows) == (0, 0, 0) and not (
        len(outcome.change) or len(outcome.astray)
    )
