"""Window: some bytes of a source at a time, and the physical lines in them.

Where the next row begins is told in bytes and in lines, so that a reader can go on there later. Of
a line that is too long only the beginning is ever held. Bytes of another encoding become UTF-8.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from io import UnsupportedOperation
from typing import IO, Final, Protocol

from producers.sources import LINE_CHARS_MAX, Cut, Lines

LINE_BYTES_MAX: Final = 4 * LINE_CHARS_MAX + 4
"""More than a line may have, for a character has four bytes at most."""


class ByteSource(Protocol):
    """What bytes come from: a file, or what unpacks or rewrites it."""

    def read(self, size: int, /) -> bytes:
        """Return some more bytes, none at the end."""

    def seek(self, offset: int, /) -> int:
        """Go elsewhere."""

    def seekable(self) -> bool:
        """Return whether it can."""


class AsUtf8:
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


class Window:
    """Some bytes of a source, and where in them the next row begins.

    Attributes:
        data: The bytes.
        at: Where the next row begins in them.
        line: Physical lines before it.
        ended: Whether nothing comes behind the bytes.
    """

    def __init__(self, source: ByteSource, size: int, errors: str = "surrogateescape") -> None:
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

    def lines(self) -> SizedLines:
        """Return the physical lines from the next row on, which stay unread until passed by."""
        return SizedLines(self)

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

    def pass_by(self, lines: SizedLines) -> None:
        """Go behind the lines that were taken for a row."""
        self.at += sum(lines.sizes[: len(lines.taken)])
        self.line += len(lines.taken)
        if self.at > self._size:
            self._drop()


class SizedLines(Lines):
    """Lines of a window, with the bytes of each."""

    def __init__(self, window: Window) -> None:
        self.sizes: list[int] = []
        super().__init__(self._read(window, window.at))

    def _read(self, window: Window, at: int) -> Iterator[str]:
        while (found := window.line_at(at)) is not None:
            line, size = found
            self.sizes.append(size)
            at += size
            yield line
