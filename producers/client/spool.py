"""The spool: messages on disk, in order and numbered from 0, until the broker has them.

A folder holds segments, each named for the number of its first message, and `delivered`, the
number of the first that the broker may not have. What `append` has returned for survives the end
of the process in any way, kill -9 included: the system has it. It survives the end of the machine
once it is synced: before `append` returns with `fsync_ms` 0, else at most so much later.

After a restart everything from `delivered` on is sent again. That number is written now and then,
so some of it is on its topic already; an event's identity tells repeats.

    a message: u32 size of the rest, u32 CRC-32 of it, i64 timestamp, u8 size of topic, u16 of key,
               topic, key, value

The timestamp of one that was sent in a recorded span has TRACED set; then its traceparent comes
before the topic.

A last message that was cut off is no message: `append` had not returned. What was cut off goes
to `torn`, and `Spool.torn_bytes` says how much it is. Anything else that does not read is a
`SpoolError`: whether to do without it is not for us to decide.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final
from zlib import crc32

from producers.client.delivery import Message
from schemas.traceparents import BYTES, TRACEPARENT

HEAD: Final = struct.Struct(">II")
BODY: Final = struct.Struct(">qBH")
TRACED: Final = 1 << 62
"""No timestamp is as large."""
SUFFIX: Final = ".spool"
SEGMENT_BYTES: Final = 64 * 1024 * 1024
NOTED_S: Final = 0.2
"""How often `delivered` is written."""
READ_BYTES: Final = 256 * 1024


class SpoolError(Exception):
    """The spool can't be used; the message says why."""


@dataclass(slots=True)
class Segment:
    """A file of messages, first to end."""

    path: Path
    first: int
    end: int
    bytes: int


def packed(message: Message) -> bytes:
    """Return a message as it lies in a segment."""
    name, key, value, timestamp_ms, headers = message
    topic, span = name.encode(), b""
    if headers is not None:
        ((_, span),) = headers
        timestamp_ms |= TRACED
    body = b"".join((BODY.pack(timestamp_ms, len(topic), len(key)), span, topic, key, value))
    return HEAD.pack(len(body), crc32(body)) + body


def unpacked(data: bytes, at: int) -> tuple[Message, int] | None:
    """Return the message at a position and the position behind it; None if it isn't whole."""
    if at + HEAD.size > len(data):
        return None
    size, check = HEAD.unpack_from(data, at)
    begin, end = at + HEAD.size, at + HEAD.size + size
    if end > len(data) or size < BODY.size or crc32(memoryview(data)[begin:end]) != check:
        return None
    timestamp_ms, topic_bytes, key_bytes = BODY.unpack_from(data, begin)
    topic_at, headers = begin + BODY.size, None
    if timestamp_ms & TRACED:
        timestamp_ms ^= TRACED
        headers = [(TRACEPARENT, data[topic_at : topic_at + BYTES])]
        topic_at += BYTES
    key_at = topic_at + topic_bytes
    value_at = key_at + key_bytes
    topic = data[topic_at:key_at].decode()
    return (topic, data[key_at:value_at], data[value_at:end], timestamp_ms, headers), end


class Spool:
    """Messages on disk. One thread may read and note what is delivered; any may append."""

    def __init__(
        self, folder: Path, *, bytes_max: int, fsync_ms: int, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        """Open a folder, made where missing, and take up what is in it.

        Raises:
            SpoolError: Another process has it, or it can't be read or written.
        """
        self.folder = folder
        self.bytes_max = bytes_max
        self.fsync_s = fsync_ms / 1000
        self.segment_bytes = min(segment_bytes, bytes_max // 2)
        self.torn_bytes = 0
        self._lock = Lock()
        self._noted_at = self._synced_at = time.monotonic()
        self._synced = True
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._owned = _owned(folder / "lock")
            self._noted = self.delivered = _noted(folder / "delivered")
            self._segments = self._found()
            self.bytes = sum(segment.bytes for segment in self._segments)
            self._tail = self._opened(self._segments[-1])
        except OSError as error:
            raise SpoolError(f"{folder}: {error.strerror}") from error

    @property
    def end(self) -> int:
        """The number that the next message gets."""
        return self._segments[-1].end

    def append(self, message: Message) -> int | None:
        """Add a message and return its number; None if there is no room for it.

        Raises:
            SpoolError: It can't be written; nothing of it is left.
        """
        data = packed(message)
        with self._lock:
            last = self._segments[-1]
            if last.bytes and last.bytes + len(data) > self.segment_bytes:
                last = self._rolled(last)
            if self.bytes + len(data) > self.bytes_max:
                return None
            try:
                if os.write(self._tail, data) < len(data):
                    raise SpoolError(f"{last.path}: the disk is full")
                if not self.fsync_s:
                    os.fsync(self._tail)
            except (OSError, SpoolError) as error:
                os.ftruncate(self._tail, last.bytes)
                raise SpoolError(f"{last.path}: {error}") from error
            self._synced = False
            self.bytes += len(data)
            last.bytes += len(data)
            last.end += 1
            return last.end - 1

    def messages(self, number: int) -> Iterator[tuple[int, Message] | None]:
        """Yield the messages from a number on with their numbers, and None where there is none yet.

        Raises:
            SpoolError: One can't be read.
        """
        while True:
            segment = self._of(number)
            with segment.path.open("rb", buffering=0) as file:
                at, data, current = 0, b"", segment.first
                while current < segment.end or segment is self._segments[-1]:
                    found = unpacked(data, at)
                    if found is None:
                        more = file.read(min(READ_BYTES, segment.bytes - file.tell()))
                        if more:
                            data, at = data[at:] + more, 0
                            continue
                        if current < segment.end and file.tell() >= segment.bytes:
                            raise SpoolError(f"{segment.path}: message {current} does not read")
                        yield None
                        continue
                    message, at = found
                    if current >= number:
                        yield current, message
                        number = current + 1
                    current += 1

    def note(self, delivered: int, *, now: bool = False) -> None:
        """Take it that the broker has everything below a number; sync and write when it is due."""
        self.delivered = delivered
        moment = time.monotonic()
        if not self._synced and (now or moment - self._synced_at >= self.fsync_s):
            self._synced, self._synced_at = True, moment
            with self._lock:
                tail = os.dup(self._tail)  # Another thread may end this segment meanwhile.
            os.fsync(tail)
            os.close(tail)
        if delivered != self._noted and (now or moment - self._noted_at >= NOTED_S):
            self._write_delivered(delivered)
            self._noted, self._noted_at = delivered, moment
        with self._lock:
            while len(self._segments) > 1 and self._segments[0].end <= self._noted:
                self._forget_first()

    def close(self) -> None:
        """Sync, write and let others have the folder; what is delivered leaves the disk."""
        self.note(self.delivered, now=True)
        os.close(self._tail)
        if self.delivered == self.end:
            self._forget_first()
        os.close(self._owned)

    def _write_delivered(self, delivered: int) -> None:
        new = self.folder / "delivered.new"
        with new.open("w") as file:
            file.write(f"{delivered}\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.folder / "delivered")

    def _forget_first(self) -> None:
        first = self._segments[0]
        first.path.unlink()
        self.bytes -= first.bytes
        if len(self._segments) > 1:
            self._segments.pop(0)

    def _of(self, number: int) -> Segment:
        with self._lock:
            return next(one for one in reversed(self._segments) if one.first <= number)

    def _empty(self, first: int) -> Segment:
        return Segment(self.folder / f"{first:020d}{SUFFIX}", first, first, 0)

    def _rolled(self, last: Segment) -> Segment:
        os.fsync(self._tail)
        os.close(self._tail)
        new = self._empty(last.end)
        self._tail = self._opened(new)
        self._segments.append(new)
        return new

    def _opened(self, segment: Segment) -> int:
        descriptor = os.open(segment.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        folder = os.open(self.folder, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        return descriptor

    def _found(self) -> list[Segment]:
        """Return the segments there are, the last one read and mended."""
        paths = sorted(self.folder.glob(f"*{SUFFIX}"))
        firsts = [int(path.stem) for path in paths]
        if not paths:
            return [self._empty(self.delivered)]
        if firsts[0] > self.delivered:
            raise SpoolError(f"{self.folder}: messages from {self.delivered} on are missing")
        found = [
            Segment(path, first, end, path.stat().st_size)
            for path, first, end in zip(paths, firsts, [*firsts[1:], 0], strict=True)
        ]
        last = found[-1]
        data, at, last.end = last.path.read_bytes(), 0, last.first
        while (message := unpacked(data, at)) is not None:
            at, last.end = message[1], last.end + 1
        if at < len(data):
            self.torn_bytes = len(data) - at
            (self.folder / "torn").write_bytes(data[at:])
            os.truncate(last.path, at)
        last.bytes = at
        if last.end < self.delivered:
            # The machine ended before they were synced, but the broker had them.
            found.append(self._empty(self.delivered))
        return found


def _owned(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise SpoolError(f"{path.parent}: another process sends from it") from None
    return descriptor


def _noted(path: Path) -> int:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return 0
    if not text.strip().isdigit():
        raise SpoolError(f"{path}: it holds no number")
    return int(text)
