"""Columns of texts read at once: plain texts, decimal numbers and times of a fixed shape.

A kernel reads what it is sure of, exactly as `convert` and `rules` would, and leaves all other rows
to them: white space of other alphabets, exponents, words for no value, what is no number at all. So
there is one set of rules, and these loops are only its common cases. Where tests draw texts, every
value found here is the one found there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from schemas.kernel import BoolArray, Int64Array, Number, UInt8Array, bytes_of, kernel

SPACE, PLUS, MINUS, POINT, COLON = (ord(letter) for letter in " +-.:")
ZERO, NINE = ord("0"), ord("9")
TILDE: Final = ord("~")
LETTER_T, LETTER_Z = ord("T"), ord("Z")
NO_BYTE: Final = -1

DIGITS_MAX: Final = 18
NUMBER_MAX: Final = 1 << 61
"""Products and divisors stay below it, so that twice the rest of a division fits."""
FACTOR_MAX: Final = 1 << 31

FIELD: Final = 256
"""Codes of a pattern from here on are fields; those below are bytes that stand for themselves."""
YEAR, MONTH, DAY, HOUR, MINUTE, SECOND = range(FIELD, FIELD + 6)
FIELDS: Final = {"Y": YEAR, "m": MONTH, "d": DAY, "H": HOUR, "M": MINUTE, "S": SECOND}
ISO_DATE: Final = (YEAR, MINUS, MONTH, MINUS, DAY)

YEAR_MIN, YEAR_MAX = 1900, 2200
NO_OFFSET: Final = np.iinfo(np.int64).min
"""Stands where a text names no zone."""


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """The texts of a column: n of them in one buffer; a null is an empty one."""

    data: UInt8Array
    begins: Int64Array
    sizes: Int64Array

    @classmethod
    def of(cls, column: pa.StringArray) -> Texts:
        """Return the texts of a column of strings, which keep their place."""
        buffers: Any = column.buffers()
        offsets = np.frombuffer(buffers[1], np.int32, len(column) + 1, column.offset * 4)
        begins, sizes = offsets[:-1].astype(np.int64), np.diff(offsets).astype(np.int64)
        if column.null_count:
            sizes[column.is_null().to_numpy(zero_copy_only=False)] = 0
        return cls(bytes_of(buffers[2] or b""), begins, sizes)


def plain_texts(texts: Texts, *, bytes_max: int) -> BoolArray:
    """Return which texts are not empty, not too long, and begin and end with no white space."""
    good = np.empty(len(texts.begins), dtype=np.bool_)
    _plain(texts.data, texts.begins, texts.sizes, bytes_max, good)
    return good


@dataclass(frozen=True, slots=True)
class NumberForm:
    """How numbers are written, and what they are multiplied by.

    Attributes:
        decimal: The byte between whole and part.
        thousands: The byte between groups of digits, NO_BYTE if there is none.
        numerator: Of the exact factor, below FACTOR_MAX.
        denominator: Of the exact factor, below FACTOR_MAX.
        most: The largest result by amount.
    """

    decimal: int
    thousands: int
    numerator: int
    denominator: int
    most: int


def read_numbers(texts: Texts, form: NumberForm) -> tuple[Int64Array, BoolArray]:
    """Return the numbers of a column, rounded half to even, and which were read."""
    values = np.zeros(len(texts.begins), dtype=np.int64)
    good = np.zeros(len(texts.begins), dtype=np.bool_)
    _numbers(
        *(texts.data, texts.begins, texts.sizes),
        *(form.decimal, form.thousands, form.numerator, form.denominator, form.most),
        *(values, good),
    )
    return values, good


def pattern_of(form: str) -> tuple[Int64Array, bool] | None:
    """Return a format as codes, and whether it is ISO 8601, whose time and zone may be left out.

    None of a format that is no fixed row of digits and bytes.
    """
    if form == "iso":
        return np.array(ISO_DATE, dtype=np.int64), True
    codes: list[int] = []
    letters = iter(form)
    for letter in letters:
        if letter == "%":
            code = FIELDS.get(next(letters, ""))
            if code is None or code in codes:
                return None
            codes.append(code)
        elif letter.isascii() and not letter.isdigit() and not letter.isspace():
            codes.append(ord(letter))
        elif letter == " ":
            codes.append(SPACE)
        else:
            return None
    if not {YEAR, MONTH, DAY} <= set(codes):
        return None
    return np.array(codes, dtype=np.int64), False


def read_instants(
    texts: Texts, pattern: Int64Array, *, is_iso: bool
) -> tuple[Int64Array, Int64Array, BoolArray]:
    """Return the clock's time [ms], its offset from UTC [ms] or NO_OFFSET, and which were read."""
    n = len(texts.begins)
    local_ms, offset_ms = np.zeros(n, dtype=np.int64), np.full(n, NO_OFFSET)
    good, part = np.zeros(n, dtype=np.bool_), np.zeros(6, dtype=np.int64)
    _instants(
        texts.data, texts.begins, texts.sizes, pattern, is_iso, part, local_ms, offset_ms, good
    )
    return local_ms, offset_ms, good


@kernel
def _plain(
    data: UInt8Array, begins: Int64Array, sizes: Int64Array, bytes_max: int, good: BoolArray
) -> None:
    for row in range(len(begins)):
        begin, end = begins[row], begins[row] + sizes[row]
        good[row] = False
        if end == begin or end - begin > bytes_max:
            continue
        first, last = data[begin], data[end - 1]
        # Of several bytes: white space begins with C2, E1, E2 or E3.
        at = end - 1
        while at > begin and data[at] & 0xC0 == 0x80:
            at -= 1
        lead = data[at]
        begins_well = SPACE < first <= TILDE or (first > 0xC2 and (first < 0xE1 or first > 0xE3))
        ends_well = SPACE < last <= TILDE or (lead > 0xC2 and (lead < 0xE1 or lead > 0xE3))
        good[row] = begins_well and ends_well


@kernel
def _numbers(
    data: UInt8Array,
    begins: Int64Array,
    sizes: Int64Array,
    decimal: int,
    thousands: int,
    numerator: int,
    denominator: int,
    most: int,
    values: Int64Array,
    good: BoolArray,
) -> None:
    for row in range(len(begins)):
        at, end = begins[row], begins[row] + sizes[row]
        while at < end and data[at] == SPACE:
            at += 1
        while end > at and data[end - 1] == SPACE:
            end -= 1
        negative = False
        if at < end and (data[at] == PLUS or data[at] == MINUS):
            negative = data[at] == MINUS
            at += 1
        mantissa, digits, scale = np.int64(0), 0, 0
        pointed, sound = False, True
        while at < end:
            byte = np.int64(data[at])
            at += 1
            if ZERO <= byte <= NINE:
                digits += 1
                mantissa = mantissa * 10 + (byte - ZERO)
                if pointed:
                    scale += 1
            elif byte == decimal and not pointed and digits > 0:
                pointed = True
            elif byte != thousands:
                sound = False
            if not sound or digits > DIGITS_MAX:
                sound = False
                break
        if not sound or digits == 0:
            continue
        times, by = np.int64(numerator), np.int64(denominator)
        while scale > 0 and times % 10 == 0:
            times //= 10
            scale -= 1
        while scale > 0 and by < NUMBER_MAX // 10:
            by *= 10
            scale -= 1
        if scale > 0 or mantissa > NUMBER_MAX // times:
            continue
        product = mantissa * times
        value = product // by
        twice = (product - value * by) * 2
        if twice > by or (twice == by and value & 1):
            value += 1
        if value > most:
            continue
        values[row] = -value if negative else value
        good[row] = True


@kernel
def _digits(data: UInt8Array, at: int, end: int, count: int) -> Number:
    """Return the number that so many digits make, -1 if they are none."""
    if at + count > end:
        return -1
    number = np.int64(0)
    for index in range(at, at + count):
        byte = np.int64(data[index])
        if byte < ZERO or byte > NINE:
            return -1
        number = number * 10 + (byte - ZERO)
    return number


@kernel
def _day(year: int, month: int, day: int) -> int:
    """Return the day since 1970, NO_OFFSET if there is none such in the years that are read.

    Years begin in March, so that the leap day is the last of its year.
    """
    if year < YEAR_MIN or year > YEAR_MAX or month < 1 or month > 12 or day < 1:
        return NO_OFFSET
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    longest = 31
    if month in (4, 6, 9, 11):
        longest = 30
    elif month == 2:
        longest = 29 if leap else 28
    if day > longest:
        return NO_OFFSET
    years = year - 1 if month <= 2 else year
    months = month + 9 if month <= 2 else month - 3
    within = years % 400
    of_year = (153 * months + 2) // 5 + day - 1
    return years // 400 * 146_097 + within * 365 + within // 4 - within // 100 + of_year - 719_468


@kernel
def _instants(
    data: UInt8Array,
    begins: Int64Array,
    sizes: Int64Array,
    pattern: Int64Array,
    is_iso: bool,
    part: Int64Array,
    local_ms: Int64Array,
    offset_ms: Int64Array,
    good: BoolArray,
) -> None:
    """Read every row; `part` is room for the six parts of one."""
    for row in range(len(begins)):
        at, end = begins[row], begins[row] + sizes[row]
        part[:] = 0
        sound = True
        for code in pattern:
            if code < FIELD:
                sound = at < end and data[at] == code
                at += 1
            else:
                width = 4 if code == YEAR else 2
                number = _digits(data, at, end, width)
                sound = number >= 0
                part[code - FIELD] = number
                at += width
            if not sound:
                break
        if not sound:
            continue
        millis: Number = np.int64(0)
        offset: Number = np.int64(NO_OFFSET)
        if is_iso and at < end:
            at, millis, offset = _clock(data, at, end, part)
        day = _day(part[0], part[1], part[2])
        if at != end or day == NO_OFFSET or part[3] > 23 or part[4] > 59 or part[5] > 59:
            continue
        seconds = ((day * 24 + part[3]) * 60 + part[4]) * 60 + part[5]
        local_ms[row] = seconds * 1000 + millis
        offset_ms[row] = offset
        good[row] = True


@kernel
def _clock(data: UInt8Array, at: int, end: int, part: Int64Array) -> tuple[Number, Number, Number]:
    """Read the time behind an ISO date into hour, minute and second.

    Returns the position behind it, -1 if it is not read, the milliseconds, and the offset [ms].
    """
    nothing = np.int64(NO_OFFSET)
    if data[at] not in (LETTER_T, SPACE):
        return -1, np.int64(0), nothing
    part[3] = _digits(data, at + 1, end, 2)
    part[4] = _digits(data, at + 4, end, 2)
    if part[3] < 0 or part[4] < 0 or data[at + 3] != COLON:
        return -1, np.int64(0), nothing
    at += 6
    millis = np.int64(0)
    if at < end and data[at] == COLON:
        part[5] = _digits(data, at + 1, end, 2)
        if part[5] < 0:
            return -1, np.int64(0), nothing
        at += 3
        if at < end and data[at] == POINT:
            begin = at + 1
            at = begin
            while at < end and ZERO <= data[at] <= NINE:
                at += 1
            if at - begin not in (3, 6):
                return -1, np.int64(0), nothing
            millis = np.int64(_digits(data, begin, end, 3))
    if at == end:
        return at, millis, nothing
    if data[at] == LETTER_Z:
        return at + 1, millis, np.int64(0)
    if data[at] not in (PLUS, MINUS) or end - at != 6 or data[at + 3] != COLON:
        return -1, np.int64(0), nothing
    hours, minutes = _digits(data, at + 1, end, 2), _digits(data, at + 4, end, 2)
    if hours < 0 or hours > 23 or minutes < 0 or minutes > 59:
        return -1, np.int64(0), nothing
    offset = np.int64(hours * 60 + minutes) * 60_000
    return end, millis, -offset if data[at] == MINUS else offset
