"""The step: a slice that was read and the accounts of its partition in, all to deliver out. Pure.

read (`streams.read`) -> refuse -> dedupe -> match -> calculate -> book. No clock, no I/O: what a
worker books under load, a simulator books in a test and an auditor books again. Accounts are read,
never written; the book applies the outcome's change once the transaction is committed.

An event that may be a forgotten repeat is late: it goes to the late lane and comes back in a slice
that knows what the store has booked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from carbon.accept import broken_by_future
from carbon.exact import BoolArray, Int64Array
from carbon.factors import FactorTable
from carbon.limits import FUTURE_MS_MAX
from carbon.programmes import Programme
from carbon.refusal import ACCEPTED, CODES, NUMBER, REFUSALS
from schemas.partition import partitions_of
from streams.activities import Activities, rate_by_programme
from streams.fold import DAY_MS, fold
from streams.read import ReadSlice, Refused, refuse
from streams.states import AccountStore, States
from streams.transfers import FactorNames, transfers_of


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """What a slice is worked by: programmes and factors in force, and the shape of the topics.

    With a late lane what may be a forgotten repeat is put there, without one it is refused.
    """

    programmes: Mapping[str, Programme]
    factors: FactorTable
    factor_names: FactorNames
    partitions: int
    dedupe_days: int
    late_lane: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What one slice leads to; delivered together or not at all.

    Attributes:
        transfers: Transfer records.
        change: New state of the touched accounts.
        refused: Records refused, in order of position.
        astray: Positions of records whose account belongs to another partition.
        astray_accounts: Their accounts.
        late: Positions of records for the late lane.
        booked: Number of activities booked.
        duplicates: Number of repeats recognised.
        matches: Activities booked by how their factor matched (`carbon.factors.HOW_NAMES`).
    """

    transfers: pa.RecordBatch
    change: States
    refused: list[Refused]
    astray: Int64Array
    astray_accounts: list[str]
    late: Int64Array
    booked: int
    duplicates: int
    matches: Int64Array


def step(taken: ReadSlice, accounts: AccountStore, rules: Rules) -> Outcome:
    """Work one slice."""
    part, activities, hashes = taken.part, taken.activities, taken.hashes
    timestamps = part.timestamps_ms[taken.positions]
    offsets = part.source_offsets[taken.positions]
    refusal = taken.refusal.copy()
    home = partitions_of(activities.account, rules.partitions) == part.partition
    astray = (refusal == ACCEPTED) & ~home
    account, states = taken.account, accounts.read(taken.names)
    repeat = (refusal == ACCEPTED) & home & _known(taken, states)
    open_rows = (refusal == ACCEPTED) & home & ~repeat
    refuse(refusal, open_rows & activities.corrects, "original_unknown")
    for broken, code in broken_by_future(activities.ended_at, timestamps):
        refuse(refusal, open_rows & broken, code)
    rated = rate_by_programme(
        activities.columns,
        activities.programme,
        np.flatnonzero(open_rows & (refusal == ACCEPTED)),
        refusal,
        programmes=rules.programmes,
        factors=rules.factors,
    )
    rows = np.flatnonzero(open_rows & (refusal == ACCEPTED))
    rows = _at_home(activities, account, rows, states, refusal)
    late = rows[:0]
    if part.stored is None:
        rows, late = _without_late(activities, account, rows, states)
        if not rules.late_lane:
            refusal[late] = NUMBER["late_beyond_memory"]
            late = late[:0]
    booked, repeats_within = _first_of_each(rows, hashes)
    repeats_refused = _after_booked(
        np.flatnonzero(open_rows & (refusal != ACCEPTED)), booked, hashes
    )
    refusal[repeats_refused] = ACCEPTED
    repeats = np.concatenate([np.flatnonzero(repeat), repeats_within, repeats_refused])
    change = fold(
        activities,
        account,
        booked,
        repeats,
        rated,
        hashes,
        timestamps,
        states,
        rules.dedupe_days,
    )
    transfers = transfers_of(
        activities, booked, rated, rules.programmes, rules.factor_names, part, timestamps, offsets
    )
    refused = list(taken.unreadable)
    for row in np.flatnonzero(refusal != ACCEPTED).tolist():
        code = CODES[refusal[row]]
        refused.append(Refused(int(taken.positions[row]), code, REFUSALS[code]))
    return Outcome(
        transfers=transfers,
        change=change,
        refused=sorted(refused, key=lambda bad: bad.position),
        astray=taken.positions[astray],
        astray_accounts=activities.account.filter(pa.array(astray)).to_pylist(),
        late=taken.positions[late],
        booked=len(booked),
        duplicates=len(repeats),
        matches=rated.how[booked],
    )


def _known(taken: ReadSlice, states: States) -> BoolArray:
    """Return which events are known to be repeats: to their accounts, or to the store."""
    known = states.memory.remembers(taken.account, taken.hashes)
    if taken.part.stored is not None:
        known |= taken.part.stored[taken.positions]
    elif taken.part.late_from is not None:
        raise ValueError(f"the store was not asked about a slice of {taken.part.topic}")
    return known


def _at_home(
    activities: Activities,
    account: Int64Array,
    rows: Int64Array,
    states: States,
    refusal: Int64Array,
) -> Int64Array:
    """Refuse rows of an account that belongs to another programme; return the others.

    A new account belongs to the programme of its first accepted activity.
    """
    code, asked = account[rows], activities.programme.codes[rows]
    first = np.zeros(len(states), dtype=np.int64)
    first[code[::-1]] = asked[::-1]
    number_of = {name: number for number, name in enumerate(activities.programme.vocabulary)}
    own = states.programme.numbers(lambda name: number_of.get(name, -1))
    elsewhere = np.where(states.known(), own, first)[code] != asked
    refusal[rows[elsewhere]] = NUMBER["account_in_other_programme"]
    kept: Int64Array = rows[~elsewhere]
    return kept


def _without_late(
    activities: Activities, account: Int64Array, rows: Int64Array, states: States
) -> tuple[Int64Array, Int64Array]:
    """Return the rows that cannot be forgotten repeats, and those that may be."""
    forgotten = states.forgotten_until[account[rows]]
    # What was recorded on a forgotten day may have ended up to FUTURE_MS_MAX after it.
    recorded_from = (activities.ended_at[rows] - FUTURE_MS_MAX) // DAY_MS
    late = (forgotten > 0) & (recorded_from <= forgotten)
    return rows[~late], rows[late]


def _first_of_each(rows: Int64Array, hashes: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Return the first row of each event, and its repeats within the slice."""
    # Sorting need not keep the order of equals, and is five times as quick then: they are few.
    mine = hashes[rows]
    order = np.argsort(mine)
    ordered = mine[order]
    like_next = ordered[1:] == ordered[:-1]
    has_like = np.zeros(len(rows), dtype=np.bool_)
    has_like[1:] = like_next
    has_like[:-1] |= like_next
    alike = np.sort(order[has_like])
    first = np.ones(len(rows), dtype=np.bool_)
    first[alike] = False
    first[alike[np.unique(mine[alike], return_index=True)[1]]] = True
    return rows[first], rows[~first]


def _after_booked(rows: Int64Array, booked: Int64Array, hashes: Int64Array) -> Int64Array:
    """Return which refused rows come after the booked row of the same event: repeats all the same.

    In a later slice memory would know them before anything is asked about them; where slices are
    cut must make no difference.
    """
    if not len(rows) or not len(booked):
        return rows[:0]
    order = np.argsort(hashes[booked])
    ordered = hashes[booked][order]
    place = np.minimum(np.searchsorted(ordered, hashes[rows]), len(ordered) - 1)
    same = ordered[place] == hashes[rows]
    after: Int64Array = rows[same & (rows > booked[order][place])]
    return after
