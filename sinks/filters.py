"""Filters: which rows of a list are asked for; a field that is None is left open."""

from dataclasses import dataclass
from typing import Any, Final

REPLAYED: Final = (
    "concat(toString(_partition), '-', toString(_offset)) IN (SELECT replay_of FROM {db}.replays)"
)
"""SQL that is true for a refusal that was sent again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorFilter:
    """Which factors to list; `at` is when they must be valid [ms]."""

    release: str | None = None
    kind: str | None = None
    region: str | None = None
    subject: str | None = None
    boundary: str | None = None
    at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalFilter:
    """Which refusals to list.

    Attributes:
        code: Only with this code.
        origin: Only of the `worker` or the `loader`.
        source: Only of records of this source.
        topic: Only of records of this topic.
        account_id: Only of this account.
        from_ms: Earliest refusal, inclusive [ms].
        to_ms: Latest refusal, exclusive [ms].
        is_replayed: Only those that were sent again, or only those that were not.
    """

    code: str | None = None
    origin: str | None = None
    source: str | None = None
    topic: str | None = None
    account_id: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    is_replayed: bool | None = None


def refusals_where(which: RefusalFilter) -> tuple[list[str], dict[str, Any]]:
    """Return conditions of a question to the view of refusals, and their parameters."""
    where, values = ["true"], dict[str, Any]()
    for name in ("code", "origin", "source", "topic", "account_id"):
        if (value := getattr(which, name)) is not None:
            where.append(f"{name} = {{{name}:String}}")
            values[name] = value
    for name, sign in (("from_ms", ">="), ("to_ms", "<")):
        if (value := getattr(which, name)) is not None:
            where.append(f"_timestamp {sign} fromUnixTimestamp64Milli({{{name}:Int64}}, 'UTC')")
            values[name] = value
    if which.is_replayed is not None:
        where.append(REPLAYED if which.is_replayed else f"NOT {REPLAYED}")
    return where, values


def refusal_place(refusal_id: str) -> tuple[int, int]:
    """Return partition and offset of a refusal.

    Raises:
        ValueError: It is not a refusal's id.

    >>> refusal_place("3-1200")
    (3, 1200)
    """
    partition, _, offset = refusal_id.partition("-")
    if not (
        partition.isdecimal() and offset.isdecimal() and len(partition) < 10 and len(offset) < 19
    ):
        raise ValueError(f"not a refusal's id: {refusal_id!r}")
    return int(partition), int(offset)
