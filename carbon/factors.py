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


class FactorTable:
    """All factors in force, indexed by what they are for."""

    __slots__ = ("_series", "_values_mg", "factors")

    def __init__(self, factors: tuple[Factor, ...], series: dict[SeriesKey, Series]) -> None:
        self.factors: Final = factors
        self._series: Final = series
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
        factor = np.full(len(place), NONE, dtype=np.int32)
        how = np.zeros(len(place), dtype=np.int64)
        for index, (region, subject, unit) in enumerate(places):
            rows = np.flatnonzero(place == index)
            if len(rows):
                factor[rows], how[rows] = self._at_place(
                    (kind, boundary, subject, unit), region, at_ms[rows], fallback
                )
        return Match(factor, how, self._values(factor))

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
                rows = np.flatnonzero((place == index) & (factor == NONE))
                if series is None or not len(rows):
                    continue
                found, total[rows], span[rows] = series.mean(from_ms[rows], to_ms[rows])
                factor[rows] = found
                how[rows] = np.where(found != NONE, PARENT_REGION if depth else 0, 0)
        return Match(factor, how, Ratio.of(total, span))

    def _at_place(
        self,
        wanted: tuple[str, str, str, str],
        region: str,
        at_ms: Int64Array,
        fallback: Fallback,
    ) -> tuple[Int32Array, Int64Array]:
        kind, boundary, subject, unit = wanted
        factor = np.full(len(at_ms), NONE, dtype=np.int32)
        how = np.zeros(len(at_ms), dtype=np.int64)
        regions = chain(region) if fallback.place else (region,)
        for earlier in (False, True) if fallback.time else (False,):
            for depth, ancestor in enumerate(regions):
                open_rows = np.flatnonzero(factor == NONE)
                series = self._series.get((kind, boundary, ancestor, subject, unit))
                if series is None or not len(open_rows):
                    continue
                instants = at_ms[open_rows]
                found = (
                    series.before(instants, fallback.age_ms_max) if earlier else series.at(instants)
                )
                bits = (PARENT_REGION if depth else 0) | (EARLIER_PERIOD if earlier else 0)
                factor[open_rows] = found
                how[open_rows] = np.where(found != NONE, bits, 0)
        return factor, how

    def _values(self, factor: Int32Array) -> Ratio:
        return Ratio.of(np.where(factor == NONE, 0, self._values_mg[factor]))


def how_name(bits: int) -> str:
    """Return the name of a way to match, as transfers carry it.

    >>> how_name(0), how_name(PARENT_REGION | EARLIER_PERIOD)
    ('exact', 'parent_region+earlier_period')
    """
    return "+".join(name for bit, name in _HOW.items() if bits & bit) or "exact"


HOW_NAMES: Final = tuple(how_name(bits) for bits in range(sum(_HOW) + 1))
