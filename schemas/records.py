"""Fetched records as columns: Kafka's record batches, read without a Python object for a record.

`RecordColumns` walks the bytes of one fetched partition as aiokafka's own `PartitionRecords` does:
it checks checksums, leaves out aborted transactions and control batches, and knows the offset to
go on from. It yields `Records`, as many at a time as it is told.

Source: Apache Kafka protocol guide, record batch v2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from aiokafka.errors import CorruptRecordException
from aiokafka.record.control_record import ABORT_MARKER, ControlRecord

from schemas.checksums import crc32c
from schemas.headers import headers_at
from schemas.kernel import BROKEN, Int64Array, Number, UInt8Array, bytes_of, kernel, read_varint
from schemas.packing import UNPACKED_BYTES_MAX, unpacked
from schemas.raw import NULL, Raw

HEADER_BYTES: Final = 61
CHECKED_FROM: Final = 21
"""Where the bytes begin that the checksum covers: the attributes."""

# Columns of a table of batch headers, and of a table of records.
AT, SIZE, BASE, MAGIC, CRC, ATTRIBUTES, LAST, FIRST_TIME, MAX_TIME, PRODUCER, COUNT = range(11)
OFFSET, TIMESTAMP, KEY_AT, KEY_SIZE, VALUE_AT, VALUE_SIZE, HEADERS_AT = range(7)

RECORD_BYTES_MIN: Final = 7
"""Size, attributes, time, offset, key, value and headers take a byte each at least."""
MARKER_BYTES: Final = 4
OFFSET_MAX: Final = 2**62

CODEC: Final = 0x07
LOG_APPEND_TIME: Final = 0x08
TRANSACTIONAL: Final = 0x10
CONTROL: Final = 0x20


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """Consecutive records of one partition, n of them.

    Attributes:
        offsets: Offset of each, ascending, shape (n,).
        timestamps_ms: Kafka timestamp of each, shape (n,).
        keys: Raw keys.
        values: Raw values; a tombstone is a null.
        headers_at: Where in the buffer of the values the headers of each begin, shape (n,).
        begin: The offset that was read from; -1 where not known. What lies between it and the first
            record was left out.
    """

    offsets: Int64Array
    timestamps_ms: Int64Array
    keys: Raw
    values: Raw
    headers_at: Int64Array
    begin: int = -1

    def __len__(self) -> int:
        return len(self.offsets)

    def headers(self, index: int) -> list[tuple[str, bytes]]:
        """Return the headers of a record; a null value reads as empty."""
        return headers_at(self.values.data, int(self.headers_at[index]))

    def have_headers(self) -> Int64Array:
        """Return which records have headers."""
        return np.flatnonzero(self.values.data[self.headers_at] != 0)


class RecordColumns(Iterator[Records]):
    """The records of one fetched partition.

    Args:
        data: What was fetched: batches, the last of which may be cut off.
        fetch_offset: The offset that was asked for; a batch may begin before it.
        aborted: Producer id and first offset of aborted transactions, in order of offset.
        read_committed: Whether to leave them out.
        check_crcs: Whether to check checksums.
        records_max: Asked for how many records to yield at a time.
    """

    def __init__(
        self,
        data: bytes,
        *,
        fetch_offset: int,
        aborted: Sequence[tuple[int, int]],
        read_committed: bool,
        check_crcs: bool,
        records_max: Callable[[], int],
    ) -> None:
        self.next_fetch_offset = fetch_offset
        self._data = bytes_of(data)
        self._aborted = list(aborted) if read_committed else []
        self._aborted_producers: set[int] = set()
        self._check_crcs = check_crcs
        self._records_max = records_max
        room = len(data) // HEADER_BYTES
        heads = np.empty((room, COUNT + 1), dtype=np.int64)
        self._heads = heads[: _walk(self._data, heads)]
        self._sound = _sound(self._heads)
        self._marker_of: dict[int, int] = {}
        self._next_batch = 0
        self._left: Records | None = None

    def __next__(self) -> Records:
        pieces, count, most, room = [], 0, self._records_max(), UNPACKED_BYTES_MAX
        begin = self.next_fetch_offset
        while count < most and room > 0 and (piece := self._piece()) is not None:
            pieces.append(self._bounded(piece, most - count))
            count += len(pieces[-1])
            room -= 0 if piece.values.data is self._data else len(piece.values.data)
        if not pieces:
            raise StopIteration
        # What the last batch has beyond its records, markers or compacted ones, is passed with it.
        self.next_fetch_offset = (
            int(pieces[-1].offsets[-1]) + 1 if self._left is not None else self._behind()
        )
        return replace(pieces[0] if len(pieces) == 1 else joined(pieces), begin=begin)

    def _behind(self) -> int:
        """Return the offset behind the last batch that was read."""
        head = self._heads[self._next_batch - 1]
        return int(head[BASE] + head[LAST]) + 1

    def _bounded(self, piece: Records, count: int) -> Records:
        self._left = _part(piece, count, len(piece)) if len(piece) > count else None
        return _part(piece, 0, count) if len(piece) > count else piece

    def _piece(self) -> Records | None:
        """Return the next records that lie together, None at the end."""
        if self._left is not None:
            return self._left
        while self._next_batch < len(self._heads):
            first = self._next_batch
            if first == self._sound:
                raise CorruptRecordException(f"batch {first} does not follow the one before it")
            self._next_batch += 1
            head = self._heads[first]
            data, at = self._opened(head)
            if self._is_left_out(first, data, at):
                self.next_fetch_offset = self._behind()
                continue
            if not head[ATTRIBUTES] & CODEC:
                self._extend()
            found = self._parsed(data, at, self._heads[first : self._next_batch])
            if len(found):
                return found
            self.next_fetch_offset = self._behind()
        return None

    def _extend(self) -> None:
        """Go on over uncompressed batches that need no look: small ones come by the thousand."""
        while self._next_batch < self._sound and not self._aborted:
            head = self._heads[self._next_batch]
            if head[ATTRIBUTES] & (CODEC | CONTROL) or head[PRODUCER] in self._aborted_producers:
                return
            self._opened(head)
            self._next_batch += 1

    def _opened(self, head: Int64Array) -> tuple[UInt8Array, int]:
        """Return a buffer with a batch's records and where they begin, its checksum checked."""
        at, size = int(head[AT]), int(head[SIZE])
        if head[MAGIC] != 2:
            raise CorruptRecordException(f"message format {head[MAGIC]}, and not 2")
        if self._check_crcs:
            checked = self._data[at + CHECKED_FROM : at + size]
            if crc32c(checked.tobytes()) != int(head[CRC]):
                raise CorruptRecordException(f"wrong checksum at offset {head[BASE]}")
        codec = int(head[ATTRIBUTES]) & CODEC
        if not codec:
            return self._data, at + HEADER_BYTES
        return unpacked(codec, self._data[at + HEADER_BYTES : at + size].tobytes()), 0

    def _is_left_out(self, batch: int, data: UInt8Array, at: int) -> bool:
        """Follow aborted transactions; return whether a batch belongs to one, or is a marker."""
        head = self._heads[batch]
        producer = int(head[PRODUCER])
        while self._aborted and self._aborted[0][1] <= head[BASE]:
            self._aborted_producers.add(self._aborted.pop(0)[0])
        if head[ATTRIBUTES] & CONTROL:
            if self._aborts(head, data, at):
                self._aborted_producers.discard(producer)
            return True
        if not head[ATTRIBUTES] & TRANSACTIONAL or producer not in self._aborted_producers:
            return False
        return not self._is_committed(batch)

    def _aborts(self, head: Int64Array, data: UInt8Array, at: int) -> bool:
        """Return whether a control batch aborts, and does not commit, a transaction."""
        marker = self._parsed(data, at, head[None, :], keep_all=True)
        key = marker.keys[0] if len(marker) else None
        if key is None or len(key) < MARKER_BYTES:
            raise CorruptRecordException(f"the marker at {head[BASE]} says nothing")
        return bool(ControlRecord.parse(key) == ABORT_MARKER)

    def _is_committed(self, batch: int) -> bool:
        """Return whether the marker that ends the transaction of a batch is here, and commits.

        The embedded broker names aborted transactions that ended before what was asked for; Apache
        Kafka does not. Taken at its word it would make a reader pass over committed records.
        """
        producer = int(self._heads[batch, PRODUCER])
        marker = self._marker_of.get(producer, -1)
        if marker <= batch:
            later = self._heads[batch + 1 :]
            found = (later[:, PRODUCER] == producer) & (later[:, ATTRIBUTES] & CONTROL != 0)
            marker = batch + 1 + (int(found.argmax()) if found.any() else len(later))
            self._marker_of[producer] = marker
        if marker == len(self._heads):
            return False
        head = self._heads[marker]
        return not self._aborts(head, *self._opened(head))

    def _parsed(
        self, data: UInt8Array, at: int, heads: Int64Array, *, keep_all: bool = False
    ) -> Records:
        """Return the records of batches that begin at or behind the offset to go on from."""
        alone = len(heads) == 1
        starts = np.array([at]) if alone else heads[:, AT] + HEADER_BYTES
        ends = heads[:, AT] + heads[:, SIZE]
        if alone and heads[0, ATTRIBUTES] & CODEC:
            ends = np.array([len(data)])
        counts, room = heads[:, COUNT], (ends - starts) // RECORD_BYTES_MIN
        if (counts < 0).any() or (counts > room).any():
            raise CorruptRecordException(f"the batch at {heads[0, BASE]} cannot hold its records")
        table = np.empty((int(counts.sum()), HEADERS_AT + 1), dtype=np.int64)
        least = 0 if keep_all else self.next_fetch_offset
        count = _parse(data, starts, ends, heads, least, table)
        if count == BROKEN:
            raise CorruptRecordException(f"records of the batch at {heads[0, BASE]} are broken")
        found = np.ascontiguousarray(table[:count].T)
        return Records(
            offsets=found[OFFSET],
            timestamps_ms=found[TIMESTAMP],
            keys=Raw(data, found[KEY_AT], found[KEY_SIZE]),
            values=Raw(data, found[VALUE_AT], found[VALUE_SIZE]),
            headers_at=found[HEADERS_AT],
        )


def joined(pieces: Sequence[Records]) -> Records:
    """Return consecutive records as one."""
    # Uncompressed batches share what was fetched, which is large: each buffer is copied once.
    buffers = {id(piece.values.data): piece.values.data for piece in pieces}
    data = bytes_of(np.concatenate(list(buffers.values())))
    ends = np.cumsum([len(each) for each in buffers.values()]).tolist()
    base_of = dict(zip(buffers, [0, *ends[:-1]], strict=True))
    bases = [base_of[id(piece.values.data)] for piece in pieces]

    def moved(columns: Sequence[Int64Array]) -> Int64Array:
        return np.concatenate([column + base for column, base in zip(columns, bases, strict=True)])

    def raws(parts: Sequence[Raw]) -> Raw:
        sizes = np.concatenate([part.sizes for part in parts])
        return Raw(data, moved([part.begins for part in parts]), sizes)

    return Records(
        offsets=np.concatenate([piece.offsets for piece in pieces]),
        timestamps_ms=np.concatenate([piece.timestamps_ms for piece in pieces]),
        keys=raws([piece.keys for piece in pieces]),
        values=raws([piece.values for piece in pieces]),
        headers_at=moved([piece.headers_at for piece in pieces]),
    )


def _part(records: Records, first: int, end: int) -> Records:
    part = slice(first, end)
    keys, values = records.keys, records.values
    return Records(
        records.offsets[part],
        records.timestamps_ms[part],
        Raw(keys.data, keys.begins[part], keys.sizes[part]),
        Raw(values.data, values.begins[part], values.sizes[part]),
        records.headers_at[part],
    )


def _sound(heads: Int64Array) -> int:
    """Return how many batches there are before one whose offsets are no offsets, or come again."""
    base, last = heads[:, BASE], heads[:, LAST]
    wrong = (base < 0) | (base > OFFSET_MAX) | (last < 0)
    wrong[1:] |= base[1:] <= base[:-1] + last[:-1]
    return int(wrong.argmax()) if wrong.any() else len(heads)


@kernel
def _number(data: UInt8Array, at: int, size: int) -> Number:
    """Return a signed big-endian number of some bytes."""
    value = np.int64(data[at])
    if value >= 128:
        value -= 256
    for index in range(1, size):
        value = (value << 8) | np.int64(data[at + index])
    return value


@kernel
def _walk(data: UInt8Array, heads: Int64Array) -> int:
    """Read the headers of all whole batches and return how many there are."""
    at, count = 0, 0
    while at + HEADER_BYTES <= len(data):
        size = _number(data, at + 8, 4) + 12
        if size < HEADER_BYTES or at + size > len(data):
            break
        head = heads[count]
        head[AT], head[SIZE], head[BASE] = at, size, _number(data, at, 8)
        head[MAGIC] = _number(data, at + 16, 1)
        head[CRC] = _number(data, at + 17, 4) & 0xFFFFFFFF
        head[ATTRIBUTES], head[LAST] = _number(data, at + 21, 2), _number(data, at + 23, 4)
        head[FIRST_TIME], head[MAX_TIME] = _number(data, at + 27, 8), _number(data, at + 35, 8)
        head[PRODUCER], head[COUNT] = _number(data, at + 43, 8), _number(data, at + 57, 4)
        at += size
        count += 1
    return count


@kernel
def _parse(
    data: UInt8Array,
    starts: Int64Array,
    ends: Int64Array,
    heads: Int64Array,
    least: int,
    table: Int64Array,
) -> int:
    """Read the records from an offset on; return how many, or BROKEN."""
    row = 0
    for batch in range(len(starts)):
        at, end, head, last = starts[batch], ends[batch], heads[batch], np.int64(-1)
        for _ in range(head[COUNT]):
            size, at = read_varint(data, at, end)
            if at == BROKEN or size < 1 or size > end - at:
                return BROKEN
            behind = at + size
            time, at = read_varint(data, at + 1, behind)
            if at == BROKEN:
                return BROKEN
            delta, at = read_varint(data, at, behind)
            if at == BROKEN:
                return BROKEN
            if delta <= last or delta > head[LAST]:
                return BROKEN
            last = delta
            record = table[row]
            record[OFFSET] = head[BASE] + delta
            record[TIMESTAMP] = head[FIRST_TIME] + time
            if head[ATTRIBUTES] & LOG_APPEND_TIME:
                record[TIMESTAMP] = head[MAX_TIME]
            for column in (KEY_AT, VALUE_AT):
                size, at = read_varint(data, at, behind)
                if at == BROKEN or size > behind - at:
                    return BROKEN
                record[column], record[column + 1] = at, max(size, NULL)
                at += max(size, 0)
            record[HEADERS_AT] = at
            at = _behind_headers(data, at, behind)
            if at != behind:
                return BROKEN
            if record[OFFSET] >= least:
                row += 1
        if at != end:
            return BROKEN
    return row


@kernel
def _behind_headers(data: UInt8Array, at: int, behind: int) -> int:
    """Return the position behind the headers of a record, or BROKEN."""
    count, at = read_varint(data, at, behind)
    if at == BROKEN or count < 0:
        return BROKEN
    for _ in range(count):
        for nullable in (False, True):
            size, at = read_varint(data, at, behind)
            if at == BROKEN or size > behind - at or (size < 0 and not nullable):
                return BROKEN
            at += max(size, 0)
    return at
