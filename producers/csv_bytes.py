"""CSV from its bytes: regular rows found by a kernel, irregular ones read as text.

What comes out is what `sources.csv_blocks` gives for the same file, row by row and refusal by
refusal; it only comes out sooner. The bytes are read in windows; those of another encoding become
UTF-8 first. A window with bytes that are no text is read as text from its beginning to its end, so
that the rows which have them can be refused as they are.
"""

from __future__ import annotations

import csv
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any, Final

import numpy as np
import pyarrow as pa

from producers.rows import Rows, UnmappedRow
from producers.rules import FileMapping
from producers.sources import (
    BLOCK_CHARS_MAX,
    START,
    Block,
    Header,
    Line,
    NoRow,
    Position,
    part_of,
    read_row,
)
from producers.split import FULL, MORE, ROW_BYTES_MAX, UNREAD, Split, split
from producers.window import AsUtf8, Window
from schemas.kernel import Int64Array

WINDOW_BYTES: Final = 4 << 20
TEXT_ROWS_MAX: Final = 4096
"""So many rows are read as text, at most, until regular ones are looked for again."""
FEW: Final = 16
"""Where fewer regular rows than this stand between irregular ones, they are not looked for."""
MARK: Final = b"\xef\xbb\xbf"
"""A byte order mark, which is no part of the first column's name."""


def is_readable(mapping: FileMapping) -> bool:
    """Return whether a file of this mapping can be read from its bytes."""
    mark = mapping.delimiter
    return mark.isascii() and mark not in '"\r\n'


def csv_byte_blocks(
    source: IO[bytes],
    mapping: FileMapping,
    *,
    file: str,
    rows_max: int,
    begun: Position = START,
    window_bytes: int = WINDOW_BYTES,
) -> Iterator[Block]:
    """Read CSV whose first row names the columns; see `sources.csv_blocks`."""
    if mapping.encoding == "utf-8":
        window = Window(source, window_bytes)
    else:
        window = Window(AsUtf8(source, mapping.encoding), window_bytes, "surrogatepass")
    header = _header(window, mapping, file=file)
    if begun.offset:
        window.go_to(begun.offset, line=begun.line)
    slots = np.full(header.width, UNREAD, dtype=np.int64)
    slots[list(header.places)] = np.arange(len(header.places))
    reader = _Reader(window, mapping, header, slots, file)
    done = begun.rows
    while True:
        taken = _Taken(mapping)
        while taken.count < rows_max and taken.bytes < BLOCK_CHARS_MAX:
            if not reader.read_into(taken, rows_max - taken.count):
                break
        if not taken.count:
            return
        done += taken.count
        yield Block(taken.rows(), taken.refused, Position(done, window.line, window.offset))


def _header(window: Window, mapping: FileMapping, *, file: str) -> Header:
    while len(window.data) < len(MARK) and not window.ended:
        window.fill()
    if mapping.encoding == "utf-8" and window.data.startswith(MARK):
        window.at = len(MARK)
    lines = window.lines()
    reader = csv.reader(lines, delimiter=mapping.delimiter, strict=True)
    row = next(reader, [])
    window.pass_by(lines)
    return Header.of(row, mapping, file=file)


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows that lie one after another in a block."""

    columns: Sequence[Any]
    lines: Sequence[int] | Int64Array
    raws: Callable[[int], bytes]


class _Taken:
    """What a block will hold."""

    def __init__(self, mapping: FileMapping) -> None:
        self.names = mapping.columns
        self.encoding = mapping.encoding
        self.parts: list[_Part] = []
        self.refused: list[UnmappedRow] = []
        self.count = 0
        self.bytes = 0

    def add_regular(self, found: Split, data: bytes) -> None:
        """Add rows of a window."""
        begins, ends = found.row_begins, found.row_ends
        columns = [found.column(data, column) for column in range(len(self.names))]
        encoding = self.encoding

        def raw(at: int) -> bytes:
            row = data[begins[at] : ends[at]]
            return row if encoding == "utf-8" else row.decode("utf-8").encode(encoding)

        self.parts.append(_Part(columns, found.lines, raw))
        self.count += len(found)
        self.bytes += int(ends[-1] - begins[0])

    def add_text(self, taken: Sequence[Line | NoRow], mapping: FileMapping, file: str) -> None:
        """Add rows that were read as text."""
        rows, refused = part_of(taken, mapping, file=file)
        columns = [rows.columns[name] for name in self.names]
        self.parts.append(_Part(columns, rows.lines, rows.raws))
        self.refused += refused
        self.count += len(taken)
        self.bytes += sum(len(row.raw) for row in taken)

    def rows(self) -> Rows:
        """Return the rows of all parts as one."""
        parts = [part for part in self.parts if len(part.lines)]
        if len(parts) == 1:
            (part,) = parts
            return Rows(dict(zip(self.names, part.columns, strict=True)), part.lines, part.raws)
        columns = {
            name: pa.concat_arrays([part.columns[at] for part in parts])
            if parts
            else pa.array([], pa.string())
            for at, name in enumerate(self.names)
        }
        starts = np.cumsum([0, *(len(part.lines) for part in parts)]).tolist()

        def raw(at: int) -> bytes:
            index = bisect_right(starts, at) - 1
            return parts[index].raws(at - starts[index])

        lines = [np.asarray(part.lines, dtype=np.int64) for part in parts]
        return Rows(columns, np.concatenate(lines) if lines else [], raw)


class _Reader:
    """Reads rows of a window, regular ones as long as there are some."""

    def __init__(
        self, window: Window, mapping: FileMapping, header: Header, slots: Int64Array, file: str
    ) -> None:
        self._window = window
        self._mapping = mapping
        self._header = header
        self._slots = slots
        self._file = file
        self._text_until = 0
        """The offset up to which rows are read as text."""
        self._text_rows = 0
        """How many more are, wherever they are."""
        self._patience = 1

    def read_into(self, taken: _Taken, rows_max: int) -> bool:
        """Add some rows, `rows_max` at most; return whether there may be more."""
        window = self._window
        if self._is_text():
            return self._read_text(taken, rows_max)
        found = split(
            window.data,
            window.at,
            line=window.line + 1,
            delimiter=self._mapping.delimiter,
            slots=self._slots,
            rows_max=rows_max,
        )
        if not _is_utf8(window.data[window.at : found.at]):
            self._text_until = window.offset + found.at - window.at
            return True
        if len(found):
            taken.add_regular(found, window.data)
        window.at, window.line = found.at, found.line - 1
        if found.why == FULL:
            return True
        if found.why == MORE and not window.ended and len(window.data) - window.at <= ROW_BYTES_MAX:
            window.fill()
            return True
        self._patience = min(self._patience * 2, TEXT_ROWS_MAX) if len(found) < FEW else 1
        self._text_rows = self._patience
        return True

    def _is_text(self) -> bool:
        return self._text_rows > 0 or self._window.offset < self._text_until

    def _read_text(self, taken: _Taken, rows_max: int) -> bool:
        window = self._window
        rows: list[Line | NoRow] = []
        more = True
        while more and len(rows) < rows_max and self._is_text():
            lines = window.lines()
            reader = csv.reader(lines, delimiter=self._mapping.delimiter, strict=True)
            try:
                row = read_row(reader, lines, self._header, window.line + 1)
            except StopIteration:
                more = False
            else:
                window.pass_by(lines)
                self._text_rows -= 1
                if row is not None:
                    rows.append(row)
        if rows:
            taken.add_text(rows, self._mapping, self._file)
        return more


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
