"""Rules: a checked mapping as values, and how a rule turns the texts of one row into one field.

    UnmappableError
    ├── row_missing_value   every column that could give the field is empty
    └── row_bad_value       a column has a value, but it can't become the field

The reason names field, column and value, so that who sent the file can put it right.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, tzinfo
from fractions import Fraction

from producers.convert import ConversionError, instant_reader, integer
from schemas.fields import Field

VALUE_SHOWN_MAX = 80

TEXT_CHARS_MAX = 10_000
"""So that a record fits into a message, whatever all its texts are."""

Value = str | int | None


class UnmappableError(Exception):
    """The row has no usable value for a field."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One way to a field's value: a constant, or `pieces`: literal text and column in turn.

    A constant that is `only_if_empty` is a default: it doesn't hide a value that could not be used.
    """

    pieces: tuple[str, ...] = ()
    constant: Value = None
    only_if_empty: bool = False
    regex: re.Pattern[str] | None = None
    lookup: Mapping[str, str] | None = None
    fold: bool = False
    factor: Fraction = Fraction(1)
    zone: tzinfo = UTC
    formats: tuple[str, ...] = ("iso",)
    null: frozenset[str] = frozenset({""})

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads, in order."""
        return self.pieces[1::2]


@dataclass(frozen=True, slots=True)
class MappedField:
    """A field of the record, the rules tried for it, and the line of the mapping that says so.

    What a pseudonym's rules give is a natural id: it is replaced, and no reason quotes it.
    """

    target: Field
    rules: tuple[Rule, ...]
    line: int
    pseudonym: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns its rules read, each once, in the order of first use."""
        return tuple(dict.fromkeys(c for rule in self.rules for c in rule.columns))


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMapping:
    """A checked mapping; fields in the order of the record, those left out are not among them.

    `digest` tells one text of a mapping from another.
    """

    name: str
    origin: str
    record: str
    fields: tuple[MappedField, ...]
    null_dates: frozenset[date] = frozenset()
    delimiter: str = ","
    encoding: str = "utf-8"
    decimal: str = "."
    thousands: str = ""
    digest: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column the mapping reads, each once."""
        return tuple(dict.fromkeys(c for field in self.fields for c in field.columns))

    @property
    def natural_columns(self) -> frozenset[str]:
        """The columns that say whose account it is, where a pseudonym stands for them."""
        return frozenset(c for field in self.fields if field.pseudonym for c in field.columns)


def fold(text: str) -> str:
    """Return the text as folded look-ups compare it.

    >>> fold("24 | 26 FT  Closed 7.5MT-MCV ")
    '24 26 ft closed 7.5mt mcv'
    """
    return re.sub(r"[^\w.]+", " ", text.casefold()).strip()


def shown(value: str) -> str:
    """Return a value as a reason quotes it: on one line, and cut where it is long."""
    return repr(value if len(value) <= VALUE_SHOWN_MAX else value[: VALUE_SHOWN_MAX - 1] + "…")


def _converter(rule: Rule, target: Field, mapping: FileMapping) -> Callable[[str], Value]:
    """Return the last step of a rule: text to the type of its field."""
    match target.kind:
        case "instant":
            return instant_reader(
                formats=rule.formats, zone=rule.zone, null_dates=mapping.null_dates
            )
        case "int" | "long":
            bits = 32 if target.kind == "int" else 64
            return lambda text: integer(
                text,
                factor=rule.factor,
                decimal=mapping.decimal,
                thousands=mapping.thousands,
                bits=bits,
            )
        case "enum":

            def symbol(text: str) -> str:
                if text not in target.symbols:
                    raise ConversionError(f"is none of {', '.join(target.symbols)}")
                return text

            return symbol
        case _:

            def short(text: str) -> str:
                if len(text) > TEXT_CHARS_MAX:
                    raise ConversionError(f"has more than {TEXT_CHARS_MAX:,} characters")
                return text

            return short


class Attempt:
    """A rule made ready: `of` gives the value, or None with the reason appended to a list."""

    def __init__(self, rule: Rule, field: MappedField, mapping: FileMapping) -> None:
        self.rule = rule
        self.is_secret = field.pseudonym
        self.convert = _converter(rule, field.target, mapping)
        self.named = " and ".join(f"column {c!r}" for c in rule.columns)

    def of(self, texts: Mapping[str, str | None], empty: list[str], misses: list[str]) -> Value:
        """Return the value, or None after saying in `empty` or `misses` why there is none.

        Raises:
            ConversionError: There is a text, and it can't be read.
        """
        rule = self.rule
        if not rule.pieces:
            return None if rule.only_if_empty and misses else rule.constant
        parts = list(rule.pieces)
        for at in range(1, len(parts), 2):
            text = (texts[parts[at]] or "").strip()
            if text in rule.null:
                empty.append(f"column {parts[at]!r} is empty" + (f" ({text})" if text else ""))
                return None
            parts[at] = text
        text = "".join(parts)
        given = text
        if rule.regex is not None:
            found = rule.regex.search(text)
            text = (found and found.group(1 if rule.regex.groups else 0)) or ""
            if not text:
                misses.append(f"{self._told(given)} does not match '{rule.regex.pattern}'")
                return None
        if rule.lookup is not None:
            text = rule.lookup.get(fold(text) if rule.fold else text, "")
            if not text:
                misses.append(f"{self._told(given)} is not in the look-up table")
                return None
        try:
            value = self.convert(text)
        except ConversionError as wrong:
            raise ConversionError(f"{self._told(given)} {wrong}") from None
        if value is None:
            empty.append(f"{self.named} is empty ({text})")
        return value

    def _told(self, text: str) -> str:
        """Return the columns and the value, as a reason tells them."""
        return f"{self.named} value {'(withheld)' if self.is_secret else shown(text)}"


def field_reader(
    field: MappedField, mapping: FileMapping
) -> Callable[[Mapping[str, str | None]], Value]:
    """Return a function from the texts of one row, by column, to the field's value.

    The function raises:
        UnmappableError: No rule gives a value, or the value can't be read.
    """
    attempts: Sequence[Attempt] = [Attempt(rule, field, mapping) for rule in field.rules]
    name = field.target.name

    def read(texts: Mapping[str, str | None]) -> Value:
        empty: list[str] = []
        misses: list[str] = []
        for attempt in attempts:
            try:
                value = attempt.of(texts, empty, misses)
            except ConversionError as wrong:
                raise UnmappableError("row_bad_value", f"{name}: {wrong}") from None
            if value is not None:
                return value
        if misses:
            raise UnmappableError("row_bad_value", f"{name}: {'; '.join(dict.fromkeys(misses))}")
        if field.target.nullable:
            return None
        raise UnmappableError("row_missing_value", f"{name}: {'; '.join(dict.fromkeys(empty))}")

    return read
