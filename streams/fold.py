"""Folding booked activities into the state of their accounts: balances are sums of transfers."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from carbon.exact import Int32Array, Int64Array
from carbon.rate import Rated
from streams.accounts import SUMS, TIMES, Accounts, Change
from streams.activities import Activities

DAY_MS: Final = 86_400_000
SUM_MAX: Final = 2**62
SEEN_MAX: Final = 50_000
"""Events an account remembers at most: half a megabyte of its balance record."""


def fold(
    activities: Activities,
    booked: Int64Array,
    repeats: Int64Array,
    rated: Rated,
    hashes: Int64Array,
    timestamps_ms: Int64Array,
    accounts: Accounts,
    dedupe_days: int,
) -> Change:
    """Return the new state of every account that booked activities or repeats touch.

    Args:
        activities: The slice's activities, n rows.
        booked: Rows that are booked, in order.
        repeats: Rows recognised as repeats.
        rated: Their results, n rows.
        hashes: Identity of each event, shape (n,).
        timestamps_ms: Kafka timestamp of each event, shape (n,).
        accounts: State before.
        dedupe_days: How long hashes are remembered.

    Raises:
        OverflowError: A sum leaves the range of its field.
    """
    touched = np.concatenate([booked, repeats])
    encoded = activities.account.take(pa.array(touched)).dictionary_encode()
    names = encoded.dictionary.to_pylist()
    code = encoded.indices.to_numpy()
    known = accounts.rows(names)
    state = accounts.state(known)
    _add(state, code, len(booked), activities, touched, rated)
    if len(state) and np.abs(state[:, : len(SUMS)]).max() > SUM_MAX:
        raise OverflowError("the sum of an account leaves its range")
    n = len(booked)
    last_booked, updated = range(len(SUMS), len(SUMS) + len(TIMES))
    np.maximum.at(state[:, last_booked], code[:n], activities.ended_at[booked])
    np.maximum.at(state[:, updated], code, timestamps_ms[touched])
    first = np.full(len(names), -1, dtype=np.int64)
    first[code[::-1]] = touched[::-1]
    programme = activities.programme
    programmes = [
        programme.vocabulary[programme.codes[first[index]]] if row < 0 else accounts.programme(row)
        for index, row in enumerate(known.tolist())
    ]
    seen, days, forgotten_until, forgotten = _remember(
        accounts, known, code[:n], hashes[booked], timestamps_ms[booked] // DAY_MS, dedupe_days
    )
    return Change(
        names,
        known,
        programmes,
        state,
        seen,
        days,
        forgotten_until,
        hashes[booked].tolist(),
        forgotten,
    )


def _add(
    state: Int64Array,
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
        np.add.at(state[:, SUMS.index(name)], code[:n], values)
    np.add.at(state[:, SUMS.index("duplicate_count")], code[n:], 1)


def _remember(
    accounts: Accounts,
    known: Int64Array,
    code: Int64Array,
    hashes: Int64Array,
    days: Int64Array,
    dedupe_days: int,
) -> tuple[list[list[int]], list[list[int]], Int32Array, list[int]]:
    """Append new hashes to each account and drop those recorded more than dedupe_days ago.

    Ages count from the account's own latest event, so no other's timestamp can make it forget. An
    account that remembers more than SEEN_MAX events forgets its oldest days sooner.
    """
    order = np.argsort(code, kind="stable")
    bounds = np.searchsorted(code[order], np.arange(len(known) + 1)).tolist()
    new_hashes, new_days = hashes[order].tolist(), days[order].tolist()
    forgotten_until = accounts.forgotten_until(known)
    all_seen: list[list[int]] = []
    all_days: list[list[int]] = []
    forgotten: list[int] = []
    first = 0
    for index, (row, end) in enumerate(zip(known.tolist(), bounds[1:], strict=True)):
        seen, seen_days = accounts.seen(row)
        seen, seen_days = seen + new_hashes[first:end], seen_days + new_days[first:end]
        if seen_days and (len(seen) > SEEN_MAX or seen_days[0] < seen_days[-1] - dedupe_days):
            oldest = max(seen_days[-1] - dedupe_days, sorted(seen_days)[-SEEN_MAX:][0])
            forgotten.extend(h for h, day in zip(seen, seen_days, strict=True) if day < oldest)
            dropped = [day for day in seen_days if day < oldest]
            forgotten_until[index] = max([int(forgotten_until[index]), *dropped])
            seen = [h for h, day in zip(seen, seen_days, strict=True) if day >= oldest]
            seen_days = [day for day in seen_days if day >= oldest]
        all_seen.append(seen)
        all_days.append(seen_days)
        first = end
    return all_seen, all_days, forgotten_until, forgotten
