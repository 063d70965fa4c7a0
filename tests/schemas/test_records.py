"""Columns of fetched records are what aiokafka makes of the same bytes, one by one."""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import RecordColumns, Records

PLACE = TopicPartition("t", 0)
CONTROL = 0x20
Headers = list[tuple[str, bytes | None]]
Record = tuple[int, bytes | None, bytes | None, Headers]

records = st.tuples(
    st.integers(0, 2**43),
    st.none() | st.binary(max_size=40),
    st.none() | st.binary(max_size=200),
    st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5)), max_size=2),
)


@dataclass
class Log:
    """The bytes of a partition, and its aborted transactions."""

    data: bytes = b""
    end: int = 0
    batches: list[tuple[int, int]] = field(default_factory=list)
    """Offset behind each batch, and where it begins."""
    aborted: list[tuple[int, int]] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    """Offset behind the marker of each of those."""

    def append(self, of: list[Record], *, codec: int = 0, producer: int = -1) -> None:
        builder = _DefaultRecordBatchBuilderPy(2, codec, producer >= 0, producer, 0, 0, 1 << 30)
        for offset, (timestamp, key, value, headers) in enumerate(of):
            builder.append(offset, timestamp, key, value, headers)
        self._add(bytearray(builder.build()), len(of))

    def marker(self, producer: int, *, commit: bool) -> None:
        builder = _DefaultRecordBatchBuilderPy(2, 0, True, producer, 0, 0, 1 << 30)
        builder.append(0, 1, struct.pack(">hh", 0, int(commit)), struct.pack(">hi", 0, 0), [])
        batch = bytearray(builder.build())
        batch[22] |= CONTROL
        batch[17:21] = calc_crc32c(memoryview(batch)[21:]).to_bytes(4, "big")
        self._add(batch, 1)

    def _add(self, batch: bytearray, count: int) -> None:
        batch[:8] = self.end.to_bytes(8, "big")
        self.batches.append((self.end + count, len(self.data)))
        self.data += bytes(batch)
        self.end += count

    def since(self, offset: int) -> Log:
        """Return what a broker answers to who asks from an offset on: whole batches."""
        begins = [begin for end, begin in self.batches if end > offset]
        # A broker names the transactions whose marker is yet to come.
        aborted = [one for one, end in zip(self.aborted, self.ended, strict=True) if end > offset]
        return Log(self.data[begins[0] :] if begins else b"", self.end, aborted=aborted)


@st.composite
def logs(draw: st.DrawFn) -> Log:
    log = Log()
    for _ in range(draw(st.integers(1, 6))):
        of = draw(st.lists(records, min_size=1, max_size=5))
        kind = draw(st.sampled_from(["plain", "plain", "packed", "committed", "aborted"]))
        producer = draw(st.integers(0, 3))
        if kind == "aborted":
            log.aborted.append((producer, log.end))
        if kind in {"aborted", "committed"}:
            log.append(of, producer=producer, codec=draw(st.integers(0, 4)))
            log.marker(producer, commit=kind == "committed")
            if kind == "aborted":
                log.ended.append(log.end)
        else:
            log.append(of, codec=draw(st.integers(1, 4)) if kind == "packed" else 0)
    return log


def by_one(log: Log, offset: int, level: int) -> tuple[list[tuple[object, ...]], int]:
    read = PartitionRecords(
        PLACE, MemoryRecords(log.data), log.aborted, offset, None, None, True, level
    )
    rows: list[tuple[object, ...]] = [
        (
            one.offset,
            one.timestamp,
            one.key,
            one.value,
            [(name, value or b"") for name, value in one.headers],
        )
        for one in read
    ]
    return rows, read.next_fetch_offset


def columns(log: Log, offset: int, level: int, records_max: int) -> RecordColumns:
    return RecordColumns(
        log.data,
        fetch_offset=offset,
        aborted=log.aborted,
        read_committed=level == READ_COMMITTED,
        check_crcs=True,
        records_max=lambda: records_max,
    )


def rows_of(part: Records) -> list[tuple[object, ...]]:
    return [
        (
            int(part.offsets[at]),
            int(part.timestamps_ms[at]),
            part.keys[at],
            part.values[at],
            part.headers(at),
        )
        for at in range(len(part))
    ]


@given(logs(), st.integers(0, 8), st.sampled_from([READ_COMMITTED, READ_UNCOMMITTED]), st.data())
def test_columns_are_the_records_aiokafka_reads(
    log: Log, offset: int, level: int, data: st.DataObject
) -> None:
    log = log.since(offset)
    log.data = log.data[: len(log.data) - data.draw(st.integers(0, 70))]
    expected, next_offset = by_one(log, offset, level)
    parts = columns(log, offset, level, records_max=1000)
    found = [row for part in parts for row in rows_of(part)]
    assert found == expected
    assert parts.next_fetch_offset == next_offset


@given(logs(), st.integers(1, 4))
def test_parts_keep_to_their_size_and_each_says_where_to_go_on(log: Log, records_max: int) -> None:
    expected, _ = by_one(log, 0, READ_COMMITTED)
    parts = columns(log, 0, READ_COMMITTED, records_max)
    found: list[tuple[object, ...]] = []
    for part in parts:
        assert 1 <= len(part) <= records_max
        found += rows_of(part)
        behind = parts.next_fetch_offset
        again = by_one(log.since(behind), behind, READ_COMMITTED)[0]
        assert found + again == expected
    assert found == expected


def test_a_transaction_that_commits_is_read_though_a_broker_names_one_that_ended_before() -> None:
    log = Log(aborted=[(0, 0)])
    log.append([(1, b"a", b"aborted", [])], producer=0)
    log.marker(0, commit=False)
    behind = log.end
    log.append([(1, b"b", b"committed", [])], producer=0)
    log.marker(0, commit=True)
    log.data = log.data[dict(log.batches)[behind + 1] :]
    found = [row for part in columns(log, behind, READ_COMMITTED, 10) for row in rows_of(part)]
    assert [row[3] for row in found] == [b"committed"]


def test_records_with_headers_are_named() -> None:
    log = Log()
    log.append([(1, b"k", b"v", []), (1, b"k", b"v", [("h", b"x")]), (1, None, None, [])])
    (part,) = columns(log, 0, READ_COMMITTED, 10)
    assert part.have_headers().tolist() == [1]


@pytest.mark.parametrize("codec", [0, 2])
@pytest.mark.parametrize("place", [25, 70])
def test_a_flipped_bit_is_noticed(codec: int, place: int) -> None:
    log = Log()
    log.append([(1, b"key", b"value" * 20, [])], codec=codec)
    spoilt = bytearray(log.data)
    spoilt[place] ^= 1
    log.data = bytes(spoilt)
    with pytest.raises(CorruptRecordException, match="checksum"):
        next(columns(log, 0, READ_COMMITTED, 10))


@given(st.binary(min_size=1, max_size=60), st.integers(61, 120))
def test_any_bytes_for_records_are_read_or_refused_and_nothing_else(
    noise: bytes, place: int
) -> None:
    log = Log()
    log.append([(1, b"key", b"value" * 9, [("h", b"x")])])
    spoilt = bytearray(log.data)
    spoilt[place : place + len(noise)] = noise[: max(0, len(spoilt) - place)]
    spoilt[17:21] = calc_crc32c(memoryview(spoilt)[21:]).to_bytes(4, "big")
    log.data = bytes(spoilt)
    with suppress(CorruptRecordException):
        assert sum(map(len, columns(log, 0, READ_COMMITTED, 10))) <= 1


def test_a_message_format_of_long_ago_is_refused() -> None:
    log = Log()
    log.append([(1, b"key", b"value", [])])
    old = bytearray(log.data)
    old[16] = 1
    log.data = bytes(old)
    with pytest.raises(CorruptRecordException, match="message format 1"):
        next(columns(log, 0, READ_COMMITTED, 10))
