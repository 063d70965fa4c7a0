"""What producers send in a simulation: sessions and trips, told twice, told late, broken, astray.

An account has activities of one kind, so what is booked on it follows from one log alone. Those
whose name begins with `late` are told of what happened long ago for the first time. Where late
events are refused, it depends on where slices are cut whether that is booked, but never may it be
booked twice. Where the store is asked, it is booked once.
"""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from typing import Any, Final

from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.structs import TopicPartition

from carbon.factors import FactorTable
from carbon.programmes import parse_programme
from schemas.catalogue import AvroSchema, Catalogue, shipped
from schemas.partition import partition_of
from schemas.singles import encode_one
from streams.step import Rules
from streams.transfers import FactorNames
from tests.streams.scene import (
    DAY_MS,
    HOUR_MS,
    NOW_MS,
    RECORD,
    SESSIONS,
    TRIPS,
    Event,
    session,
    shipped_factors,
    trip,
)

PARTITIONS: Final = 2
DEDUPE_DAYS: Final = 2
LONG_MS: Final = 12 * DAY_MS
JUMP_SHARE: Final = 0.3
"""Share of the events before which days pass, so that accounts forget."""
ACCOUNTS: Final = (0, 1)
LATE_ACCOUNT: Final = {SESSIONS: 2, TRIPS: 3}
"""Numbers in the names: few, so that each has something to forget; one in each partition."""
PROGRAMME: Final = """
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
NEW_RELEASE: Final = "simulated"

SESSION_CHANGES: Final[tuple[dict[str, object], ...]] = (
    {},
    {"energy_wh": 31_000, "grid_region": "CN-GD"},
    {"vehicle_class": "tractor", "grid_region": "CN-HE"},
    {"energy_wh": -1},
    {"programme": "nowhere"},
    {"reversal_of": "S0"},
)
TRIP_CHANGES: Final[tuple[dict[str, object], ...]] = ({}, {"energy_used": None}, {"cargo_kg": -1})
VALID: Final = {SESSIONS: 3, TRIPS: 2}
"""So many of the first changes leave an activity valid."""

POISON: Final = (None, b"", b"broken", b"\0\0\0\0\1", b"\0\0\0\x7f\1rest")


@cache
def catalogue(*, current: bool) -> Catalogue:
    """Return the shipped catalogue and a second version of sessions, with a field more."""
    known = shipped().newest("charging_session")
    text = known.text.rstrip().removesuffix("}").rstrip()
    assert text.endswith("]"), "fields are the last thing in a schema"
    more = '{"name": "note", "type": ["null", "string"], "default": null}'
    version = AvroSchema(
        record=known.record,
        version=known.version + 1,
        schema_id=9_999,
        text=f"{text.removesuffix(']').rstrip()}, {more}]}}",
    )
    return shipped().extended(version, current=current)


@cache
def rules(*, released: bool, late_lane: bool = False) -> Rules:
    """Return the rules before and after a release that changes every factor of a grid."""
    factors = shipped_factors()
    if released:
        newer = [
            replace(
                factor,
                factor_id=f"{factor.factor_id}:new",
                value_mg=factor.value_mg + 1_000,
                release=NEW_RELEASE,
            )
            for factor in factors.factors
            if factor.kind == "grid_average"
        ]
        factors = FactorTable.of([*factors.factors, *newer])
    programmes = {"both": parse_programme(PROGRAMME)}
    return Rules(
        programmes, factors, FactorNames.of(factors), PARTITIONS, DEDUPE_DAYS, late_lane=late_lane
    )


class Load:
    """Producers of two topics that know what they have sent.

    Attributes:
        must: Ids of activities that are valid and told in time: each is to be booked, once.
        late: Ids of those that are valid and may come late: told so, or first put right.
    """

    def __init__(self, chance: random.Random) -> None:
        self.must: set[str] = set()
        self.late: set[str] = set()
        self._chance = chance
        self._now_ms = NOW_MS
        self._sent: list[tuple[str, Event]] = []
        self._count = 0

    def next(self) -> tuple[TopicPartition, Event]:
        """Return one more event and where it goes."""
        chance = self._chance
        self._now_ms += chance.choice([1_000, 60_000, 60_000, HOUR_MS])
        if chance.random() < JUMP_SHARE:
            self._now_ms += 3 * DAY_MS
        draw = chance.random()
        if draw < 0.25 and self._sent:
            topic, before = chance.choice(self._sent[-12:] if chance.random() < 0.6 else self._sent)
            return self._placed(topic, replace(before, timestamp_ms=self._now_ms))
        topic = SESSIONS if chance.random() < 0.65 else TRIPS
        if draw > 0.95:
            return self._placed(topic, Event(chance.choice(POISON), self._now_ms))
        event = self._new(topic)
        self._sent.append((topic, event))
        return self._placed(topic, event)

    def _new(self, topic: str) -> Event:
        chance, self._count = self._chance, self._count + 1
        name, variant = f"{topic}-{self._count}", 0
        tells_late, is_astray = chance.random() < 0.4, chance.random() < 0.03
        is_late = tells_late and chance.random() < 0.6
        ended = self._now_ms - (LONG_MS if is_late else HOUR_MS)
        account = (
            f"late-{LATE_ACCOUNT[topic]}-{topic}"
            if tells_late or is_astray
            else f"{topic}-{chance.choice(ACCOUNTS)}-{topic}"
        )
        common = {"account_id": account, "programme": "both"}
        fields: dict[str, Any]
        if topic == SESSIONS:
            variant = self._variant(VALID[topic], len(SESSION_CHANGES))
            fields = session(**common, session_id=name, started_at=ended - HOUR_MS, ended_at=ended)
            fields |= SESSION_CHANGES[variant]
        else:
            variant = self._variant(VALID[topic], len(TRIP_CHANGES))
            fields = trip(**common, trip_id=name, departed_at=ended - HOUR_MS, arrived_at=ended)
            fields |= TRIP_CHANGES[variant]
        if variant < VALID[topic]:
            (self.late if is_late or is_astray else self.must).add(name)
        versions = catalogue(current=topic == SESSIONS and chance.random() < 0.3)
        value = encode_one(
            RECORD[topic],
            {**fields, "note": None} if versions.newest(RECORD[topic]).version > 1 else fields,
            catalogue=versions,
        )
        return Event(value, self._now_ms, b"astray" if is_astray else account.encode())

    def _variant(self, valid: int, all_of_them: int) -> int:
        """Return the number of a change, more often one that leaves the activity valid."""
        return self._chance.randrange(valid if self._chance.random() < 0.6 else all_of_them)

    def _placed(self, topic: str, event: Event) -> tuple[TopicPartition, Event]:
        return TopicPartition(topic, partition_of(event.key or b"", PARTITIONS)), event


def batch_of(event: Event) -> bytes:
    """Return the batch that a producer sends for one event."""
    builder = _DefaultRecordBatchBuilderPy(2, 0, False, -1, -1, -1, 1 << 20)
    builder.append(0, event.timestamp_ms, event.key, event.value, [])
    return bytes(builder.build())
