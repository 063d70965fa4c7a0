"""Strategies: streams of events as producers send them, with repeats, dirt and things out of order.

An event's id decides its account, as it does where producers keep their ids unique.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hypothesis import strategies as st

from tests.streams.scene import (
    DAY_MS,
    HOUR_MS,
    NOW_MS,
    SESSIONS,
    TRIPS,
    Event,
    event,
    session,
    trip,
)

ACCOUNTS: Final = ("anna", "bert", "carl", "dora")

_SESSION_CHANGES: Final[tuple[Mapping[str, object], ...]] = (
    {},
    {},
    {"energy_wh": 7_001, "grid_region": "CN-GD"},
    {"vehicle_class": "tractor_heavy", "grid_region": "CN-HE"},
    {"programme": "us-fleet", "grid_region": "US", "current": "dc", "meter_side": "dispenser"},
    {"energy_wh": -1},
    {"programme": "nowhere"},
    {"programme": "cn-freight"},
    {"grid_region": "nowhere"},
    {"vehicle_class": "ship"},
    {"revision": 1},
    {"reversal_of": "S0"},
    {"source": "a:b"},
    {"ended_at": NOW_MS + 30 * DAY_MS},
)
_TRIP_CHANGES: Final[tuple[Mapping[str, object], ...]] = (
    {},
    {},
    {"energy_used": None},
    {"cargo_kg": 3_333, "distance_basis": "sfd"},
    {"cargo_kg": -1},
    {"vehicle_class": "car"},
)
_BROKEN: Final = (None, b"", b"{}", b"\0\0\0\0\x09x", b"\0\0\0\0\x01x")


@st.composite
def sessions(draw: st.DrawFn) -> tuple[str, Event]:
    """Return a session of few distinct ids, and its topic."""
    number = draw(st.integers(0, 9))
    changes = draw(st.sampled_from(_SESSION_CHANGES))
    timestamp_ms = NOW_MS + draw(st.integers(-24, 24)) * HOUR_MS
    account = ACCOUNTS[number % len(ACCOUNTS)]
    fields = {"session_id": f"S{number}", "account_id": account, **changes}
    return SESSIONS, event(session(**fields), timestamp_ms)


@st.composite
def trips(draw: st.DrawFn) -> tuple[str, Event]:
    """Return a trip of few distinct ids, and its topic."""
    number = draw(st.integers(0, 5))
    changes = draw(st.sampled_from(_TRIP_CHANGES))
    account = ("emil", "anna")[number % 2]
    fields = {"trip_id": f"T{number}", "account_id": account, **changes}
    return TRIPS, event(trip(**fields), NOW_MS + number * HOUR_MS)


def broken() -> st.SearchStrategy[tuple[str, Event]]:
    """Return a record that is none, and its topic."""
    return st.tuples(st.sampled_from([SESSIONS, TRIPS]), st.sampled_from(_BROKEN).map(Event))


def streams(max_size: int = 30) -> st.SearchStrategy[list[tuple[str, Event]]]:
    """Return what lies on one partition of both topics, in the order in which it came."""
    return st.lists(st.one_of(sessions(), sessions(), trips(), broken()), max_size=max_size)
