"""Profile: what a load would bring, before anything of it is sent. Pure.

A worker's own rules say which records would be refused, with the factors and programmes at hand.
What only the books know is left out: whether an event is booked already, whose account it is.
Whether numbers are in the unit that the mapping says, nobody can know; but the power of a charger,
the speed of a truck and what it carries lie where they lie, and a median a thousand times off is
said so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from carbon.accept import broken_by_future
from carbon.exact import Int64Array
from carbon.factors import FactorTable
from carbon.programmes import Programme
from carbon.rate import UNIT_OF_CARRIER, Sessions, Trips
from carbon.refusal import ACCEPTED, CODES, NUMBER
from schemas.identity import event_hashes
from streams.activities import Activities, activities_of, rate_by_programme
from streams.read import refusals_of, refuse

Floats = npt.NDArray[np.float64]

HOUR_MS: Final = 3_600_000
SAMPLES_MAX: Final = 2_000
"""So many values of a block are kept for the medians, evenly spaced."""
EXAMPLES_MAX: Final = 3
"""Of each refusal code of the mapping, so many reasons are kept."""


@dataclass(frozen=True, slots=True)
class Check:
    """What the median of a quantity should lie between.

    Attributes:
        field: The field of the record that it tells about.
        what: The quantity, with its unit.
        least: A smaller median is odd.
        most: So is a larger one.
        if_less: What it may come from.
        if_more: What it may come from.
    """

    field: str
    what: str
    least: float
    most: float
    if_less: str
    if_more: str


POWER: Final = Check(
    "energy_wh",
    "mean power [W]",
    50,
    500_000,
    "the column may be in kWh where the mapping says Wh",
    "the column may be in Wh where the mapping says kWh",
)
ENERGY: Final = Check(
    "energy_wh",
    "energy of a session [Wh]",
    200,
    1_500_000,
    "the column may be in kWh where the mapping says Wh",
    "the column may be in Wh where the mapping says kWh",
)
DISTANCE: Final = Check(
    "distance_m",
    "distance of a trip [m]",
    1_000,
    4_000_000,
    "the column may be in km where the mapping says m",
    "the column may be in m where the mapping says km",
)
SPEED: Final = Check(
    "distance_m",
    "mean speed [km/h]",
    0.5,
    150,
    "the column may be in km where the mapping says m",
    "the column may be in m where the mapping says km",
)
CARGO: Final = Check(
    "cargo_kg",
    "cargo of a trip [kg]",
    50,
    60_000,
    "the column may be in t where the mapping says kg",
    "the column may be in kg where the mapping says t",
)
FUEL: Final = Check(
    "energy_used",
    "fuel for a kilometre [ml or g]",
    10,
    5_000,
    "the column may be in l where the mapping says ml",
    "the column may be in ml where the mapping says l",
)
ELECTRICITY: Final = Check(
    "energy_used",
    "electricity for a kilometre [Wh]",
    30,
    20_000,
    "the column may be in kWh where the mapping says Wh",
    "the column may be in Wh where the mapping says kWh",
)
CHECKS: Final = (POWER, ENERGY, DISTANCE, SPEED, CARGO, FUEL, ELECTRICITY)


@dataclass(frozen=True, slots=True)
class Odd:
    """A quantity whose median is not where it should be."""

    field: str
    what: str
    median: float
    least: float
    most: float
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a load would bring.

    Attributes:
        rows: Rows read.
        records: Rows that become records.
        accounts: Distinct accounts.
        shared_accounts: Of these, accounts that more than one programme has.
        repeats: Records of an event that an earlier one is of.
        first_ms: Earliest begin, None without records.
        last_ms: Latest end, None without records.
        refused: Rows expected to be refused, by code.
        examples: Reasons of the mapping's refusals, by code, a few of each.
        regions_without_factor: Records without a factor, by region.
        odd: Medians that lie where they should not.
    """

    rows: int
    records: int
    accounts: int
    shared_accounts: int
    repeats: int
    first_ms: int | None
    last_ms: int | None
    refused: Mapping[str, int]
    examples: Mapping[str, Sequence[str]]
    regions_without_factor: Mapping[str, int]
    odd: Sequence[Odd]


class Profiling:
    """Takes blocks of a load, and sums up.

    Args:
        record: What the mapping makes.
        programmes: The known ones by name.
        factors: The factors in force.
        now_ms: When records would be written.
    """

    def __init__(
        self,
        record: str,
        *,
        programmes: Mapping[str, Programme],
        factors: FactorTable,
        now_ms: int,
    ) -> None:
        self._record = record
        self._programmes = programmes
        self._factors = factors
        self._now_ms = now_ms
        self._rows = 0
        self._records = 0
        self._refused: Counter[str] = Counter()
        self._examples: dict[str, list[str]] = {}
        self._regions: Counter[str] = Counter()
        self._events: list[Int64Array] = []
        self._accounts = np.empty(0, dtype=np.int64)
        self._members = np.empty(0, dtype=np.int64)
        self._first_ms: int | None = None
        self._last_ms: int | None = None
        self._samples: dict[str, list[Floats]] = {}

    def add(self, batch: pa.RecordBatch, unmapped: Iterable[tuple[str, str]]) -> None:
        """Take a block: its records, and code and reason of each row that is none."""
        self._rows += batch.num_rows
        self._records += batch.num_rows
        for code, reason in unmapped:
            self._rows += 1
            self._refused[code] += 1
            kept = self._examples.setdefault(code, [])
            if len(kept) < EXAMPLES_MAX and reason not in kept:
                kept.append(reason)
        if batch.num_rows:
            self._take(activities_of(self._record, _spelt_out(batch)))

    def profile(self) -> Profile:
        """Return the sum of all blocks."""
        events = np.concatenate(self._events or [np.empty(0, dtype=np.int64)])
        return Profile(
            rows=self._rows,
            records=self._records,
            accounts=len(self._accounts),
            shared_accounts=len(self._members) - len(self._accounts),
            repeats=len(events) - len(np.unique(events)),
            first_ms=self._first_ms,
            last_ms=self._last_ms,
            refused=dict(self._refused.most_common()),
            examples=self._examples,
            regions_without_factor=dict(self._regions.most_common()),
            odd=[odd for check in CHECKS for odd in self._odd(check)],
        )

    def _take(self, activities: Activities) -> None:
        refusal = self._expected(activities)
        codes, counts = np.unique(refusal[refusal != ACCEPTED], return_counts=True)
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
            self._refused[CODES[code]] += count
        missing = activities.region.codes[refusal == NUMBER["factor_not_found"]]
        regions, counts = np.unique(missing, return_counts=True)
        for region, count in zip(regions.tolist(), counts.tolist(), strict=True):
            self._regions[activities.region.vocabulary[region]] += count
        self._count(activities)
        columns = activities.columns
        began = columns.started_at if isinstance(columns, Sessions) else columns.departed_at
        first, last = int(began.min()), int(activities.ended_at.max())
        self._first_ms = first if self._first_ms is None else min(first, self._first_ms)
        self._last_ms = last if self._last_ms is None else max(last, self._last_ms)
        every = max(1, len(activities) // SAMPLES_MAX)
        self._sample(columns.take(np.arange(0, len(activities), every)))

    def _expected(self, activities: Activities) -> Int64Array:
        """Return what a worker would refuse that has nothing in its books."""
        written = np.full(len(activities), self._now_ms)
        refusal = refusals_of(activities, written)
        open_rows = np.ones(len(activities), dtype=np.bool_)
        refuse(refusal, open_rows & activities.corrects, "original_unknown")
        for broken, code in broken_by_future(activities.ended_at, written):
            refuse(refusal, open_rows & broken, code)
        rate_by_programme(
            activities.columns,
            activities.programme,
            np.flatnonzero(refusal == ACCEPTED),
            refusal,
            programmes=self._programmes,
            factors=self._factors,
        )
        return refusal

    def _count(self, activities: Activities) -> None:
        """Count events and accounts by their hashes: eight bytes each are kept."""
        self._events.append(
            event_hashes(
                activities.kind,
                activities.account,
                activities.source,
                activities.activity_id,
                activities.revision,
            )
        )
        names = activities.programme.vocabulary
        for code, programme in enumerate(names):
            mine = activities.account.filter(pa.array(activities.programme.codes == code)).unique()
            self._accounts = np.union1d(self._accounts, _hashes(mine, ""))
            self._members = np.union1d(self._members, _hashes(mine, programme))

    def _sample(self, columns: Sessions | Trips) -> None:
        if isinstance(columns, Sessions):
            hours = (columns.ended_at - columns.started_at) / HOUR_MS
            lasted = hours > 0
            self._keep(ENERGY, columns.energy_wh[columns.energy_wh > 0])
            self._keep(POWER, columns.energy_wh[lasted] / hours[lasted])
            return
        hours = (columns.arrived_at - columns.departed_at) / HOUR_MS
        lasted, moved = hours > 0, columns.distance_m > 0
        self._keep(DISTANCE, columns.distance_m[moved])
        self._keep(SPEED, columns.distance_m[lasted] / 1000 / hours[lasted])
        self._keep(CARGO, columns.cargo_kg[columns.cargo_kg > 0])
        units = [UNIT_OF_CARRIER.get(word, "") for word in columns.energy_carrier.vocabulary]
        electric = np.array([unit == "kwh" for unit in units])[columns.energy_carrier.codes]
        driven = columns.distance_m + np.maximum(columns.empty_distance_m, 0)
        used = (columns.energy_used > 0) & (driven > 0)
        for check, mine in ((FUEL, used & ~electric), (ELECTRICITY, used & electric)):
            self._keep(check, columns.energy_used[mine] / (driven[mine] / 1000))

    def _keep(self, check: Check, values: npt.NDArray[np.int64] | Floats) -> None:
        if len(values):
            self._samples.setdefault(check.what, []).append(values.astype(np.float64))

    def _odd(self, check: Check) -> list[Odd]:
        if check.what not in self._samples:
            return []
        median = float(np.median(np.concatenate(self._samples[check.what])))
        if check.least <= median <= check.most:
            return []
        hint = check.if_less if median < check.least else check.if_more
        return [Odd(check.field, check.what, median, check.least, check.most, hint)]


def _spelt_out(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch whose words are strings."""
    columns = [
        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _hashes(accounts: pa.StringArray, programme: str) -> Int64Array:
    n = len(accounts)
    same = pa.repeat(pa.scalar(programme), n)
    zeros = pa.array(np.zeros(n, dtype=np.int32))
    return event_hashes("account", accounts, same, same, zeros)
