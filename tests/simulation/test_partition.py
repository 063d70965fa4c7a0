"""However often a worker crashes, sleeps or is given slices again: the books are those of a quiet
day.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon.programmes import parse_programme
from streams.step import Rules
from streams.transfers import FactorNames
from tests.simulation.partition import (
    Action,
    Compact,
    Fault,
    Fetch,
    Log,
    Partition,
    Rewind,
    Sleep,
    Wake,
    Work,
    records,
)
from tests.streams.scene import (
    HOUR_MS,
    NOW_MS,
    SESSIONS,
    TRIPS,
    Event,
    event,
    held,
    session,
    shipped_factors,
    trip,
)

BOTH = """
name = "both"
title = "Sessions and trips on one account"
boundary = "ttw"
source = "made up"
[charging]
grid = "annual"
classes = ["car", "tractor"]
[charging.reduction.baseline]
car = { fuel_per_100 = "7.8", energy_per_100 = "15", fuel_mg_per_unit = 2370000 }
tractor = { fuel_per_100 = "36", energy_per_100 = "150", fuel_mg_per_unit = 2600000 }
[freight]
classes = ["truck_46t"]
[freight.reduction]
claim_share = "0.8"
baseline_mg_per_tkm = { truck_46t = 57000 }
"""
LAW = settings(deadline=None, max_examples=40)  # The machine is shared: no time of ours is sure.
TOPICS = (SESSIONS, TRIPS)
SEEDS = range(40)


@cache
def rules() -> Rules:
    factors = shipped_factors()
    return Rules({"both": parse_programme(BOTH)}, factors, FactorNames.of(factors), 1, 35)


def a_session(number: int, variant: int) -> Event:
    changes: list[dict[str, object]] = [
        {},
        {"energy_wh": 1_000 + number, "grid_region": "CN-GD"},
        {"vehicle_class": "tractor", "grid_region": "CN-HE"},
        {"energy_wh": -1},
        {"programme": "nowhere"},
    ]
    fields = {
        "session_id": f"S{number}",
        "account_id": f"account-{number % 5}",
        "programme": "both",
        **changes[variant % len(changes)],
    }
    return event(session(**fields), NOW_MS + number * HOUR_MS)


def a_trip(number: int, variant: int) -> Event:
    changes: list[dict[str, object]] = [{}, {"energy_used": None}, {"cargo_kg": -1}]
    fields = {
        "trip_id": f"T{number}",
        "account_id": f"account-{number % 5}",
        "programme": "both",
        **changes[variant % len(changes)],
    }
    return event(trip(**fields), NOW_MS + number * HOUR_MS)


NUMBERS = st.tuples(st.integers(0, 12), st.integers(0, 4))
BROKEN = st.sampled_from([Event(None), Event(b"broken"), Event(b"\0\0\0\0\x01")])
SOURCES = st.fixed_dictionaries(
    {
        SESSIONS: st.lists(NUMBERS.map(lambda two: a_session(*two)) | BROKEN, max_size=25),
        TRIPS: st.lists(NUMBERS.map(lambda two: a_trip(*two)) | BROKEN, max_size=12),
    }
)
PLANS: st.SearchStrategy[list[Action]] = st.lists(
    st.one_of(
        st.builds(Fetch, st.sampled_from(TOPICS), st.integers(1, 9)),
        st.builds(Work, st.sampled_from(Fault)),
        st.builds(Work),
        st.builds(Rewind, st.sampled_from(TOPICS), st.integers(1, 9)),
        st.builds(Sleep),
        st.builds(Wake),
        st.builds(Compact),
    ),
    max_size=40,
)


def quiet(sources: Mapping[str, Sequence[Event]]) -> Log:
    """Return the log after one worker has worked everything in peace."""
    partition = Partition(sources, rules())
    partition.play([Fetch(topic, len(events)) for topic, events in sources.items()])
    return partition.log


def told(log: Log) -> dict[str, Any]:
    """Return all that a log says in the end, whatever the order in which it came to be."""
    transfers = Counter(repr(sorted(one.items())) for one in records(log, "transfers"))
    refusals = Counter(
        (one.headers["topic"], one.headers["offset"], one.headers["code"], one.value)
        for one in log.on("refusals")
    )
    return {
        "balances": held(log.restore(), log.accounts()),
        "transfers": transfers,
        "refusals": refusals,
        "committed": log.committed,
    }


def assert_as_on_a_quiet_day(partition: Partition) -> None:
    log = partition.log
    assert told(log) == told(quiet(log.sources))
    ids = Counter(one["transfer_id"] for one in records(log, "transfers"))
    assert set(ids.values()) <= {1}
    balances = {one["account_id"]: one for one in records(log, "account-balances")}
    booked = sum(one["session_count"] + one["trip_count"] for one in balances.values())
    repeats = sum(one["duplicate_count"] for one in balances.values())
    events = sum(len(source) for source in log.sources.values())
    assert events == booked + repeats + len(log.on("refusals"))


@LAW
@given(SOURCES, PLANS)
def test_any_plan_of_faults_ends_in_the_books_of_a_quiet_day(
    sources: dict[str, list[Event]], plan: list[Action]
) -> None:
    partition = Partition(sources, rules())
    partition.play(plan)
    assert_as_on_a_quiet_day(partition)


def seeded(seed: int) -> Partition:
    """Return a partition after a long and bad day, the same for the same seed."""
    chance = random.Random(seed)
    sources = {
        SESSIONS: [a_session(chance.randrange(60), chance.randrange(5)) for _ in range(120)],
        TRIPS: [a_trip(chance.randrange(30), chance.randrange(3)) for _ in range(60)],
    }
    plan: list[Action] = []
    for _ in range(60):
        plan += [Fetch(chance.choice(TOPICS), chance.randint(1, 12)) for _ in range(2)]
        choices: list[Action] = [
            Work(),
            Work(),
            Work(chance.choice(list(Fault))),
            Rewind(chance.choice(TOPICS), chance.randint(1, 20)),
            Sleep(),
            Wake(),
            Compact(),
        ]
        plan.append(chance.choice(choices))
    partition = Partition(sources, rules())
    partition.play(plan)
    return partition


@pytest.mark.parametrize("seed", SEEDS)
def test_a_bad_day_ends_in_the_books_of_a_quiet_one(seed: int) -> None:
    assert_as_on_a_quiet_day(seeded(seed))


def test_the_bad_days_were_bad() -> None:
    days = [seeded(seed) for seed in range(10)]
    assert sum(day.crashes for day in days) > 10
    assert sum(day.fenced for day in days) > 10


def test_the_same_seed_is_the_same_day() -> None:
    assert seeded(7).log.written == seeded(7).log.written


def without_repeats(events: Sequence[Event]) -> list[Event]:
    first: dict[bytes | None, Event] = {}
    for one in events:
        first.setdefault(one.value, one)
    return list(first.values())


@LAW
@given(SOURCES, PLANS)
def test_with_its_repeats_taken_out_a_stream_gives_the_same_books_but_for_their_count(
    sources: dict[str, list[Event]], plan: list[Action]
) -> None:
    partition = Partition(sources, rules())
    partition.play(plan)
    found = told(partition.log)["balances"]
    ids = {one["transfer_id"] for one in records(partition.log, "transfers")}
    distinct = quiet({topic: without_repeats(events) for topic, events in sources.items()})
    expected = told(distinct)["balances"]
    assert {one["transfer_id"] for one in records(distinct, "transfers")} == ids
    duplicate_count, updated_at = 8, 10
    for name, (programme, state, seen, forgotten) in found.items():
        same = [at for at in range(len(state)) if at not in (duplicate_count, updated_at)]
        assert [state[at] for at in same] == [expected[name][1][at] for at in same]
        assert (programme, seen, forgotten) == (expected[name][0], *expected[name][2:])
