"""Document: a parsed JSON document that knows where in it one stands.

Each value is read by the means that mapped files are read by (`producers.convert`): exact numbers,
whether they were written as numbers or as strings, and instants in UTC milliseconds. What can't be
read is told with its JSON path.

    UnmappableError
    └── DocumentError       row_missing_value, row_bad_value or row_unmapped, and a path

A value that is `hidden` says whose carbon it is: no reason quotes it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Final, NoReturn

from producers.convert import (
    FIELD_UNITS,
    NUMBER,
    UNITS,
    ConversionError,
    instant_reader,
    integer,
)
from producers.rules import TEXT_CHARS_MAX, UnmappableError, shown

DIGITS_MAX: Final = 40
ISO: Final = ("iso",)
LONG_BITS: Final = 64

_instants = lru_cache(maxsize=64)(
    lambda formats, zone: instant_reader(formats=formats, zone=zone, null_dates=frozenset())
)


class DocumentError(UnmappableError):
    """The document has no usable value; `path` says where it lacks or stands."""

    def __init__(self, code: str, path: str, reason: str) -> None:
        super().__init__(code, reason)
        self.path = path


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a document and its path from the root, such as `$.tces[0].mass`."""

    value: object
    path: str = "$"
    is_hidden: bool = False

    def wrong(self, why: str, code: str = "row_bad_value") -> NoReturn:
        """Raise the refusal of this value; the reason quotes it, unless it is hidden."""
        plain = isinstance(self.value, str | int | float | Decimal)
        told = "(withheld)" if self.is_hidden else shown(self.text_of_number()) if plain else ""
        raise DocumentError(code, self.path, " ".join(filter(None, (told, why))))

    def refuse(self, code: str, why: str) -> NoReturn:
        """Raise a refusal that is about this place and not about its value."""
        raise DocumentError(code, self.path, why)

    def hidden(self) -> "Node":
        """Return the value as one that no reason may quote."""
        return replace(self, is_hidden=True)

    def get(self, *keys: str) -> "Node | None":
        """Return the member under the first of these keys that is there and neither null nor ""."""
        if not isinstance(self.value, Mapping):
            self.refuse("row_bad_value", "is not an object")
        for key in keys:
            value = self.value.get(key)
            if value is not None and not (isinstance(value, str) and not value.strip()):
                return Node(value, f"{self.path}.{key}", self.is_hidden)
        return None

    def need(self, *keys: str) -> "Node":
        """Return the member under the first of these keys that has a value.

        Raises:
            DocumentError: `row_missing_value`: none has.
        """
        found = self.get(*keys)
        if found is None:
            raise DocumentError(
                "row_missing_value", f"{self.path}.{keys[0]}", f"{' or '.join(keys)} is missing"
            )
        return found

    def items(self) -> Iterator["Node"]:
        """Yield the members of an array."""
        if not isinstance(self.value, list | tuple):
            self.refuse("row_bad_value", "is not an array")
        for at, value in enumerate(self.value):
            yield Node(value, f"{self.path}[{at}]", self.is_hidden)

    def first(self) -> "Node":
        """Return the first member of an array.

        Raises:
            DocumentError: `row_missing_value`: it has none.
        """
        for item in self.items():
            return item
        raise DocumentError("row_missing_value", self.path, "is an empty array")

    def text(self) -> str:
        """Return a string that a record can hold, without the space around it."""
        if not isinstance(self.value, str):
            self.wrong("is not a string")
        text = self.value.strip()
        if len(text) > TEXT_CHARS_MAX:
            self.wrong(f"has more than {TEXT_CHARS_MAX:,} characters")
        try:
            text.encode()
        except UnicodeEncodeError:
            self.wrong("is half of a character, which UTF-8 can't write")
        if "\0" in text:
            self.wrong("has a zero byte")
        return text

    def word(self, words: Mapping[str, str]) -> str:
        """Return what a word of the standard stands for."""
        text = self.text()
        if text not in words:
            self.wrong(f"is none of {', '.join(words)}")
        return words[text]

    def truth(self) -> bool:
        """Return a boolean."""
        if not isinstance(self.value, bool):
            self.wrong("is neither true nor false")
        return self.value

    def text_of_number(self) -> str:
        """Return a number, or a string that may hold one, as it was written."""
        match self.value:
            case bool():
                return str(self.value).lower()
            case int() if abs(self.value) >= 10**DIGITS_MAX:
                return f"a number of more than {DIGITS_MAX} digits"
            case float():
                return repr(self.value)
            case _:
                return str(self.value).strip()

    def number(self) -> Fraction:
        """Return a number exactly as written: 15.342 is 15342 thousandths."""
        text = "" if isinstance(self.value, Mapping | list | tuple) else self.text_of_number()
        if NUMBER.fullmatch(text) is None:
            self.wrong("is not a number")
        return Fraction(text)

    def whole(self, bits: int = LONG_BITS) -> int:
        """Return a whole number of at most that many bits."""
        number = self.number()
        if number.denominator != 1 or not -(1 << (bits - 1)) <= number < 1 << (bits - 1):
            self.wrong(f"is not a whole number of {bits} bits")
        return int(number)

    def quantity(self, field: str, unit: str, times: Fraction = Fraction(1)) -> int:
        """Return a number in the unit of a field of our record, rounded once, half to even."""
        self.number()
        factor = UNITS[unit].small / FIELD_UNITS[field][1] * times
        try:
            return integer(self.text_of_number(), factor=factor)
        except ConversionError as wrong:
            self.wrong(str(wrong))

    def instant(self, zone: tzinfo = UTC, formats: tuple[str, ...] = ISO) -> int:
        """Return milliseconds since 1970 UTC; the zone is for times that carry none."""
        try:
            moment = _instants(formats, zone)(self.text())
        except ConversionError as wrong:
            self.wrong(str(wrong))
        assert moment is not None  # No date means that there is none.
        return moment


def root(document: object) -> Node:
    """Return where a document begins, which may be within another."""
    return document if isinstance(document, Node) else Node(document)


def in_field(node: Node, field: str, exact: Fraction) -> int:
    """Return an exact amount in the field's own unit, rounded once, half to even.

    Raises:
        DocumentError: `row_bad_value`: it does not fit into 64 bits.
    """
    value = round(exact)
    if not -(1 << (LONG_BITS - 1)) <= value < 1 << (LONG_BITS - 1):
        node.wrong(f"makes a {field} that does not fit into {LONG_BITS} bits")
    return value
