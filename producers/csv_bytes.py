"""CSV from its bytes: regular rows found by a kernel, irregular ones read as text.

What comes out is what `sources.csv_blocks` gives for the same file, row by row and refusal by
refusal; it only comes out sooner. The bytes are read in windows; those of another encoding become
UTF-8 first. A window with bytes that are no text is read as text from its beginning to its end, so
that the rows which have them can be refused as they are.
"""

from __future__ import annotations

import codecs
import csv
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import UnsupportedOperation
from typing import IO, Any, Final, Protocol

import numpy as np
import pyarrow as pa

from producers.rows import Rows, UnmappedRow
from producers.rules import FileMapping
from producers.sources import (
    BLOCK_CHARS_MAX,
    LINE_CHARS_MAX,
    START,
    Block,
    Cut,
    Header,
    Line,
    Lines,
    NoRow,
    Position,
    part_of,
    read_row,
)
from producers.split import FULL, MORE, ROW_BYTES_MAX, UNREAD, Split, split
from schemas.kernel import Int64Array

WINDOW_BYTES: Final = 4 << 20
LINE_BYTES_MAX: Final = 4 * LINE_CHARS_MAX + 4
"""More than a line may have, for a character has four bytes at most."""
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
        window = _Window(source, window_bytes)
    else:
        window = _Window(_AsUtf8(source, mapping.encoding), window_bytes, "surrogatepass")
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


def _header(window: _Window, mapping: FileMapping, *, file: str) -> Header:
    while len(window.data) < len(MARK) and not window.ended:
        window.fill()
    if mapping.encoding == "utf-8" and window.data.startswith(MARK):
        window.at = len(MARK)
    lines = window.lines()
    reader = csv.reader(lines, delimiter=mapping.delimiter, strict=True)
    row = next(reader, [])
    window.pass_by(lines)
    return Header.of(row, mapping, file=file)


class _Source(Protocol):
    """What bytes come from: a file, or what unpacks or rewrites it."""

    def read(self, size: int, /) -> bytes:
        """Return some more bytes, none at the end."""

    def seek(self, offset: int, /) -> int:
        """Go elsewhere."""

    def seekable(self) -> bool:
        """Return whether it can."""


class _AsUtf8:
    """A source in another encoding as UTF-8; bytes that are no text are lone surrogates."""

    def __init__(self, source: IO[bytes], encoding: str) -> None:
        self._source = source
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")

    def read(self, size: int, /) -> bytes:
        """Return what so many bytes become, maybe more bytes than that."""
        while True:
            chunk = self._source.read(size)
            text = self._decoder.decode(chunk, final=not chunk)
            if text or not chunk:
                return text.encode("utf-8", "surrogatepass")

    def seek(self, offset: int, /) -> int:
        """Say that it can't."""
        raise UnsupportedOperation(f"no way to {offset}: characters differ in their bytes")

    def seekable(self) -> bool:
        """Return that it can't be sought."""
        return False


class _Window:
    """Some bytes of a source, and where in them the next row begins.

    Attributes:
        data: The bytes.
        at: Where the next row begins in them.
        line: Physical lines before it.
        ended: Whether nothing comes behind the bytes.
    """

    def __init__(self, source: _Source, size: int, errors: str = "surrogateescape") -> None:
        self.data = b""
        self.at = 0
        self.line = 0
        self.ended = False
        self._source = source
        self._size = size
        self._errors = errors
        self._before = 0

    @property
    def offset(self) -> int:
        """How far into the source the next row begins."""
        return self._before + self.at

    def fill(self) -> None:
        """Drop what was read, and read on."""
        self._drop()
        self.data += self._read()

    def _drop(self) -> None:
        self._before += self.at
        self.data, self.at = self.data[self.at :], 0

    def go_to(self, offset: int, *, line: int) -> None:
        """Go to a row further on; what lies between is read where the source can't be sought."""
        kept = b""
        if self._source.seekable():
            self._source.seek(offset)
        else:
            left = offset - self._before - len(self.data)
            kept = self.data[left:] if left < 0 else b""
            while left > 0 and (chunk := self._source.read(min(left, self._size))):
                kept = chunk[left:]
                left -= len(chunk)
        self.data, self.at, self.line, self.ended, self._before = kept, 0, line, False, offset

    def lines(self) -> _SizedLines:
        """Return the physical lines from the next row on, which stay unread until passed by."""
        return _SizedLines(self)

    def line_at(self, at: int) -> tuple[str, int] | None:
        """Return the line that begins at a position and its bytes; None behind the last.

        Of one that is too long only the beginning is returned.
        """
        end = self._end_of_line(at)
        if end == at:
            return None
        text = self.data[at:end].decode("utf-8", self._errors)
        if len(text) > LINE_CHARS_MAX and not text[: LINE_CHARS_MAX + 1].endswith(("\n", "\r")):
            text = Cut(text[:LINE_CHARS_MAX])
        return text, end - at

    def _end_of_line(self, at: int) -> int:
        looked = at
        while True:
            feed = self.data.find(b"\n", looked)
            back = self.data.find(b"\r", looked, len(self.data) if feed < 0 else feed)
            if back >= 0 and back + 1 < len(self.data):
                return back + 2 if back + 1 == feed else back + 1
            if back < 0 and feed >= 0:
                return feed + 1
            if self.ended:
                return len(self.data)
            if len(self.data) - at > LINE_BYTES_MAX:
                return self._cut(at)
            looked = len(self.data) if back < 0 else back
            self.data += self._read()

    def _read(self) -> bytes:
        chunk = self._source.read(self._size)
        self.ended = not chunk
        return chunk

    def _cut(self, at: int) -> int:
        """Drop what a line has above LINE_BYTES_MAX bytes, and return where it ends then."""
        kept, rest = self.data[: at + LINE_BYTES_MAX], self.data[at + LINE_BYTES_MAX :]
        while rest.find(b"\n") < 0 and rest.find(b"\r") < 0 and not self.ended:
            self._before += len(rest)
            rest = self._read()
        ends = [place for place in (rest.find(b"\n"), rest.find(b"\r")) if place >= 0]
        end = min(ends, default=len(rest))
        self._before += end
        self.data = kept + rest[end:]
        return self._end_of_line(at + LINE_BYTES_MAX - 1)

    def pass_by(self, lines: _SizedLines) -> None:
        """Go behind the lines that were taken for a row."""
        self.at += sum(lines.sizes[: len(lines.taken)])
        self.line += len(lines.taken)
        if self.at > self._size:
            self._drop()


class _SizedLines(Lines):
    """Lines of a window, with the bytes of each."""

    def __init__(self, window: _Window) -> None:
        self.sizes: list[int] = []
        super().__init__(self._read(window, window.at))

    def _read(self, window: _Window, at: int) -> Iterator[str]:
        while (found := window.line_at(at)) is not None:
            line, size = found
            self.sizes.append(size)
            at += size
            yield line


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
        self, window: _Window, mapping: FileMapping, header: Header, slots: Int64Array, file: str
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
