"""Mutants: records as a hostile or broken producer sends them, the same for the same seed.

A case is one slice. Most of its records are mutants, and between them lie good ones, whose accounts
no mutant names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any, Final, TypeAlias

from carbon.limits import FOREVER_MS
from schemas.partition import partition_of
from tests.fuzz.wire import RECORD_OF, Field, encoded, fields, framed, pieces, schema_id, varint
from tests.streams.scene import DAY_MS, HOUR_MS, NOW_MS, SESSION, SESSIONS, TRIP, TRIPS, Event

TOPICS: Final = (SESSIONS, TRIPS)
SIZES: Final = (1, 7, 512, 2_048, 8_192, 16_384)
"""Records of a slice."""
LATER_MS: Final = 40 * DAY_MS
"""More than an account remembers."""
GOOD_SHARE: Final = 0.15
ACCOUNTS: Final = 400
SOURCES: Final = ("fuzz", "fuzz", "fuzz", "other", "other", "rare-1", "rare-2", "国家电网", "a b")
INT64: Final = 2**63

NUMBERS: Final = (
    *(0, 1, -1, 2, 63, 64, -64, -65, 127, 128, 8_191, 8_192, 2**31 - 1, -(2**31), 2**31, 2**32),
    *(2**53, -(2**53), 2**62, INT64 - 1, -INT64, INT64, -INT64 - 1, 2**70),
    *(10_000_000, 10_000_001, 20_000_000, 20_000_001, 100_000, 100_001, 100_000_000, 100_000_001),
    *(FOREVER_MS, FOREVER_MS - 1, FOREVER_MS + 1, NOW_MS, NOW_MS + 40 * DAY_MS),
)
TIMESTAMPS: Final = (
    *(-1, 0, 1, -INT64, INT64 - 1, INT64 - 2 - DAY_MS, 2**31 * DAY_MS, -(2**31) * DAY_MS),
    *(FOREVER_MS, FOREVER_MS - 1, FOREVER_MS + 1, 10**17, -DAY_MS, NOW_MS + 40 * DAY_MS),
)
NO_TEXT: Final = (
    *(b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\x80", b"a\xfe"),
    *(b"\xf8\x88\x80\x80\x80", b"12345678\x80", b"1234567\xc3", b"\xf0\x9f\x98"),
)
TEXTS: Final = (
    *("", "\0", "a\0b", ":", "a:b", " ", "\n", "'; DROP TABLE", "\ufeff", "\u202e", "\U0010ffff"),
    *("张三", "é" * 7, "car", "CN-BJ", "CN", "IN-CT", "cn-freight", "acn-data", "electricity"),
    *("diesel", "india-hcv", "us-fleet", "US", "nowhere", "0", "-1", "x" * 128, "ß" * 4_000),
)
CHANGES: Final[Mapping[str, Sequence[Mapping[str, object]]]] = {
    SESSIONS: (
        {},
        {"vehicle_class": "bus", "grid_region": "CN-GD", "current": "dc", "energy_wh": 98_765},
        {"vehicle_class": "tractor_heavy", "grid_region": "CN-HE"},
        {"grid_region": "CN-XZ", "reversal_of": None, "operator_id": "国家电网"},
        {"programme": "us-fleet", "grid_region": "US", "current": "dc", "meter_side": "dispenser"},
        {"programme": "acn-data", "grid_region": "US-CAL-CISO"},
        {"energy_wh": 0, "started_at": NOW_MS - HOUR_MS},
    ),
    TRIPS: (
        {},
        {"energy_used": None},
        {"cargo_kg": 3_333, "distance_basis": "sfd", "energy_used": None},
        {"energy_carrier": "electricity", "energy_used": 123_456},
        {
            "programme": "india-hcv",
            "vehicle_class": "hcv",
            "origin_region": "IN",
            "energy_used": None,
        },
    ),
}
Mutate: TypeAlias = Callable[[Random, str, dict[str, Any]], bytes | None]


@dataclass(frozen=True, slots=True)
class Case:
    """A slice and what is known of it.

    Attributes:
        topic: Its topic.
        events: Its records.
        how: How each was made, `good` for those that nothing was done to.
    """

    topic: str
    events: list[Event]
    how: list[str]

    def good(self) -> list[int]:
        """Return where the good ones are."""
        return [at for at, how in enumerate(self.how) if how == "good"]

    def cut(self, first: int | None) -> Case:
        """Return the case of its first records; all of it for None."""
        return Case(self.topic, self.events[:first], self.how[:first])


def case(seed: int, number: int, *, partitions: int, size: int | None = None) -> Case:
    """Return the slice of a number, on partition 0 of so many.

    Args:
        seed: Of the whole run.
        number: Which of its slices.
        partitions: Good records belong to partition 0 of these.
        size: Records; drawn from SIZES where not given.
    """
    random = Random(f"{seed}:{number}")
    topic = TOPICS[number % 2]
    size = size or random.choice(SIZES)
    events, hows, large = [], [], 2
    for at in range(size):
        good = random.random() < GOOD_SHARE
        names = homes(partitions) if good else None
        values = record(random, topic, f"{number}-{at}", names)
        timestamp = NOW_MS + random.randrange(-DAY_MS, DAY_MS)
        key: bytes | None = values["account_id"].encode()
        if good:
            events.append(Event(encoded(RECORD_OF[topic], values), timestamp, key))
            hows.append("good")
            continue
        how = random.choice(HOWS)
        value = MUTATIONS[how](random, topic, values)
        if how == "later":
            timestamp += random.choice((0, LATER_MS))
        if random.random() < 0.05:
            timestamp, how = random.choice(TIMESTAMPS), f"{how}, timestamp"
        if random.random() < 0.02:
            key = random.choice((None, b"", b"\xff", b"k" * 20_000))
        if large and random.random() < 0.001:
            large, how = large - 1, "large"
            value = _large(random, topic, values)
        events.append(Event(value, timestamp, key))
        hows.append(how)
    return Case(topic, events, hows)


@cache
def homes(partitions: int) -> tuple[str, ...]:
    """Return accounts of good records, all of partition 0."""
    names = (f"good-{number}" for number in range(ACCOUNTS * partitions))
    return tuple(name for name in names if not partition_of(name.encode(), partitions))


def record(
    random: Random, topic: str, identity: str, accounts: Sequence[str] | None = None
) -> dict[str, Any]:
    """Return the fields of a record that is good; now and then one that is known already."""
    if random.random() < 0.1:
        identity = f"again-{random.randrange(200)}"
    account = f"any-{random.randrange(ACCOUNTS)}"
    if accounts:
        account = accounts[random.randrange(len(accounts))]
    base = SESSION if topic == SESSIONS else TRIP
    name = "session_id" if topic == SESSIONS else "trip_id"
    return {
        **base,
        **random.choice(CHANGES[topic]),
        name: identity,
        "source": random.choice(SOURCES),
        "account_id": account,
    }


def _large(random: Random, topic: str, values: dict[str, Any]) -> bytes:
    """Return a record with one very long text, which repeats itself too far apart to shrink."""
    name = random.choice([field.name for field in fields(RECORD_OF[topic]) if _is_text(field)])
    noise = random.randbytes(random.choice((2_000, 50_000, 200_000, 440_000))).hex()
    return encoded(RECORD_OF[topic], values | {name: noise})


def _is_text(field: Field) -> bool:
    return field.kind == "string"


def _piecewise(
    change: Callable[[Random, Field, bytes], bytes], kinds: Sequence[str], *, nullable: bool = False
) -> Mutate:
    """Return a mutation of the bytes of one or two fields of some kinds."""

    def mutate(random: Random, topic: str, values: dict[str, Any]) -> bytes:
        record = RECORD_OF[topic]
        parts = pieces(record, values)
        places = [
            at
            for at, field in enumerate(fields(record))
            if field.kind in kinds and (field.nullable or not nullable)
        ]
        for at in random.sample(places, min(len(places), random.choice((1, 1, 2)))):
            parts[at] = change(random, fields(record)[at], parts[at])
        return framed(record, b"".join(parts))

    return mutate


def _branch(field: Field) -> bytes:
    return b"\2" if field.nullable else b""


def _number(random: Random, field: Field, _piece: bytes) -> bytes:
    near = random.choice(NUMBERS)
    return _branch(field) + varint(near + random.choice((0, 0, 0, 1, -1)))


def _text(random: Random, field: Field, _piece: bytes) -> bytes:
    value = random.choice(TEXTS).encode()
    return _branch(field) + varint(len(value)) + value


def _bad_text(random: Random, field: Field, _piece: bytes) -> bytes:
    value = random.choice((b"", b"ok", b"a" * 21)) + random.choice(NO_TEXT)
    return _branch(field) + varint(len(value)) + value


def _length(random: Random, field: Field, piece: bytes) -> bytes:
    return _branch(field) + varint(random.choice(NUMBERS)) + piece[1:]


def _union(random: Random, _field: Field, piece: bytes) -> bytes:
    branch = random.choice((varint(2), varint(-1), varint(2**40), b"\x80\x00", b"\x82\x00", b"\1"))
    return branch + piece[1:]


def _overlong(random: Random, field: Field, _piece: bytes) -> bytes:
    spare = random.choice(
        (b"\x80\0", b"\x82\x80\0", b"\xff" * 9 + b"\2", b"\xff" * 11, b"\x80" * 9)
    )
    return _branch(field) + spare


def _times(random: Random, topic: str, values: dict[str, Any]) -> bytes:
    begin, end = ("started_at", "ended_at") if topic == SESSIONS else ("departed_at", "arrived_at")
    moments = (NOW_MS, NOW_MS - 31 * DAY_MS, FOREVER_MS, FOREVER_MS + 1, -1, 0, -INT64, INT64 - 1)
    values |= {
        begin: random.choice(moments) + random.randrange(-1, 2),
        end: random.choice(moments) + random.randrange(-1, 2),
    }
    return encoded(RECORD_OF[topic], values)


def _same(_random: Random, topic: str, values: dict[str, Any]) -> bytes:
    return encoded(RECORD_OF[topic], values)


def _later(random: Random, topic: str, values: dict[str, Any]) -> bytes:
    """Return a record of an account that forgets: it may be late, and a known one."""
    values["session_id" if topic == SESSIONS else "trip_id"] = f"again-{random.randrange(8)}"
    values["account_id"] = f"forgets-{values['programme']}-{random.randrange(3)}"
    return encoded(RECORD_OF[topic], values)


def _flipped(random: Random, topic: str, values: dict[str, Any]) -> bytes:
    spoilt = bytearray(_same(random, topic, values))
    for _ in range(random.choice((1, 1, 2, 8))):
        spoilt[random.randrange(len(spoilt))] ^= 1 << random.randrange(8)
    return bytes(spoilt)


def _inserted(random: Random, topic: str, values: dict[str, Any]) -> bytes:
    whole = _same(random, topic, values)
    at = random.randrange(len(whole))
    return whole[:at] + random.randbytes(random.choice((1, 1, 3, 40))) + whole[at:]


def _deleted(random: Random, topic: str, values: dict[str, Any]) -> bytes:
    whole = _same(random, topic, values)
    at = random.randrange(len(whole))
    return whole[:at] + whole[at + random.choice((1, 1, 3, 40)) :]


def _duplicated(random: Random, topic: str, values: dict[str, Any]) -> bytes:
    whole = _same(random, topic, values)
    begin = random.randrange(len(whole))
    end = random.randrange(begin, len(whole)) + 1
    return whole[:end] + whole[begin:end] + whole[end:]


def _spliced(random: Random, topic: str, values: dict[str, Any]) -> bytes:
    one = _same(random, topic, values)
    other = _same(random, topic, record(random, topic, f"spliced-{random.randrange(1000)}"))
    return one[: random.randrange(len(one))] + other[random.randrange(len(other)) :]


def _cut(random: Random, topic: str, values: dict[str, Any]) -> bytes:
    whole = _same(random, topic, values)
    return whole[: random.randrange(len(whole))]


def _trailing(random: Random, topic: str, values: dict[str, Any]) -> bytes:
    return _same(random, topic, values) + random.choice((b"\0", b"\0\0", b"x" * 9, b"\0" * 70))


def _frame(random: Random, topic: str, values: dict[str, Any]) -> bytes:
    whole = _same(random, topic, values)
    other = TRIPS if topic == SESSIONS else SESSIONS
    ids = (0, schema_id(RECORD_OF[other]), 99, 2**31, 2**32 - 1, schema_id("transfer"))
    head = random.choice((b"\0" + random.choice(ids).to_bytes(4, "big"), b"\1" + whole[1:5], b""))
    return head + whole[5:]


def _noise(random: Random, topic: str, _values: dict[str, Any]) -> bytes:
    noise = random.randbytes(random.choice((1, 4, 5, 30, 300)))
    return noise if random.random() < 0.3 else framed(RECORD_OF[topic], noise)


def _nothing(random: Random, _topic: str, _values: dict[str, Any]) -> bytes | None:
    return random.choice((None, b"", b"\0", b"\0\0\0\0", b"{}", b"null"))


def _other_partition(random: Random, topic: str, values: dict[str, Any]) -> bytes:
    values["account_id"] = f"astray-{random.randrange(50)}"
    return encoded(RECORD_OF[topic], values)


MUTATIONS: Final[Mapping[str, Mutate]] = {
    "number": _piecewise(_number, ("long", "int")),
    "text": _piecewise(_text, ("string",)),
    "no text": _piecewise(_bad_text, ("string",)),
    "length": _piecewise(_length, ("string",)),
    "enum": _piecewise(_number, ("enum",)),
    "union": _piecewise(_union, ("string", "long"), nullable=True),
    "overlong": _piecewise(_overlong, ("string", "long", "int", "enum")),
    "times": _times,
    "same": _same,
    "later": _later,
    "flipped": _flipped,
    "inserted": _inserted,
    "deleted": _deleted,
    "duplicated": _duplicated,
    "spliced": _spliced,
    "cut": _cut,
    "trailing": _trailing,
    "frame": _frame,
    "noise": _noise,
    "nothing": _nothing,
    "other partition": _other_partition,
}
HOWS: Final = tuple(MUTATIONS)
