"""Sample: charging sessions and freight trips that never happened, the same ones for the same seed.

A stream as an operator knows it: few accounts have most events, days have rush hours, records
arrive out of order, some months late, about one in a hundred twice (half of those much later), and
two in a thousand are broken. Programmes are those that are shipped: `cn-charging`, `cn-freight` and
`us-fleet`; years are 2021 to 2023, which the shipped grid factors cover, and at the end some weeks
of 2026, which they don't. Nothing here reads a clock, and no figure here stands for anything real.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from producers.sample_records import Ints, Users, sessions, trips
from producers.targets import topic_of
from schemas.columns import encode

CHUNK_EVENTS = 4096
SOON = 0.005  # the share repeated within a moment
LATER = 0.007  # the share repeated much later, where the sample is long enough
UNDECODABLE = 0.001  # as many again decode and contradict themselves; see sample_records
UNKNOWN_SCHEMA_ID = (999_999).to_bytes(4, "big")

DAY_MS = 86_400_000
START_MS = 1_609_459_200_000  # 2021-01-01
FIRST_DAYS = 1_095  # to the end of 2023
LAST_START_MS = 1_767_225_600_000  # 2026-01-01
LAST_DAYS = 75
LAST_SHARE = 0.06
US_START_MS = 1_672_531_200_000  # 2023-01-01: the first year with a US factor


@dataclass(frozen=True, slots=True)
class SampleBatch:
    """Records of one kind, to be encoded and sent."""

    record: str
    batch: pa.RecordBatch


@dataclass(frozen=True, slots=True)
class SampleRaw:
    """Keys and values that are sent as they are, because no encoder would make them."""

    topic: str
    messages: tuple[tuple[bytes, bytes], ...]


SamplePart = SampleBatch | SampleRaw
"""What `sample` yields."""


def _days_ms(rng: np.random.Generator, *, first: int, count: int, events: int) -> Ints:
    """Return the day of each event from number `first` on [ms since 1970], shape (count,)."""
    place = (first + np.arange(count)) / events
    early = START_MS + (place / (1 - LAST_SHARE) * FIRST_DAYS).astype(np.int64) * DAY_MS
    recent = (place - (1 - LAST_SHARE)) / LAST_SHARE * LAST_DAYS
    late = LAST_START_MS + recent.astype(np.int64) * DAY_MS
    days = np.where(place < 1 - LAST_SHARE, early, late)
    # Most events arrive within a day or two, one in two hundred weeks or months late.
    lag = rng.geometric(0.7, count) - 1 + (rng.random(count) < 0.005) * rng.integers(20, 400, count)
    days_ms: Ints = np.maximum(days - lag * DAY_MS, START_MS)
    return days_ms


def _fresh(
    rng: np.random.Generator, users: Users, *, first: int, count: int, events: int
) -> list[SampleBatch]:
    """Return sessions and trips that have not been before, `count` together."""
    days_ms = _days_ms(rng, first=first, count=count, events=events)
    numbers = first + np.arange(count)
    kind = rng.choice(3, count, p=(0.6, 0.3, 0.1))
    # The first US factor is that of 2023, so the fleet there only starts then.
    kind[(kind == 2) & (days_ms < US_START_MS)] = 0
    parts: list[SampleBatch] = []
    for charging, of_kind in ((True, 0), (False, 1), (True, 2)):
        rows = np.flatnonzero(kind == of_kind)
        if charging:
            country = "CN" if of_kind == 0 else "US"
            batch = sessions(rng, users, numbers[rows], days_ms[rows], country=country)
            parts.append(SampleBatch("charging_session", batch))
        else:
            batch = trips(rng, users, numbers[rows], days_ms[rows])
            parts.append(SampleBatch("freight_trip", batch))
    return [part for part in parts if part.batch.num_rows]


def _broken(rng: np.random.Generator, part: SampleBatch, count: int) -> SampleRaw:
    """Return messages that no reader can decode, under the keys of real accounts."""
    keys = part.batch.column("account_id").slice(0, count).to_pylist()
    values = encode(part.record, part.batch.slice(0, count))
    kinds = rng.integers(0, 4, len(values)).tolist()
    made: list[tuple[bytes, bytes]] = []
    for key, value, kind in zip(keys, values, kinds, strict=True):
        wrong = (
            rng.bytes(48),
            value[: 5 + (len(value) - 5) // 2],
            value[:1] + UNKNOWN_SCHEMA_ID + value[5:],
            b'{"energy_kwh": 12.5}',
        )[kind]
        made.append((key.encode(), wrong))
    return SampleRaw(topic_of(part.record), tuple(made))


def _some(rng: np.random.Generator, part: SampleBatch, count: int) -> SampleBatch:
    """Return some rows of a batch, drawn without replacement."""
    rows = rng.choice(part.batch.num_rows, min(count, part.batch.num_rows), replace=False)
    return SampleBatch(part.record, part.batch.take(pa.array(rows)))


def sample(events: int, *, seed: int = 1) -> Iterator[SamplePart]:
    """Yield exactly `events` events, repeats and broken ones included, in the order they arrive.

    Args:
        events: How many; at least 1.
        seed: Another seed makes another sample.

    >>> parts = list(sample(1000))
    >>> sum(p.batch.num_rows if isinstance(p, SampleBatch) else len(p.messages) for p in parts)
    1000
    """
    rng = np.random.default_rng(seed)
    users = Users.of(rng, accounts=max(50, events // 20))
    chunks = -(-events // CHUNK_EVENTS)
    # What will be repeated later waits here; a third of the sample lies between.
    waiting: deque[tuple[int, SampleBatch]] = deque()
    for chunk in range(chunks):
        first = chunk * CHUNK_EVENTS
        count = min(CHUNK_EVENTS, events - first)
        soon, later, broken = (round(count * s) for s in (SOON, LATER, UNDECODABLE))
        # The last chunk can be too short for repeats; they are then left out.
        is_due = waiting and waiting[0][0] <= chunk and count > CHUNK_EVENTS // 2
        late = waiting.popleft()[1] if is_due else None
        fresh = count - soon - broken - (late.batch.num_rows if late else 0)
        made = _fresh(rng, users, first=first, count=fresh, events=events)
        yield from made
        most = max(made, key=lambda part: part.batch.num_rows)
        if soon:
            yield _some(rng, most, soon)
        if broken:
            yield _broken(rng, most, broken)
        if late:
            yield late
        if later:
            waiting.append((chunk + max(1, chunks // 3), _some(rng, most, later)))
