"""Convert: one foreign text into one exact integer or instant.

Numbers never pass through a float: a decimal text becomes a fraction, is multiplied by an exact
unit, and is rounded once, half to even. Instants become integer milliseconds since 1970 UTC; what
lies below a millisecond is cut off.

    ValueError
    └── ConversionError   the text isn't a number or an instant; the message says why
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from fractions import Fraction

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)

# The exponent is bounded so that no text can ask for a number of a billion digits.
NUMBER = re.compile(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,2})?", re.ASCII)


class ConversionError(ValueError):
    """The text can't be read as what its field needs."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What a unit of a file measures, and how many small units (Wh, m, g, ml) it holds, exactly."""

    dimension: str
    small: Fraction


UNITS = {
    "Wh": Unit("energy", Fraction(1)),
    "kWh": Unit("energy", Fraction(1_000)),
    "MWh": Unit("energy", Fraction(1_000_000)),
    "MJ": Unit("energy", Fraction(2_500, 9)),
    "m": Unit("distance", Fraction(1)),
    "km": Unit("distance", Fraction(1_000)),
    "mi": Unit("distance", Fraction("1609.344")),
    "g": Unit("mass", Fraction(1)),
    "kg": Unit("mass", Fraction(1_000)),
    "t": Unit("mass", Fraction(1_000_000)),
    "lb": Unit("mass", Fraction("453.59237")),
    "ml": Unit("volume", Fraction(1)),
    "l": Unit("volume", Fraction(1_000)),
    "gal": Unit("volume", Fraction("3785.411784")),
}

# The units a field takes, by its name: the dimensions, and how many small units its own unit holds.
FIELD_UNITS: dict[str, tuple[frozenset[str], int]] = {
    "energy_wh": (frozenset({"energy"}), 1),
    "distance_m": (frozenset({"distance"}), 1),
    "empty_distance_m": (frozenset({"distance"}), 1),
    "cargo_kg": (frozenset({"mass"}), 1_000),
    "energy_used": (frozenset({"energy", "mass", "volume"}), 1),
}


def integer(
    text: str, *, factor: Fraction, decimal: str = ".", thousands: str = "", bits: int = 64
) -> int:
    """Return the number in the text times an exact factor, rounded once, half to even.

    Args:
        text: A decimal number such as "6.31", "-1e3" or, with the separators given, "1.234,5".
        factor: The target's units per unit of the text.
        decimal: The decimal separator.
        thousands: The separator of thousands; "" where there is none.
        bits: Width of the signed result.

    Raises:
        ConversionError: It isn't a decimal number, or it doesn't fit.

    >>> integer("6.31", factor=Fraction(1000))
    6310
    >>> integer("0.0025", factor=Fraction(1000)), integer("0.0035", factor=Fraction(1000))
    (2, 4)
    """
    plain = text.replace(thousands, "") if thousands else text
    if decimal != ".":
        if "." in plain:
            raise ConversionError("is not a number")
        plain = plain.replace(decimal, ".")
    if NUMBER.fullmatch(plain) is None:
        raise ConversionError("is not a number")
    value = round(Fraction(plain) * factor)
    limit = 1 << (bits - 1)
    if not -limit <= value < limit:
        raise ConversionError(f"does not fit into {bits} bits")
    return value


def _localised(local: datetime, zone: tzinfo) -> datetime:
    """Return the UTC instant of a local time; the earlier one where the clock shows it twice."""
    instant = local.replace(tzinfo=zone).astimezone(UTC)
    if zone is not UTC and instant.astimezone(zone).replace(tzinfo=None) != local:
        raise ConversionError(f"does not exist in {zone}: the clock skips it")
    return instant


def _read(text: str, pattern: str) -> datetime | None:
    """Return the moment, with a zone only if the text has one; None if it isn't of the format."""
    try:
        if pattern == "iso":
            return datetime.fromisoformat(text)
        if pattern in ("unix", "unix_ms"):
            scale = Fraction(1000 if pattern == "unix" else 1)
            return EPOCH + integer(text, factor=scale) * MILLISECOND
        return datetime.strptime(text, pattern)  # noqa: DTZ007 (the zone is added by the caller)
    except (ValueError, OverflowError):
        return None


def instant_reader(
    *, formats: Sequence[str], zone: tzinfo, null_dates: frozenset[date]
) -> Callable[[str], int | None]:
    """Return a function from a text to milliseconds since 1970 UTC, or to None for a null date.

    Args:
        formats: Tried in order: "iso", "unix", "unix_ms" or a strptime pattern.
        zone: Where the clock hung, for texts that don't say it themselves.
        null_dates: Dates, as written in the file, that mean there is no value.

    The function raises:
        ConversionError: No format fits, or the zone's clock never shows that time.

    >>> read = instant_reader(formats=["iso"], zone=UTC, null_dates=frozenset({date(1899, 12, 30)}))
    >>> read("2018-10-08T13:25:00Z"), read("1899-12-30 00:00:00")
    (1539005100000, None)
    """

    def read(text: str) -> int | None:
        for pattern in formats:
            moment = _read(text, pattern)
            if moment is None:
                continue
            if moment.date() in null_dates:
                return None
            try:
                utc = _localised(moment, zone) if moment.tzinfo is None else moment.astimezone(UTC)
                return (utc - EPOCH) // MILLISECOND
            except OverflowError:
                raise ConversionError("lies outside the calendar") from None
        raise ConversionError(f"is not a time of the format {' or '.join(formats)}")

    return read
