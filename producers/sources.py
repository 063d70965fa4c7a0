"""Sources: the rows of CSV and JSON Lines as text, in blocks of texts by column.

Whatever a file holds, a number comes out as the text that stands in it: no double is made of a
decimal on the way. What isn't a row of the file at all is refused here, as `row_unmapped`, and
reading goes on with the next line. After broken quotes it goes on with the second physical line, so
that one stray quote costs one line and not the rest of the file.

CSV files are read by `csv_bytes`, which asks `read_row` here about irregular rows only.
"""

from __future__ import annotations

import csv
import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from itertools import islice
from typing import IO, TypeAlias

import pyarrow as pa

from producers.mapping import MappingError
from producers.rows import Rows, UnmappedRow
from producers.rules import FileMapping

CODE = "row_unmapped"

LINE_CHARS_MAX = 1 << 20
"""A longer line is passed over, and only its beginning is ever held."""

BLOCK_CHARS_MAX = 32 << 20
"""Characters of a block, give or take a row: what bounds the memory where rows are long."""

TOO_LONG = f"the line has more than {LINE_CHARS_MAX:,} characters"

Texts = Sequence[str | None]


@dataclass(frozen=True, slots=True)
class Position:
    """Where a source is read on.

    Attributes:
        rows: Rows that lie before it, refused ones among them.
        line: Physical lines of text that do.
        offset: Bytes that do, of the text once it is unpacked; 0 where it is told by lines.
    """

    rows: int = 0
    line: int = 0
    offset: int = 0


START = Position()


@dataclass(frozen=True, slots=True)
class Block:
    """Rows that can be handed to the mapping, and what was refused on the way to them.

    Attributes:
        rows: The rows.
        refused: What was no row.
        behind: Where to go on behind them.
        rows_in_all: How many the source has, 0 where that isn't known.
    """

    rows: Rows
    refused: list[UnmappedRow]
    behind: Position
    rows_in_all: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """A row as read.

    Attributes:
        number: The line it begins on.
        texts: Its texts in the order of the mapping's columns.
        raw: Itself.
        height: Physical lines it takes.
    """

    number: int
    texts: Texts
    raw: str
    height: int = 1


@dataclass(frozen=True, slots=True)
class NoRow:
    """What stands where a row should be: one line."""

    number: int
    reason: str
    raw: str


_Read: TypeAlias = Line | NoRow


def check_columns(mapping: FileMapping, found: Sequence[str], *, file: str) -> None:
    """Check that the file has every column of the mapping, once.

    Raises:
        MappingError: It hasn't; the message names the field and its line in the mapping.
    """
    for mapped in mapping.fields:
        for name in mapped.columns:
            if found.count(name) == 1:
                continue
            where = f"{mapping.origin}:{mapped.line}: {mapped.target.name}"
            if name in found:
                raise MappingError(f"{where}: {file} has several columns {name!r}")
            near = get_close_matches(name, found, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(found) or 'none'}"
            raise MappingError(f"{where}: {file} has no column {name!r}; {hint}")


def _is_text(text: str | None) -> bool:
    """Return whether it holds no surrogates, such as stand for bytes that could not be decoded."""
    try:
        (text or "").encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def bytes_of_row(mapping: FileMapping) -> Callable[[str], bytes]:
    """Return what gives the bytes of a row that was read as text, as they stand in the file.

    What can't be mapped can't be parted into what is secret and what is not, so a mapping with
    natural ids gives none.
    """

    def bytes_of(raw: str) -> bytes:
        if mapping.natural_columns:
            return b""
        try:
            return raw.rstrip("\r\n").encode(mapping.encoding, "surrogateescape")
        except UnicodeEncodeError:
            # What stands for bytes that were no text cannot be written in every encoding.
            return raw.rstrip("\r\n").encode("utf-8", "surrogatepass")

    return bytes_of


def part_of(
    taken: Sequence[Line | NoRow], mapping: FileMapping, *, file: str
) -> tuple[Rows, list[UnmappedRow]]:
    """Return rows as columns, and those that are none or aren't text."""
    bytes_of = bytes_of_row(mapping)
    lines = [row for row in taken if isinstance(row, Line)]
    refused = [
        UnmappedRow(file, row.number, CODE, row.reason, bytes_of(row.raw))
        for row in taken
        if isinstance(row, NoRow)
    ]
    # Joined first: the rule is that all of it is text, and one check of the whole is cheap.
    if not all(_is_text("".join(t or "" for t in row.texts)) for row in lines):
        reason = f"the row is not {mapping.encoding} text"
        refused += [
            UnmappedRow(file, row.number, CODE, reason, bytes_of(row.raw))
            for row in lines
            if not all(map(_is_text, row.texts))
        ]
        lines = [row for row in lines if all(map(_is_text, row.texts))]
    names = mapping.columns
    columns: Sequence[Texts] = list(zip(*(row.texts for row in lines), strict=True))
    rows = Rows(
        {
            name: pa.array(texts, pa.string())
            for name, texts in zip(names, columns or [()] * len(names), strict=True)
        },
        [row.number for row in lines],
        partial(lambda lines, at: bytes_of(lines[at].raw), lines),
    )
    return rows, refused


def _blocks(
    read: Iterator[_Read], mapping: FileMapping, *, file: str, rows_max: int, begun: Position
) -> Iterator[Block]:
    """Gather rows into blocks of at most `rows_max`, refusing those that aren't text."""
    done = begun.rows
    while taken := _taken(read, rows_max):
        rows, refused = part_of(taken, mapping, file=file)
        done += len(taken)
        last = taken[-1]
        height = last.height if isinstance(last, Line) else 1
        yield Block(rows, refused, Position(done, last.number - 1 + height))


def _taken(read: Iterator[_Read], rows_max: int) -> list[_Read]:
    taken, chars = [], 0
    for row in islice(read, rows_max):
        taken.append(row)
        chars += len(row.raw)
        if chars >= BLOCK_CHARS_MAX:
            break
    return taken


class Cut(str):
    """The beginning of a line that is too long."""

    __slots__ = ()


def _bounded(source: IO[str]) -> Iterator[str]:
    """Yield physical lines; of one that is too long its beginning."""
    while line := source.readline(LINE_CHARS_MAX + 1):
        if len(line) <= LINE_CHARS_MAX or line.endswith(("\n", "\r")):
            yield line
            continue
        yield Cut(line[:LINE_CHARS_MAX])
        while (rest := source.readline(LINE_CHARS_MAX)) and not rest.endswith(("\n", "\r")):
            pass


class Lines:
    """Physical lines for the CSV reader; those taken for the row in hand can be given back."""

    def __init__(self, source: Iterator[str]) -> None:
        self.source = source
        self.given_back: deque[str] = deque()
        self.taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self.given_back.popleft() if self.given_back else next(self.source)
        self.taken.append(line)
        return line


@dataclass(frozen=True, slots=True)
class Header:
    """What the first row of CSV says: how wide rows are, and where the mapped columns stand."""

    width: int
    places: tuple[int, ...]

    @classmethod
    def of(cls, row: Sequence[str], mapping: FileMapping, *, file: str) -> Header:
        """Return what a first row says.

        Raises:
            MappingError: A column of the mapping isn't there, or is there twice.
        """
        names = [name.strip() for name in row]
        check_columns(mapping, names, file=file)
        return cls(len(names), tuple(names.index(name) for name in mapping.columns))


def read_row(
    reader: Iterator[list[str]], lines: Lines, header: Header, number: int
) -> Line | NoRow | None:
    """Read the next row of CSV; None of an empty one.

    Args:
        reader: A `csv.reader` over the lines.
        lines: Lines behind the first of what is no row are given back.
        header: What rows look like.
        number: The line it begins on.

    Raises:
        StopIteration: There is none.
    """
    try:
        row = next(reader)
    except csv.Error as wrong:
        reason = f"broken quotes: {wrong}"
    else:
        taken = lines.taken
        if len(row) == header.width and not isinstance(taken[-1], Cut):
            texts = tuple(row[at] for at in header.places)
            raw = taken[0] if len(taken) == 1 else "".join(taken)
            return Line(number, texts, raw, len(taken))
        if not row:
            return None
        reason = f"the row has {len(row)} columns, the header has {header.width}"
    first, *rest = lines.taken
    if isinstance(first, Cut):
        reason = TOO_LONG
    lines.given_back.extendleft(reversed(rest))
    lines.taken = [first]
    return NoRow(number, reason, first)


def _csv_rows(lines: Lines, mapping: FileMapping, *, file: str, skip: int) -> Iterator[_Read]:
    reader = csv.reader(lines, delimiter=mapping.delimiter, strict=True)
    header = Header.of(next(reader, []), mapping, file=file)
    number = 1 + len(lines.taken)
    while number <= skip and next(lines, None) is not None:
        number += 1
    while True:
        lines.taken = []
        try:
            row = read_row(reader, lines, header, number)
        except StopIteration:
            return
        if row is not None:
            yield row
        number += len(lines.taken)


def first_row(source: IO[str], mapping: FileMapping) -> str:
    """Return the row of a CSV source that names its columns, as it stands there."""
    lines = Lines(iter(source))
    try:
        next(csv.reader(lines, delimiter=mapping.delimiter, strict=True), None)
    except csv.Error:
        return ""
    return "".join(lines.taken).rstrip("\r\n")


def csv_blocks(
    source: IO[str], mapping: FileMapping, *, file: str, rows_max: int, begun: Position = START
) -> Iterator[Block]:
    """Read CSV whose first row names the columns.

    Lines are physical, counted from 1 at the header; a row with quoted newlines has several.
    """
    rows = _csv_rows(Lines(_bounded(source)), mapping, file=file, skip=begun.line)
    return _blocks(rows, mapping, file=file, rows_max=rows_max, begun=begun)


def _value_at(row: dict[str, object], name: str) -> str | None:
    """Return the text of a column, which may lie in nested objects.

    Raises:
        ValueError: It is a list or an object.
    """
    value: object = row.get(name)
    if value is None and "." in name and name not in row:
        value = row
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
    match value:
        case None | str():
            return value
        case bool():
            return "true" if value else "false"
        case _:
            raise ValueError(f"column {name!r} holds a {type(value).__name__}, not a value")


def _json_rows(source: IO[str], names: Sequence[str], *, skip: int) -> Iterator[_Read]:
    for number, line in enumerate(_bounded(source), start=1):
        if number <= skip or not line.strip():
            continue
        try:
            if isinstance(line, Cut):
                raise ValueError(TOO_LONG)
            # Numbers stay the text they are: 6.31 must not become the double next to it.
            row = json.loads(line, parse_float=str, parse_int=str, parse_constant=str)
            if not isinstance(row, dict):
                raise ValueError(f"the line is not a JSON object but a {type(row).__name__}")
            yield Line(number, [_value_at(row, name) for name in names], line)
        except (ValueError, RecursionError) as wrong:
            yield NoRow(number, str(wrong), line)


def json_blocks(
    source: IO[str], mapping: FileMapping, *, file: str, rows_max: int, begun: Position = START
) -> Iterator[Block]:
    """Read JSON Lines: one object a line. A column that a line lacks is empty."""
    rows = _json_rows(source, mapping.columns, skip=begun.line)
    return _blocks(rows, mapping, file=file, rows_max=rows_max, begun=begun)
