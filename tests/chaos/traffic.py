"""Traffic: the events of a run, the same ones for the same seed, in portions sent together.

Sessions in China and the United States and freight trips in China, all in 2023, as the sample makes
them (`producers.sample_records`): few accounts have most events, and some records contradict
themselves or name a region without factors. One event in a hundred repeats an earlier one, of its
own portion or of long before; some are spoilt so that nobody can read them. What must become of
each is the oracle's to say.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from producers.sample_records import Ints, Users, sessions, trips
from producers.targets import topic_of
from schemas.columns import encode

DAY_MS: Final = 86_400_000
FIRST_DAY_MS: Final = 1_675_209_600_000
"""2023-02-01; with DAYS more it stays within the one year whose factors the oracle reads."""
DAYS: Final = 300
KINDS: Final = (0.6, 0.3, 0.1)
"""Shares of sessions in China, trips, sessions in the United States."""
REPEATED: Final = 0.01
SPOILT: Final = 0.008
"""Nearly as many again contradict themselves or find no factor, which makes one in a hundred."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much to send.

    Attributes:
        events: Events in all, repeats and spoilt ones included.
        portion: Events that are sent together.
        seed: Another seed, other events.
    """

    events: int
    portion: int
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Events that can be read, as columns in the fields of their record."""

    record: str
    batch: pa.RecordBatch


@dataclass(frozen=True, slots=True)
class Spoilt:
    """An event nobody can read, and the code it must be refused with."""

    topic: str
    key: bytes
    value: bytes
    code: str


Part = Rows | Spoilt


def count_of(part: Part) -> int:
    """Return how many events a part is."""
    return part.batch.num_rows if isinstance(part, Rows) else 1


def traffic(load: Load) -> Iterator[list[Part]]:
    """Yield exactly `load.events` events, in the order they are sent.

    >>> portions = list(traffic(Load(events=1000, portion=300, seed=1)))
    >>> [sum(map(count_of, portion)) for portion in portions]
    [300, 300, 300, 100]
    """
    rng = np.random.default_rng(load.seed)
    users = Users.of(rng, accounts=max(50, load.events // 20))
    earlier: deque[Rows] = deque(maxlen=max(1, load.events // load.portion // 5))
    for first in range(0, load.events, load.portion):
        count = min(load.portion, load.events - first)
        repeated, spoilt = rng.binomial(count, REPEATED), rng.binomial(count, SPOILT)
        fresh = _fresh(rng, users, first + np.arange(count - repeated - spoilt))
        most = max(fresh, key=count_of)
        parts: list[Part] = [*fresh]
        for number in range(repeated):
            late = number % 2 and len(earlier) == earlier.maxlen
            parts.append(_one(rng, earlier[0] if late else most))
        parts += [_spoilt(rng, _one(rng, most)) for _ in range(spoilt)]
        earlier.append(most)
        yield parts


def _fresh(rng: np.random.Generator, users: Users, numbers: Ints) -> list[Rows]:
    """Return events that have not been before."""
    days_ms = FIRST_DAY_MS + rng.integers(0, DAYS, len(numbers)) * DAY_MS
    kind = rng.choice(len(KINDS), len(numbers), p=KINDS)
    made = []
    for of_kind, country in enumerate(("CN", None, "US")):
        rows = np.flatnonzero(kind == of_kind)
        if not len(rows):
            continue
        if country is None:
            made.append(Rows("freight_trip", trips(rng, users, numbers[rows], days_ms[rows])))
        else:
            batch = sessions(rng, users, numbers[rows], days_ms[rows], country=country)
            made.append(Rows("charging_session", batch))
    return made


def _one(rng: np.random.Generator, rows: Rows) -> Rows:
    return Rows(rows.record, rows.batch.slice(int(rng.integers(rows.batch.num_rows)), 1))


def _spoilt(rng: np.random.Generator, rows: Rows) -> Spoilt:
    (value,) = encode(rows.record, rows.batch)
    wrong, code = (
        (value[: len(value) // 2], "undecodable"),
        (b"\0\xff\xff\xff\xff" + value[5:], "unknown_schema"),
        (b"{" + value, "not_framed"),
        (b"", "not_framed"),
    )[int(rng.integers(4))]
    key = rows.batch.column("account_id")[0].as_py().encode()
    return Spoilt(topic_of(rows.record), key, wrong, code)
