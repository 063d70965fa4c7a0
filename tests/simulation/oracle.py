"""What must be true when a simulated day is over.

The books are compared with those of a quiet day: the pure step over the same source records, in
order of offset, by one worker that nothing ever happens to. What follows from the events alone is
checked beside it, without the step.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby, product
from typing import Any, Final
from unittest.mock import patch

import pyarrow as pa
from aiokafka.structs import TopicPartition

from schemas.catalogue import ACTIVITY_TOPICS, LATE_FROM, LATE_OF
from schemas.singles import decode_one
from streams.accounts import Accounts
from streams.states import AccountStore
from streams.step import Outcome
from tests.simulation.broker import Broker, all_of
from tests.simulation.load import NEW_RELEASE, PARTITIONS, Load, catalogue, rules
from tests.simulation.world import SOURCES
from tests.streams.scene import Event, held, part_of, restored, work

LATE: Final = "late_beyond_memory"
DUPLICATE_COUNT, UPDATED_AT = 8, 10
"""Where numbers of an account stand that depend on where slices were cut."""


@dataclass(frozen=True, slots=True)
class Books:
    """What lies on the topics in the end."""

    transfers: list[dict[str, Any]]
    refusals: list[dict[str, str]]
    balances: dict[str, dict[str, Any]]
    accounts: list[AccountStore]
    """As the next owner of each partition would restore them."""


@dataclass(frozen=True, slots=True)
class Source:
    """One record of a source partition."""

    offset: int
    event: Event


def check(broker: Broker, load: Load, *, is_late_asked: bool) -> None:
    """Check what is left of a day.

    Args:
        broker: What is left.
        load: What was sent.
        is_late_asked: Whether the store was asked about late events.

    Raises:
        AssertionError: Something is not as it must be.
    """
    sources = {place: _sources(broker, place) for place in (TopicPartition(*tp) for tp in SOURCES)}
    found = _books(broker)
    _each_once(found, load.must | load.late if is_late_asked else load.must)
    _sums(found)
    moved = _as_on_a_quiet_day(found, sources)
    _all_accounted_for(found, sum(map(len, sources.values())), moved)
    _late_told_apart(broker, found, sources, is_late_asked=is_late_asked)


def _each_once(found: Books, must: set[str]) -> None:
    counts = Counter(one["transfer_id"] for one in found.transfers)
    doubled = sorted(name for name, count in counts.items() if count > 1)
    assert not doubled, f"transfers there more than once: {doubled}"
    missing = sorted(must - {one["activity_id"] for one in found.transfers})
    assert not missing, f"valid and never booked: {missing}"


def _sums(found: Books) -> None:
    """Check that each balance is the fold of its transfers, and that debits equal credits."""
    sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
    legs: Counter[str] = Counter()
    for one in found.transfers:
        assert one["amount_mg"] >= 0
        legs[one["debit_account"]] -= one["amount_mg"]
        legs[one["credit_account"]] += one["amount_mg"]
        sign = 1 if one["credit_account"] == one["account_id"] else -1
        name = {"emission": "emissions_mg", "reduction": "reduction_mg"}[one["quantity"]]
        sums[one["account_id"]][name] += sign * one["amount_mg"]
        if one["quantity"] == "emission":
            sums[one["account_id"]]["energy_wh"] += one["energy_wh"]
            sums[one["account_id"]]["distance_m"] += one["distance_m"]
            sums[one["account_id"]]["activities"] += 1
    assert sum(legs.values()) == 0
    for account, balance in found.balances.items():
        expected = sums.pop(account, Counter())
        activities = balance["session_count"] + balance["trip_count"]
        assert activities == expected.pop("activities", 0), f"activities of {account}"
        for name in ("emissions_mg", "reduction_mg", "energy_wh", "distance_m"):
            assert balance[name] == expected[name], f"{name} of {account}"
    assert not sums, f"transfers of accounts without a balance: {sorted(sums)}"


def _all_accounted_for(found: Books, records: int, moved: int) -> None:
    """Check that every source record is a transfer, a duplicate, a refusal or was put right."""
    refused = Counter((one["topic"], one["partition"], one["offset"]) for one in found.refusals)
    assert set(refused.values()) <= {1}, "a record was refused twice"
    booked = sum(one["quantity"] == "emission" for one in found.transfers)
    repeats = sum(one["duplicate_count"] for one in found.balances.values())
    assert records == booked + repeats + len(found.refusals) + moved, (
        f"{records} records, but {booked} booked + {repeats} duplicates + "
        f"{len(found.refusals)} refused + {moved} put right"
    )


def _late_told_apart(
    broker: Broker,
    found: Books,
    sources: Mapping[TopicPartition, list[Source]],
    *,
    is_late_asked: bool,
) -> None:
    """Check that no late event is refused or there twice, and that each is booked as its original.

    That each is booked once or counted as a duplicate is said by the other checks.
    """
    for topic, number in product(ACTIVITY_TOPICS, range(PARTITIONS)):
        lane = _originals(broker, TopicPartition(LATE_OF[topic], number))
        assert len(lane) == len(set(lane)), f"a record is twice in the lane of {topic} {number}"
        assert is_late_asked or not lane, "late events are refused, and there are some in a lane"
    if not is_late_asked:
        return
    assert not [one for one in found.refusals if one["code"] == LATE], "the store was to be asked"
    for one in found.transfers:
        if one["account_id"].startswith("late"):
            place = TopicPartition(one["source_topic"], one["source_partition"])
            [source] = [each for each in sources[place] if each.offset == one["source_offset"]]
            told = decode_one(source.event.value, catalogue=catalogue(current=False))[1]
            assert one["activity_id"] in (told.get("session_id"), told.get("trip_id"))


def _originals(broker: Broker, place: TopicPartition) -> list[bytes]:
    return [
        dict(records.headers(row))[LATE_FROM]
        for records in all_of(broker.logs[place])
        for row in range(len(records))
    ]


def _as_on_a_quiet_day(found: Books, sources: Mapping[TopicPartition, list[Source]]) -> int:
    """Compare with a quiet day; return how many records that one puts right."""
    moved = 0
    by_place: defaultdict[TopicPartition, dict[int, list[dict[str, Any]]]] = defaultdict(dict)
    for one in found.transfers:
        place = TopicPartition(one["source_topic"], one["source_partition"])
        by_place[place].setdefault(one["source_offset"], []).append(one)
    for place, source in sources.items():
        there = by_place.pop(place, {})
        accounts, outcomes = _quiet_step(source, _released(source, there), place)
        moved += sum(len(outcome.astray) for _, outcome in outcomes)
        expected = [one for _, outcome in outcomes for one in _rows(outcome.transfers)]
        assert _told(expected) == _told(one for ones in there.values() for one in ones)
        refused = {
            (str(source[rows[bad.position]].offset), bad.code)
            for rows, outcome in outcomes
            for bad in outcome.refused
            if bad.code != LATE
        }
        assert refused == {
            (one["offset"], one["code"])
            for one in found.refusals
            if (one["topic"], one["partition"]) == (place.topic, str(place.partition))
            and one["code"] != LATE
        }
        names = [name for name in found.balances if place.topic in name]
        _same_accounts(held(accounts, names), held(found.accounts[place.partition], names))
    assert not by_place
    return moved


def _same_accounts(
    expected: Mapping[str, tuple[Any, ...]], there: Mapping[str, tuple[Any, ...]]
) -> None:
    for name, state in expected.items():
        assert name in there, f"{name} has no balance"
        if name.startswith("late"):
            continue
        programme, numbers, seen, _ = state
        other = there[name]
        assert (programme, seen) == (other[0], other[2]), name
        for at, number in enumerate(numbers):
            if at not in (DUPLICATE_COUNT, UPDATED_AT):
                assert number == other[1][at], f"number {at} of {name}"


def _rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return transfers that never were on the wire, instants as it has them."""
    columns = [
        column.cast("int64") if pa.types.is_timestamp(column.type) else column
        for column in batch.columns
    ]
    pythons = [column.to_pylist() for column in columns]
    return [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*pythons, strict=True)]


def _told(some: Iterable[dict[str, Any]]) -> Counter[str]:
    """Return what transfers say, those of late accounts aside."""
    return Counter(
        repr(sorted(one.items())) for one in some if not one["account_id"].startswith("late")
    )


def _released(source: list[Source], there: Mapping[int, list[dict[str, Any]]]) -> list[bool]:
    """Return for each record whether it was worked by the new release, as its transfers show."""
    known, flags = False, []
    for one in source:
        if one.offset in there:
            releases = {each["factor_release"] for each in there[one.offset]}
            grid = any(each["activity"] == "charging" for each in there[one.offset])
            known = NEW_RELEASE in releases if grid else known
        flags.append(known)
    return flags


def _quiet_step(
    source: list[Source], released: list[bool], place: TopicPartition
) -> tuple[Accounts, list[tuple[list[int], Outcome]]]:
    """Work a source in peace; return the accounts, and the outcome of each run of rows."""
    accounts, outcomes = Accounts(), []
    for flag, run in groupby(range(len(source)), lambda at: released[at]):
        rows = list(run)
        part = part_of(
            [source[at].event for at in rows], topic=place.topic, partition=place.partition
        )
        part.offsets[:] = [source[at].offset for at in rows]
        with patch("schemas.columns.used", lambda: catalogue(current=False)):
            outcome = work(accounts, part, rules(released=flag))
        outcomes.append((rows, outcome))
    return accounts, outcomes


def _books(broker: Broker) -> Books:
    def values(topic: str) -> list[tuple[int, bytes]]:
        return [
            (number, records.values[row] or b"")
            for number in range(PARTITIONS)
            for records in all_of(broker.logs[TopicPartition(topic, number)])
            for row in range(len(records))
        ]

    balances = values("account-balances")
    told = [decode_one(value)[1] for _, value in balances]
    return Books(
        transfers=[decode_one(value)[1] for _, value in values("transfers")],
        refusals=[
            {name: text.decode() for name, text in records.headers(row)}
            for number in range(PARTITIONS)
            for records in all_of(broker.logs[TopicPartition("refusals", number)])
            for row in range(len(records))
        ],
        balances={str(one["account_id"]): one for one in told},
        accounts=[
            restored([value for number, value in balances if number == wanted])
            for wanted in range(PARTITIONS)
        ],
    )


def _sources(broker: Broker, place: TopicPartition) -> list[Source]:
    return [
        Source(
            int(records.offsets[row]),
            Event(records.values[row], int(records.timestamps_ms[row]), records.keys[row]),
        )
        for records in all_of(broker.logs[place])
        for row in range(len(records))
    ]
