"""Emission factors, and how one is matched to an activity.

A `FactorTable` is an immutable snapshot. It answers with the factor and *how* it matched; no match
is an answer too, never a default. The order of fallback is fixed: the activity's own region at its
own time; then its parent regions at that time; then, where the programme allows, the latest
earlier period of the region or its parents ("a 2026 session has only 2023's factor": practice, but
said so).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from carbon.exact import Int32Array, Int64Array, Ratio
from carbon.limits import FACTOR_MG_MAX, FOREVER_MS
from carbon.regions import chain
from carbon.series import NONE, Series, SeriesKey, series_of
from carbon.timeline import Timeline, periods

Place: TypeAlias = tuple[str, str, str]  # region, subject, unit

PARENT_REGION: Final = 1
EARLIER_PERIOD: Final = 2
ANNUAL_FOR_HOURLY: Final = 4

_HOW = {
    PARENT_REGION: "parent_region",
    EARLIER_PERIOD: "earlier_period",
    ANNUAL_FOR_HOURLY: "annual_for_hourly",
}


class FactorError(ValueError):
    """A factor that cannot be one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """One emission factor or intensity; the fields of `emission_factor.v1.avsc`.

    `value_mg` is milligrams of gas per `unit`; instants are milliseconds since 1970 UTC,
    `valid_from` inclusive and `valid_to` exclusive.
    """

    factor_id: str
    kind: str
    region: str
    subject: str
    boundary: str
    gas: str
    value_mg: int
    unit: str
    valid_from: int
    valid_to: int
    release: str
    publisher: str
    publication: str
    url: str
    licence: str
    evidence: str
    uncertainty_permille: int | None = None

    def __post_init__(self) -> None:
        """Refuse a value that no formula takes, and a validity that never holds.

        Raises:
            FactorError: The message names the factor.
        """
        if not 0 <= self.value_mg <= FACTOR_MG_MAX:
            raise FactorError(f"factor {self.factor_id}: value_mg {self.value_mg} is out of range")
        if self.valid_from >= self.valid_to:
            raise FactorError(f"factor {self.factor_id}: valid_from is not before valid_to")
        if self.valid_from < 0 or self.valid_to > FOREVER_MS:
            raise FactorError(f"factor {self.factor_id}: valid before 1970 or after the year 9999")


@dataclass(frozen=True, slots=True)
class Fallback:
    """Which fallbacks a programme allows, and how old an earlier period may be [ms]."""

    place: bool
    time: bool
    age_ms_max: int


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """The factor of each activity: its index in `FactorTable.factors` or NONE, and how it matched.

    Attributes:
        factor: Shape (n,), int32.
        how: Bits of PARENT_REGION, EARLIER_PERIOD and ANNUAL_FOR_HOURLY, shape (n,); 0 is exact.
        value: The factor's value, or its exact mean over the activity [mg per unit], shape (n,).
    """

    factor: Int32Array
    how: Int64Array
    value: Ratio


NEVER: Final = Timeline(
    np.zeros(0, dtype=np.int64), np.full(1, NONE, dtype=np.int32), np.zeros(1, dtype=np.int64)
)
"""The timeline of a place without factors."""


class FactorTable:
    """All factors in force, indexed by what they are for."""

    __slots__ = ("_series", "_timelines", "_values_mg", "factors")

    def __init__(self, factors: tuple[Factor, ...], series: dict[SeriesKey, Series]) -> None:
        self.factors: Final = factors
        self._series: Final = series
        self._timelines: Final[dict[tuple[str, str, Place, Fallback], Timeline]] = {}
        values = [factor.value_mg for factor in factors] or [0]
        self._values_mg: Final = np.array(values, dtype=np.int64)

    @classmethod
    def of(cls, factors: Iterable[Factor]) -> FactorTable:
        """Return the table of factors given in order of publication.

        Where two cover the same region, subject, boundary and instant, the later published wins.
        """
        published = tuple(factors)
        return cls(published, series_of(published))

    def at(
        self,
        kind: str,
        boundary: str,
        places: Sequence[Place],
        place: Int32Array,
        at_ms: Int64Array,
        fallback: Fallback,
    ) -> Match:
        """Match each activity to the factor valid at an instant.

        Args:
            kind: Kind of factor, such as `grid_average`.
            boundary: `ttw` or `wtw`.
            places: The distinct (region, subject, unit) among the activities.
            place: Each activity's index in places, shape (n,).
            at_ms: Each activity's instant [ms since 1970], shape (n,).
            fallback: What the programme allows.
        """
        # The last line has no factors; it is what NONE as a place points to.
        lines = [*(self._timeline(kind, boundary, each, fallback) for each in places), NEVER]
        changes = np.unique(np.concatenate([line.change_ms for line in lines]))
        period, instants = periods(at_ms, changes)
        factor = np.empty((len(lines), len(instants)), dtype=np.int32)
        how = np.empty(factor.shape, dtype=np.int64)
        for index, line in enumerate(lines):
            factor[index], how[index] = line.at(instants)
        value = np.where(factor == NONE, 0, self._values_mg[factor])
        cell = place.astype(np.int64) * len(instants) + period
        return Match(factor.ravel()[cell], how.ravel()[cell], Ratio.of(value.ravel()[cell]))

    def mean(
        self,
        kind: str,
        boundary: str,
        places: Sequence[Place],
        place: Int32Array,
        from_ms: Int64Array,
        to_ms: Int64Array,
        fallback: Fallback,
    ) -> Match:
        """Match each activity to the exact mean of a series of short periods over its time.

        Energy is taken as spread evenly over the activity. An activity that its region's series
        does not cover from start to end has no match there; `factor` is the one in force at the
        start.
        """
        n = len(place)
        factor = np.full(n, NONE, dtype=np.int32)
        how = np.zeros(n, dtype=np.int64)
        total = np.zeros(n, dtype=np.int64)
        span = np.ones(n, dtype=np.int64)
        for index, (region, subject, unit) in enumerate(places):
            for depth, ancestor in enumerate(chain(region) if fallback.place else (region,)):
                series = self._series.get((kind, boundary, ancestor, subject, unit))
                if series is None:
                    continue  # Before rows are looked for: a slice may name thousands of places.
                rows = np.flatnonzero((place == index) & (factor == NONE))
                if not len(rows):
                    continue
                found, total[rows], span[rows] = series.mean(from_ms[rows], to_ms[rows])
                factor[rows] = found
                how[rows] = np.where(found != NONE, PARENT_REGION if depth else 0, 0)
        return Match(factor, how, Ratio.of(total, span))

    def _timeline(self, kind: str, boundary: str, where: Place, fallback: Fallback) -> Timeline:
        """Return what matches at a place over time, kept for the next time that it is asked."""
        asked = (kind, boundary, where, fallback)
        if asked not in self._timelines:
            region, subject, unit = where
            regions = chain(region) if fallback.place else (region,)
            every = [self._series.get((kind, boundary, each, subject, unit)) for each in regions]
            if not any(every):
                return NEVER  # Not kept: places that nobody published for are without number.
            self._timelines[asked] = _timeline(every, fallback)
        return self._timelines[asked]


def _timeline(chain_of_series: Sequence[Series | None], fallback: Fallback) -> Timeline:
    """Return what matches over time in the first of some series that answers.

    A match changes only where a segment begins and, looking back, where one becomes too old; so
    what it is at these instants is what it is until the next.
    """
    age_ms_max = min(fallback.age_ms_max, FOREVER_MS)
    changes = [series.start for series in chain_of_series if series]
    if fallback.time:
        changes += [series.last_end + age_ms_max + 1 for series in chain_of_series if series]
    at_ms = np.unique(np.concatenate(changes))
    factor = np.full(len(at_ms), NONE, dtype=np.int32)
    how = np.zeros(len(at_ms), dtype=np.int64)
    for earlier in (False, True) if fallback.time else (False,):
        for depth, series in enumerate(chain_of_series):
            if series is None:
                continue
            found = series.before(at_ms, age_ms_max) if earlier else series.at(at_ms)
            new = (factor == NONE) & (found != NONE)
            factor[new] = found[new]
            how[new] = (PARENT_REGION if depth else 0) | (EARLIER_PERIOD if earlier else 0)
    return Timeline(at_ms, np.append(np.int32(NONE), factor), np.append(0, how))


def how_name(bits: int) -> str:
    """Return the name of a way to match, as transfers carry it.

    >>> how_name(0), how_name(PARENT_REGION | EARLIER_PERIOD)
    ('exact', 'parent_region+earlier_period')
    """
    return "+".join(name for bit, name in _HOW.items() if bits & bit) or "exact"


HOW_NAMES: Final = tuple(how_name(bits) for bits in range(sum(_HOW) + 1))
