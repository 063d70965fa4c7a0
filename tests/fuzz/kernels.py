"""What the kernels read of a slice, beside what fastavro reads of each of its records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streams.read import ReadSlice
from tests.streams.scene import SESSIONS


def rows_of(taken: ReadSlice) -> dict[str, list[Any]]:
    """Return what the kernels read, as Python values by field."""
    of, columns = taken.activities, taken.activities.columns
    found: dict[str, list[Any]] = {
        "source": of.source.to_pylist(),
        "account_id": of.account.to_pylist(),
        "revision": of.revision.to_pylist(),
        "session_id": of.activity_id.to_pylist(),
        "trip_id": of.activity_id.to_pylist(),
        "programme": _words(of.programme),
        "vehicle_class": _words(of.vehicle_class),
        "grid_region": _words(of.region),
        "origin_region": _words(of.region),
    }
    numbers = ("energy_wh", "started_at", "ended_at", "departed_at", "arrived_at")
    for name in (*numbers, "distance_m", "cargo_kg", "empty_distance_m"):
        if hasattr(columns, name):
            found[name] = getattr(columns, name).tolist()
    return found


def _words(words: Any) -> list[str]:
    return [words.vocabulary[code] for code in words.codes.tolist()]


def unlike(
    topic: str, values: Mapping[str, Any], rows: Mapping[str, list[Any]], row: int
) -> str | None:
    """Return how a row differs from what fastavro reads, None if it does not."""
    skipped = {"trip_id", "origin_region"} if topic == SESSIONS else {"session_id", "grid_region"}
    for name in rows.keys() - skipped:
        if rows[name][row] != values[name]:
            return f"{name} was read as {rows[name][row]!r:.80}, and is {values[name]!r:.80}"
    return None
