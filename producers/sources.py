"""Sources: the rows of CSV, JSON Lines and Parquet files, in blocks of texts by column.

Whatever a file holds, a number comes out as the text that stands in it: no double is made of a
decimal on the way. What isn't a row of the file at all is refused here, as `row_unmapped`, and
reading goes on with the next line. After broken quotes it goes on with the second physical line, so
that one stray quote costs one line and not the rest of the file.
"""

import csv
import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from itertools import islice
from operator import itemgetter
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

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
class Block:
    """Rows that can be handed to the mapping, and what was refused on the way to them."""

    rows: Rows
    refused: list[UnmappedRow]


@dataclass(frozen=True, slots=True)
class _Line:
    """A row as read: where it begins, its texts in the order of the mapping's columns, itself."""

    number: int
    texts: Texts
    raw: str


@dataclass(frozen=True, slots=True)
class _NoRow:
    """What stands where a row should be."""

    number: int
    reason: str
    raw: str


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


def _blocks(
    read: Iterator[_Line | _NoRow], mapping: FileMapping, *, file: str, rows_max: int
) -> Iterator[Block]:
    """Gather rows into blocks of at most `rows_max`, refusing those that aren't text."""

    def bytes_of(raw: str) -> bytes:
        # What can't be mapped can't be parted into what is secret and what is not.
        if mapping.natural_columns:
            return b""
        try:
            return raw.rstrip("\r\n").encode(mapping.encoding, "surrogateescape")
        except UnicodeEncodeError:
            # What stands for bytes that were no text cannot be written in every encoding.
            return raw.rstrip("\r\n").encode("utf-8", "surrogatepass")

    names = mapping.columns
    while taken := _taken(read, rows_max):
        lines = [row for row in taken if isinstance(row, _Line)]
        refused = [
            UnmappedRow(file, row.number, CODE, row.reason, bytes_of(row.raw))
            for row in taken
            if isinstance(row, _NoRow)
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
        columns: Sequence[Texts] = list(zip(*(row.texts for row in lines), strict=True))
        rows = Rows(
            dict(zip(names, columns or [()] * len(names), strict=True)),
            [row.number for row in lines],
            partial(lambda lines, at: bytes_of(lines[at].raw), lines),
        )
        yield Block(rows, refused)


def _taken(read: Iterator[_Line | _NoRow], rows_max: int) -> list[_Line | _NoRow]:
    taken, chars = [], 0
    for row in islice(read, rows_max):
        taken.append(row)
        chars += len(row.raw)
        if chars >= BLOCK_CHARS_MAX:
            break
    return taken


class _Cut(str):
    """The beginning of a line that is too long."""

    __slots__ = ()


def _bounded(source: IO[str]) -> Iterator[str]:
    """Yield physical lines; of one that is too long its beginning."""
    while line := source.readline(LINE_CHARS_MAX + 1):
        if len(line) <= LINE_CHARS_MAX or line.endswith(("\n", "\r")):
            yield line
            continue
        yield _Cut(line[:LINE_CHARS_MAX])
        while (rest := source.readline(LINE_CHARS_MAX)) and not rest.endswith(("\n", "\r")):
            pass


class _Lines:
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


def _csv_rows(lines: _Lines, mapping: FileMapping, *, file: str) -> Iterator[_Line | _NoRow]:
    reader = csv.reader(lines, delimiter=mapping.delimiter, strict=True)
    header = [name.strip() for name in next(reader, [])]
    check_columns(mapping, header, file=file)
    places = [header.index(name) for name in mapping.columns]
    pick: Callable[[list[str]], Texts] = (
        itemgetter(*places) if len(places) > 1 else lambda row: tuple(row[at] for at in places)
    )
    width, number = len(header), 1
    while True:
        number += len(lines.taken)
        lines.taken = []
        try:
            row = next(reader, None)
        except csv.Error as wrong:
            reason = f"broken quotes: {wrong}"
        else:
            if row is None:
                return
            if len(row) == width and not isinstance(lines.taken[-1], _Cut):
                taken = lines.taken
                yield _Line(number, pick(row), taken[0] if len(taken) == 1 else "".join(taken))
                continue
            if not row:
                continue
            reason = f"the row has {len(row)} columns, the header has {width}"
        first, *rest = lines.taken
        if isinstance(first, _Cut):
            reason = TOO_LONG
        lines.given_back.extendleft(reversed(rest))
        lines.taken = [first]
        yield _NoRow(number, reason, first)


def first_row(source: IO[str], mapping: FileMapping) -> str:
    """Return the row of a CSV source that names its columns, as it stands there."""
    lines = _Lines(iter(source))
    try:
        next(csv.reader(lines, delimiter=mapping.delimiter, strict=True), None)
    except csv.Error:
        return ""
    return "".join(lines.taken).rstrip("\r\n")


def csv_blocks(
    source: IO[str], mapping: FileMapping, *, file: str, rows_max: int
) -> Iterator[Block]:
    """Read CSV whose first row names the columns.

    Lines are physical, counted from 1 at the header; a row with quoted newlines has several.
    """
    rows = _csv_rows(_Lines(_bounded(source)), mapping, file=file)
    return _blocks(rows, mapping, file=file, rows_max=rows_max)


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


def _json_rows(source: IO[str], names: Sequence[str]) -> Iterator[_Line | _NoRow]:
    for number, line in enumerate(_bounded(source), start=1):
        if not line.strip():
            continue
        try:
            if isinstance(line, _Cut):
                raise ValueError(TOO_LONG)
            # Numbers stay the text they are: 6.31 must not become the double next to it.
            row = json.loads(line, parse_float=str, parse_int=str, parse_constant=str)
            if not isinstance(row, dict):
                raise ValueError(f"the line is not a JSON object but a {type(row).__name__}")
            yield _Line(number, [_value_at(row, name) for name in names], line)
        except (ValueError, RecursionError) as wrong:
            yield _NoRow(number, str(wrong), line)


def json_blocks(
    source: IO[str], mapping: FileMapping, *, file: str, rows_max: int
) -> Iterator[Block]:
    """Read JSON Lines: one object a line. A column that a line lacks is empty."""
    rows = _json_rows(source, mapping.columns)
    return _blocks(rows, mapping, file=file, rows_max=rows_max)


def _parquet_texts(column: pa.Array, name: str, mapping: FileMapping) -> Texts:
    """Return a column as texts: doubles as their shortest digits, times in ISO 8601."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        texts: list[str | None] = pc.cast(column, pa.string()).to_pylist()
    except pa.ArrowNotImplementedError:
        raise MappingError(
            f"{mapping.origin}: column {name!r} of type {column.type} is no single value"
        ) from None
    return texts


def parquet_blocks(
    source: IO[bytes], mapping: FileMapping, *, file: str, rows_max: int
) -> Iterator[Block]:
    """Read Parquet; a row's line is its number from 1, its bytes the mapped columns as JSON."""
    parquet = pq.ParquetFile(source)
    check_columns(mapping, parquet.schema_arrow.names, file=file)
    names, start = mapping.columns, 1
    for batch in parquet.iter_batches(batch_size=rows_max, columns=list(names)):
        columns = {name: _parquet_texts(batch.column(name), name, mapping) for name in names}

        def raw(at: int, columns: dict[str, Texts] = columns) -> bytes:
            row = {name: texts[at] for name, texts in columns.items()}
            return json.dumps(row, ensure_ascii=False).encode()

        yield Block(Rows(columns, range(start, start + batch.num_rows), raw), [])
        start += batch.num_rows
