"""Folding booked activities into the state of their accounts: balances are sums of transfers."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa

from carbon.exact import Int64Array
from carbon.rate import Rated, Words
from streams import rows
from streams.activities import Activities
from streams.states import COLUMN, SUMS, States

DAY_MS: Final = 86_400_000
SUM_MAX: Final = 2**62


def fold(
    activities: Activities,
    account: Int64Array,
    booked: Int64Array,
    repeats: Int64Array,
    rated: Rated,
    hashes: Int64Array,
    timestamps_ms: Int64Array,
    states: States,
    dedupe_days: int,
) -> States:
    """Return the new state of every account that booked activities or repeats touch.

    Args:
        activities: The slice's activities, n rows.
        account: Index in states of the account of each activity, shape (n,).
        booked: Rows that are booked, in order.
        repeats: Rows recognised as repeats.
        rated: Their results, n rows.
        hashes: Identity of each event, shape (n,).
        timestamps_ms: Kafka timestamp of each event, shape (n,).
        states: State of the slice's accounts before.
        dedupe_days: How long hashes are remembered.

    Raises:
        OverflowError: A sum leaves the range of its field.
    """
    touched, n = np.concatenate([booked, repeats]), len(booked)
    first = np.full(len(states), -1, dtype=np.int64)
    first[account[touched][::-1]] = touched[::-1]
    accounts = np.flatnonzero(first >= 0)
    number = np.cumsum(first >= 0) - 1
    code = number[account[touched]]
    changed = States(
        names=states.names.take(pa.array(accounts)),
        rows=states.rows[accounts],
        programme=_programme(states, accounts, activities.programme, first),
        numbers=states.numbers[accounts],
        memory=states.memory.take(accounts),
        forgotten_until=states.forgotten_until[accounts],
    )
    _add(changed, code, n, activities, touched, rated)
    if len(accounts) and np.abs(changed.numbers[:, : len(SUMS)]).max() > SUM_MAX:
        raise OverflowError("the sum of an account leaves its range")
    rows.raise_to(changed.numbers, COLUMN["last_booked_at"], code[:n], activities.ended_at[booked])
    rows.raise_to(changed.numbers, COLUMN["updated_at"], code, timestamps_ms[touched])
    memory, forgotten_until = changed.memory.with_events(
        code[:n],
        hashes[booked],
        timestamps_ms[booked] // DAY_MS,
        dedupe_days=dedupe_days,
        forgotten_until=changed.forgotten_until,
    )
    return replace(changed, memory=memory, forgotten_until=forgotten_until)


def _programme(states: States, accounts: Int64Array, programme: Words, first: Int64Array) -> Words:
    """Return the programme of each account: its own, or that of the first row of a new one."""
    own = states.programme
    asked = programme.codes[first[accounts]] + len(own.vocabulary)
    codes = np.where(states.known()[accounts], own.codes[accounts], asked)
    return Words(codes.astype(np.int32), own.vocabulary + programme.vocabulary)


def _add(
    changed: States,
    code: Int64Array,
    n: int,
    activities: Activities,
    touched: Int64Array,
    rated: Rated,
) -> None:
    booked = touched[:n]
    charging = int(activities.kind == "charging")
    reduces = rated.reduces_row[booked]
    amounts = {
        "reduction_mg": rated.reduction_mg[booked],
        "emissions_mg": rated.emissions_mg[booked],
        "energy_wh": activities.energy_wh[booked],
        "distance_m": activities.distance_m[booked],
        "transport_kg_km": rated.transport_kg_km[booked],
        "session_count": np.full(n, charging, dtype=np.int64),
        "trip_count": np.full(n, 1 - charging, dtype=np.int64),
        "transfer_count": 1 + reduces.astype(np.int64),
    }
    for name, values in amounts.items():
        rows.add(changed.numbers, COLUMN[name], code[:n], values)
    ones = np.ones(len(code) - n, dtype=np.int64)
    rows.add(changed.numbers, COLUMN["duplicate_count"], code[n:], ones)
