"""The one generator of every benchmark: a month of charging in China, the same in every run.

Some accounts charge often and most rarely (a Zipf law), one event in a hundred is a repeat, one in
a thousand is broken in one of four ways. Nothing depends on the clock or on the process: the same
`Load` gives the same bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.columns import encode

REGIONS: Final = ("CN-BJ", "CN-SH", "CN-GD", "CN-SC", "CN-HB", "CN-LN", "CN-SN", "CN-XJ")
CLASSES: Final = ("car", "taxi", "bus", "truck_light", "tractor_heavy")
CLASS_SHARES: Final = (0.70, 0.15, 0.05, 0.07, 0.03)
MONTH_START_MS: Final = 1_685_548_800_000  # 2023-06-01, so that the factors of 2023 match exactly.
MONTH_MS: Final = 30 * 86_400_000
CHUNK: Final = 20_000

Int64s = npt.NDArray[np.int64]
Message = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to generate.

    Attributes:
        events: Messages in all, repeats and broken ones included.
        accounts: Accounts they are spread over.
        skew: Exponent of the Zipf law. With 0.5 the busiest of 50,000 accounts has 0.2 % of the
            events, some hundred sessions a month: a fleet card. With 1 it has 9 %.
        duplicates: Share of events that are sent twice.
        broken: Share of events that must be refused.
        seed: Another seed, another load.
    """

    events: int = 300_000
    accounts: int = 50_000
    skew: float = 0.5
    duplicates: float = 0.01
    broken: float = 0.001
    seed: int = 20_231_101


def messages(load: Load) -> Iterator[list[Message]]:
    """Yield the load as lists of (key, value), in order, values in Confluent framing."""
    random = np.random.default_rng(load.seed)
    weights = np.arange(1, load.accounts + 1, dtype=np.float64) ** -load.skew
    cumulated = np.cumsum(weights / weights.sum())
    for start in range(0, load.events, CHUNK):
        count = min(CHUNK, load.events - start)
        numbers = np.arange(start, start + count)
        repeats = np.flatnonzero(random.random(count) < load.duplicates)
        repeats = repeats[repeats > 0]
        ranks = np.minimum(np.searchsorted(cumulated, random.random(count)), load.accounts - 1)
        batch = sessions(numbers, ranks, random)
        values = encode("charging_session", batch)
        keys = [account.encode() for account in batch.column("account_id").to_pylist()]
        chunk = list(zip(keys, values, strict=True))
        for place in repeats.tolist():
            # A repeat stands for a session that was pushed again: any earlier one of its chunk.
            chunk[place] = chunk[int(random.integers(place))]
        for place in np.flatnonzero(random.random(count) < load.broken).tolist():
            key, value = chunk[place]
            chunk[place] = key, broken(value, way=int(random.integers(4)))
        yield chunk


def sessions(numbers: Int64s, ranks: Int64s, random: np.random.Generator) -> pa.RecordBatch:
    """Return charging sessions in the fields of the record charging_session.

    Args:
        numbers: Makes each session's id, shape (n,).
        ranks: Account of each session; 0 charges most, shape (n,).
        random: Gives everything else.
    """
    count = len(numbers)
    minutes = random.integers(15, 480, count)
    ended = MONTH_START_MS + random.integers(8 * 3_600_000, MONTH_MS, count)
    classes = random.choice(len(CLASSES), count, p=CLASS_SHARES)
    dispensers = random.integers(1, 4000, count)
    instant = pa.timestamp("ms", tz="UTC")
    columns = {
        "session_id": [f"S{number:09d}" for number in numbers.tolist()],
        "source": ["bench"] * count,
        "account_id": [f"acct-{rank:06d}" for rank in ranks.tolist()],
        "programme": ["cn-charging"] * count,
        "vehicle_class": [CLASSES[which] for which in classes.tolist()],
        "grid_region": [REGIONS[rank % len(REGIONS)] for rank in ranks.tolist()],
        "started_at": pa.array(ended - minutes * 60_000).cast(instant),
        "ended_at": pa.array(ended).cast(instant),
        "energy_wh": random.integers(1_000, 80_000, count),
        "meter_side": ["dispenser"] * count,
        "current": ["dc" if which > 1 else "ac" for which in classes.tolist()],
        "operator_id": [f"op-{number % 40}" for number in dispensers.tolist()],
        "evse_id": [f"CN*{number % 40}*E{number}" for number in dispensers.tolist()],
        "reversal_of": pa.nulls(count, pa.string()),
        "revision": np.zeros(count, np.int32),
    }
    return pa.RecordBatch.from_pydict(columns)


def broken(value: bytes, *, way: int) -> bytes:
    """Return a framed session spoilt: cut short, of no schema, not framed, or empty."""
    return (value[: len(value) // 2], b"\0\xff\xff\xff\xff" + value[5:], b"{" + value, b"")[way]
