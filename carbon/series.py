"""The factors of one region, subject and boundary along time, and their running integral.

Keeping the integral makes a session cost the same however many hours it lasts: the mean over
`[from, to]` is the difference of two look-ups.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from carbon.exact import Int32Array, Int64Array

if TYPE_CHECKING:
    from carbon.factors import Factor

NONE: Final = -1
SeriesKey: TypeAlias = tuple[str, str, str, str, str]  # kind, boundary, region, subject, unit


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Segments of time, each with the factor that holds in it or NONE.

    Attributes:
        start: Start of each segment [ms], ascending, shape (m,); the last only ends the one before.
        factor: Index of the factor of each segment or NONE, shape (m,).
        value: Its value [mg per unit], 0 for NONE, shape (m,).
        integral: Sum of value times length before each segment [mg ms], modulo 2**64, shape (m,).
        gap: Milliseconds without a factor before each segment, shape (m,).
        last: Index of the latest factor that ended at or before each segment's start, or NONE.
        last_end: When that one ended [ms], shape (m,).
    """

    start: Int64Array
    factor: Int32Array
    value: Int64Array
    integral: Int64Array
    gap: Int64Array
    last: Int32Array
    last_end: Int64Array

    def at(self, at_ms: Int64Array) -> Int32Array:
        """Return the factor valid at each instant, or NONE, shape (n,)."""
        segment = self._segment(at_ms)
        return np.where(segment < 0, NONE, self.factor[segment]).astype(np.int32)

    def before(self, at_ms: Int64Array, age_ms_max: int) -> Int32Array:
        """Return the latest factor that ended at most age_ms_max before each instant, or NONE."""
        segment = self._segment(at_ms)
        known = (segment >= 0) & (self.last[segment] != NONE)
        known &= at_ms - self.last_end[segment] <= age_ms_max
        return np.where(known, self.last[segment], NONE).astype(np.int32)

    def mean(
        self, from_ms: Int64Array, to_ms: Int64Array
    ) -> tuple[Int32Array, Int64Array, Int64Array]:
        """Return factor at the start or NONE, integral [mg ms per unit] and span [ms], shape (n,).

        An instant (`from == to`) yields the value in force and a span of 1.
        """
        first, final = self._segment(from_ms), self._segment(to_ms)
        known = first >= 0
        instant = from_ms == to_ms
        gap = self._gap_before(to_ms, final) - self._gap_before(from_ms, first)
        total = self._integral_before(to_ms, final) - self._integral_before(from_ms, first)
        covered = known & (self.factor[first] != NONE) & (gap == 0)
        # The last segment is the open end, so an activity that ends after it shows up as a gap.
        found = np.where(covered, self.factor[first], NONE).astype(np.int32)
        total = np.where(covered, np.where(instant, self.value[first], total), 0)
        return found, total, np.where(covered & ~instant, to_ms - from_ms, 1)

    def _segment(self, at_ms: Int64Array) -> Int64Array:
        return np.searchsorted(self.start, at_ms, side="right").astype(np.int64) - 1

    def _integral_before(self, at_ms: Int64Array, segment: Int64Array) -> Int64Array:
        return self.integral[segment] + self.value[segment] * (at_ms - self.start[segment])

    def _gap_before(self, at_ms: Int64Array, segment: Int64Array) -> Int64Array:
        open_ms = np.where(self.factor[segment] == NONE, at_ms - self.start[segment], 0)
        return self.gap[segment] + open_ms


def series_of(factors: Sequence[Factor]) -> dict[SeriesKey, Series]:
    """Return one series for each kind, boundary, region, subject and unit; later factors win."""
    members: defaultdict[SeriesKey, list[int]] = defaultdict(list)
    for index, factor in enumerate(factors):
        key = (factor.kind, factor.boundary, factor.region, factor.subject, factor.unit)
        members[key].append(index)
    return {key: _series(factors, indices) for key, indices in members.items()}


def _series(factors: Sequence[Factor], indices: list[int]) -> Series:
    begins = np.array([factors[i].valid_from for i in indices], dtype=np.int64)
    ends = np.array([factors[i].valid_to for i in indices], dtype=np.int64)
    start = np.unique(np.concatenate([begins, ends]))
    factor = np.full(len(start), NONE, dtype=np.int32)
    for i, begin, end in zip(
        indices, np.searchsorted(start, begins), np.searchsorted(start, ends), strict=True
    ):
        factor[begin:end] = i
    worth = np.array([factors[i].value_mg for i in factor.tolist()], dtype=np.int64)
    value = np.where(factor == NONE, 0, worth)
    length = np.diff(start, append=start[-1:])
    last, last_end = _latest_ended(start, factor)
    return Series(
        start=start,
        factor=factor,
        value=value,
        integral=np.cumsum(value * length) - value * length,
        gap=np.cumsum(np.where(factor == NONE, length, 0)) - np.where(factor == NONE, length, 0),
        last=last,
        last_end=last_end,
    )


def _latest_ended(start: Int64Array, factor: Int32Array) -> tuple[Int32Array, Int64Array]:
    last = np.full(len(start), NONE, dtype=np.int32)
    last_end = np.zeros(len(start), dtype=np.int64)
    for segment in range(1, len(start)):
        if factor[segment - 1] != NONE:
            last[segment], last_end[segment] = factor[segment - 1], start[segment]
        else:
            last[segment], last_end[segment] = last[segment - 1], last_end[segment - 1]
    return last, last_end
