"""What a record must hold: a worker asks it of columns, a client of a single record.

Each rule is written once, over ints and columns alike, and comes as pairs in the order of refusing:
where it is broken, and the code. The first broken one is the refusal. `energy_used` is
`used_or_not_given` of what the record says, so that a column needs no nulls.

The texts of an identity are bytes here; `streams.read` asks the same of columns of them.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias, TypeVar

from carbon.exact import Int64Array
from carbon.limits import (
    CARGO_KG_MAX,
    DISTANCE_M_MAX,
    ENERGY_USED_MAX,
    ENERGY_WH_MAX,
    FOREVER_MS,
    FUTURE_MS_MAX,
    SESSION_MS_MAX,
    TEXT_BYTES_MAX,
)

Number = TypeVar("Number", int, Int64Array)
Broken: TypeAlias = tuple[tuple[Any, str], ...]
"""A bool or a BoolArray, as ints or columns were given, and a code."""

NOT_GIVEN: Final = -1
NEGATIVE: Final = -2


def used_or_not_given(energy_used: int | None) -> int:
    """Return energy_used as a number that tells "not given" from negative.

    >>> [used_or_not_given(used) for used in (None, 12, -1)]
    [-1, 12, -2]
    """
    if energy_used is None:
        return NOT_GIVEN
    return energy_used if energy_used >= 0 else NEGATIVE


def broken_by_identity(source: bytes, activity_id: bytes, account: bytes) -> str:
    """Return the code of an identity that is refused, else "".

    >>> broken_by_identity(b"a:b", b"S1", b"anna")
    'identity_invalid'
    """
    if not (source and activity_id and account) or b":" in source:
        return "identity_invalid"
    # The hash of an event separates its parts by zero bytes.
    if 0 in source or 0 in activity_id or 0 in account:
        return "identity_invalid"
    is_long = len(source) > TEXT_BYTES_MAX or len(activity_id) > TEXT_BYTES_MAX
    return "identity_too_long" if is_long or len(account) > TEXT_BYTES_MAX else ""


def broken_by_message(timestamp_ms: Number, revision: Number) -> Broken:
    """Return what a message breaks: when its producer wrote it, and which version it is."""
    return (
        # Memory and balances count days from there.
        ((timestamp_ms < 0) | (timestamp_ms >= FOREVER_MS), "timestamp_invalid"),
        (revision < 0, "revision_invalid"),
    )


def broken_by_future(ended_at: Number, timestamp_ms: Number) -> Broken:
    """Return what an activity breaks that ends after its message was written."""
    return ((ended_at > timestamp_ms + FUTURE_MS_MAX, "ended_in_future"),)


def broken_by_session(energy_wh: Number, started_at: Number, ended_at: Number) -> Broken:
    """Return what a charging session breaks.

    >>> [code for broken, code in broken_by_session(-1, 2, 1) if broken]
    ['energy_out_of_range', 'ended_before_started']
    """
    return (
        ((energy_wh < 0) | (energy_wh > ENERGY_WH_MAX), "energy_out_of_range"),
        *_broken_by_times(started_at, ended_at),
    )


def broken_by_trip(
    *,
    departed_at: Number,
    arrived_at: Number,
    distance_m: Number,
    empty_distance_m: Number,
    cargo_kg: Number,
    energy_used: Number,
) -> Broken:
    """Return what a freight trip breaks; `energy_used` as `used_or_not_given` has it."""
    return (
        *_broken_by_times(departed_at, arrived_at),
        (
            (distance_m <= 0)
            | (distance_m > DISTANCE_M_MAX)
            | (empty_distance_m < 0)
            | (empty_distance_m > DISTANCE_M_MAX),
            "distance_out_of_range",
        ),
        (
            (cargo_kg < 0) | (cargo_kg > CARGO_KG_MAX) | ((cargo_kg == 0) & (energy_used < 0)),
            "cargo_out_of_range",
        ),
        ((energy_used < NOT_GIVEN) | (energy_used > ENERGY_USED_MAX), "energy_used_out_of_range"),
    )


def _broken_by_times(start: Number, end: Number) -> Broken:
    return (
        (
            (start < 0) | (end < 0) | (start >= FOREVER_MS) | (end >= FOREVER_MS),
            "time_invalid",
        ),
        (end < start, "ended_before_started"),
        (end - start > SESSION_MS_MAX, "too_long"),
    )
