"""Quick: the common rules of a mapping, applied to a whole column at once.

A field's first rule, where it only takes a column as it is (no template, regex or look-up), reads
texts, numbers and times by the kernels of `parse`. Which rows it could not read it says, and these
go through `rules`, which knows all there is to know. Times of a zone are shifted by the hour: what
the clock did within an hour that it changed in is left to the zone's own rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from producers.convert import EPOCH, MILLISECOND
from producers.parse import (
    FACTOR_MAX,
    NO_BYTE,
    NO_OFFSET,
    NumberForm,
    Texts,
    pattern_of,
    plain_texts,
    read_instants,
    read_numbers,
)
from producers.rules import TEXT_CHARS_MAX, FileMapping, MappedField, Rule
from schemas.kernel import BoolArray, Int64Array

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
STAMPS_MS: Final = (-DAY_MS * 25_000, DAY_MS * 84_000)
"""Timestamps that are read at once, from 1901 to 2199; others are texts to the rules."""
HOURS_KEPT_MAX: Final = 200_000
UNITS_MS: Final = {"s": (1000, 1), "ms": (1, 1), "us": (1, 1000), "ns": (1, 1_000_000)}
"""What a timestamp is multiplied by, and then divided by, to be milliseconds."""

_CLOCK: Final = EPOCH.replace(tzinfo=None)
_LAST: Final = timedelta(hours=1) - MILLISECOND

Read = Callable[[Any], tuple[Any, BoolArray]]
"""From a column of texts to its values, as an Arrow column, and which rows were read."""


@dataclass(frozen=True, slots=True)
class Quick:
    """How a field is read at once.

    Attributes:
        column: The column it reads.
        texts: Reads a column of strings.
        timestamps: Reads a column of timestamps, None where they have to become texts first.
    """

    column: str
    texts: Read
    timestamps: Read | None = None


def quick_of(field: MappedField, mapping: FileMapping) -> Quick | None:
    """Return how a field is read at once, None if its rules ask for more."""
    rule = field.rules[0]
    if rule.regex is not None or rule.lookup is not None or len(rule.pieces) != 3:
        return None
    before, column, behind = rule.pieces
    if before or behind:
        return None
    match field.target.kind:
        case "string":
            return Quick(column, _strings(rule))
        case "int" | "long":
            read = _numbers(rule, mapping, 32 if field.target.kind == "int" else 64)
            return Quick(column, read) if read else None
        case "instant":
            return _instants(rule, mapping, column)
        case _:
            return None


def _without_null(rule: Rule, *, digits: bool) -> Callable[[Any, BoolArray], BoolArray]:
    """Return what takes out rows whose text is a word for no value.

    Args:
        rule: It has the words.
        digits: Whether only words with a digit could be read as a value.
    """
    words = [w for w in rule.null if w and (not digits or any(map(str.isdigit, w)))]
    known = pa.array(words, pa.string())

    def without(column: Any, good: BoolArray) -> BoolArray:
        if not words:
            return good
        found = pc.is_in(pc.ascii_trim(column, " "), value_set=known)
        left: BoolArray = good & ~found.to_numpy(zero_copy_only=False)
        return left

    return without


def _strings(rule: Rule) -> Read:
    without = _without_null(rule, digits=False)

    def read(column: Any) -> tuple[Any, BoolArray]:
        good = plain_texts(Texts.of(column), bytes_max=TEXT_CHARS_MAX)
        return column, without(column, good)

    return read


def _numbers(rule: Rule, mapping: FileMapping, bits: int) -> Read | None:
    marks = mapping.decimal, mapping.thousands
    if not all(_is_mark(mark) for mark in marks if mark) or len(set(marks)) == 1:
        return None
    numerator, denominator = rule.factor.as_integer_ratio()
    if not 0 < numerator < FACTOR_MAX or denominator >= FACTOR_MAX:
        return None
    form = NumberForm(
        decimal=ord(mapping.decimal),
        thousands=ord(mapping.thousands) if mapping.thousands else NO_BYTE,
        numerator=numerator,
        denominator=denominator,
        most=(1 << (bits - 1)) - 1,
    )
    without = _without_null(rule, digits=True)

    def read(column: Any) -> tuple[Any, BoolArray]:
        values, good = read_numbers(Texts.of(column), form)
        return pa.array(values), without(column, good)

    return read


def _is_mark(mark: str) -> bool:
    """Return whether a separator is one byte that can be told from the rest of a number."""
    return len(mark) == 1 and mark.isascii() and not mark.isalnum() and mark not in "+- "


def _instants(rule: Rule, mapping: FileMapping, column: str) -> Quick | None:
    found = pattern_of(rule.formats[0])
    if found is None:
        return None
    pattern, is_iso = found
    hours = _hours_of(rule.zone)
    nulls = np.array([(day - date(1970, 1, 1)).days for day in mapping.null_dates], dtype=np.int64)
    without = _without_null(rule, digits=True)

    def utc(local_ms: Int64Array, offset_ms: Int64Array, good: BoolArray) -> tuple[Any, BoolArray]:
        if len(nulls):
            good = good & ~np.isin(local_ms // DAY_MS, nulls)
        zoned = offset_ms != NO_OFFSET
        if not zoned.all():
            offset_ms, known = hours.offsets(local_ms, offset_ms, good & ~zoned)
            good = good & known
        values = np.where(good, local_ms - offset_ms, 0)
        return pa.array(values).cast(pa.timestamp("ms")), good

    def read(texts: Any) -> tuple[Any, BoolArray]:
        local_ms, offset_ms, good = read_instants(Texts.of(texts), pattern, is_iso=is_iso)
        values, good = utc(local_ms, offset_ms, good)
        return values, without(texts, good)

    def stamped(stamps: Any) -> tuple[Any, BoolArray]:
        times, by = UNITS_MS[stamps.type.unit]
        stored = stamps.cast(pa.int64()).fill_null(0).to_numpy()
        first, behind = (limit * by // times for limit in STAMPS_MS)
        good = stamps.is_valid().to_numpy(zero_copy_only=False)
        good = good & (stored >= first) & (stored < behind)
        local_ms = np.where(good, stored, 0) * times // by
        zone = NO_OFFSET if stamps.type.tz is None else 0
        return utc(local_ms, np.full(len(local_ms), zone), good)

    # Another format might read the digits of an ISO text in another order, and a word for no value
    # or a null date is one of the text.
    simple = is_iso and not len(nulls) and rule.null <= {""}
    return Quick(column, read, stamped if simple else None)


class _Hours:
    """What to take from a zone's clock to get UTC, by the hour on that clock."""

    def __init__(self, zone: tzinfo) -> None:
        self.zone = zone
        nothing = np.empty(0, dtype=np.int64)
        self._known = nothing, nothing
        """Hours, ascending, and the offset of each; replaced as one."""

    def offsets(
        self, local_ms: Int64Array, offset_ms: Int64Array, wanted: BoolArray
    ) -> tuple[Int64Array, BoolArray]:
        """Return the offsets with those of the wanted rows put in, and which rows have one."""
        if self.zone is UTC or not wanted.any():
            return np.where(wanted, 0, offset_ms), np.ones(len(local_ms), dtype=np.bool_)
        at = np.flatnonzero(wanted)
        hours = local_ms[at] // HOUR_MS
        first, span = int(hours.min()), int(hours.max() - hours.min()) + 1
        if span <= HOURS_KEPT_MAX:
            there = np.zeros(span, dtype=np.bool_)
            there[hours - first] = True
            distinct = np.flatnonzero(there)
            table = np.zeros(span, dtype=np.int64)
            table[distinct] = self._of(distinct + first)
            found = table[hours - first]
        else:
            distinct, where = np.unique(hours, return_inverse=True)
            found = self._of(distinct)[where]
        offsets = offset_ms.copy()
        offsets[at] = found
        known = offsets != NO_OFFSET
        return np.where(known, offsets, 0), known | ~wanted

    def _of(self, hours: Int64Array) -> Int64Array:
        """Return the offset of each hour [ms]; hours are ascending and distinct."""
        known, offsets = self._known
        new = np.setdiff1d(hours, known, assume_unique=True)
        if len(new):
            if len(known) + len(new) > HOURS_KEPT_MAX:
                known, offsets, new = known[:0], offsets[:0], hours
            both = np.concatenate([known, new])
            made = np.array([self._offset(hour) for hour in new.tolist()], dtype=np.int64)
            order = np.argsort(both, kind="stable")
            known, offsets = both[order], np.concatenate([offsets, made])[order]
            self._known = known, offsets
        found: Int64Array = offsets[np.searchsorted(known, hours)]
        return found

    def _offset(self, hour: int) -> int:
        """Return the offset of an hour [ms], NO_OFFSET where the clock changes within it."""
        first = _CLOCK + timedelta(hours=hour)
        both = {self._shift(first), self._shift(first + _LAST)}
        return both.pop() if len(both) == 1 else NO_OFFSET

    def _shift(self, local: datetime) -> int:
        """Return the offset at a moment of the clock [ms], the earlier one if it comes twice."""
        instant = local.replace(tzinfo=self.zone).astimezone(UTC)
        if instant.astimezone(self.zone).replace(tzinfo=None) != local:
            return NO_OFFSET
        return (local - instant.replace(tzinfo=None)) // MILLISECOND


@lru_cache(maxsize=64)
def _hours_of(zone: tzinfo) -> _Hours:
    """Return what is known of a zone, which all fields and mappings share."""
    return _Hours(zone)
