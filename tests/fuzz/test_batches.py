"""Damaged record batches: right records or CorruptRecordException, and never more memory."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Final

import cramjam
import pytest
from aiokafka.codec import gzip_decode, lz4_decode, snappy_decode, zstd_decode
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.util import calc_crc32c

from schemas.packing import UNPACKED_BYTES_MAX
from schemas.records import RecordColumns, Records

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
DECODERS: Final = {GZIP: gzip_decode, SNAPPY: snappy_decode, LZ4: lz4_decode, ZSTD: zstd_decode}
CONTROL: Final = 0x20
COUNT: Final = slice(57, 61)
ATTRIBUTES: Final = slice(21, 23)
LAST: Final = slice(23, 27)
GROWTH_KB_MAX: Final = 300 << 10
Row = tuple[int, int, bytes | None, bytes | None]


def batch(
    records: int = 3, *, codec: int = 0, base: int = 0, value: bytes = b"value", producer: int = -1
) -> bytearray:
    builder = _DefaultRecordBatchBuilderPy(2, codec, producer >= 0, producer, 0, 0, 1 << 30)
    for offset in range(records):
        builder.append(offset, 1_000 + offset, b"key", value, [("h", b"x")] if offset % 2 else [])
    made = bytearray(builder.build())
    made[:8] = base.to_bytes(8, "big")
    return made


def sealed(made: bytearray) -> bytes:
    """Return a batch with the length and the checksum of what it holds now."""
    made[8:12] = (len(made) - 12).to_bytes(4, "big")
    made[17:21] = calc_crc32c(memoryview(made)[21:]).to_bytes(4, "big")
    return bytes(made)


def packed(codec: int, payload: bytes, records: int) -> bytes:
    """Return a batch whose records are compressed bytes of somebody else's making."""
    made = batch(records)[:61] + payload
    made[ATTRIBUTES] = codec.to_bytes(2, "big")
    return sealed(made)


def xerial(block: bytes, times: int) -> bytes:
    """Return a snappy stream in blocks."""
    head = b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)
    return head + (struct.pack(">i", len(block)) + block) * times


@contextmanager
def at_most(growth_kb: int) -> Iterator[None]:
    """Check how much memory the process takes at its peak."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    before = _peak_kb()
    yield
    assert _peak_kb() - before < growth_kb


def _peak_kb() -> int:
    status = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def read(data: bytes, *, offset: int = 0, check_crcs: bool = True) -> list[Row]:
    columns = RecordColumns(
        data,
        fetch_offset=offset,
        aborted=[(5, 0)],
        read_committed=True,
        check_crcs=check_crcs,
        records_max=lambda: 1_000,
    )
    return [row for part in columns for row in _rows(part)]


def _rows(part: Records) -> list[Row]:
    found = []
    for at in range(len(part)):
        row = (
            int(part.offsets[at]), int(part.timestamps_ms[at]), part.keys[at], part.values[at]
        )  # fmt: skip
        found.append(row)
    return found


@pytest.mark.parametrize("count", [-1, -(2**31), 2**31 - 1, 1_000_000])
def test_a_count_that_the_bytes_cannot_hold_is_refused_before_memory_is_taken(count: int) -> None:
    made = batch()
    made[COUNT] = struct.pack(">i", count)
    with at_most(GROWTH_KB_MAX), pytest.raises(CorruptRecordException):
        read(sealed(made))


def test_a_negative_count_makes_no_room_for_the_records_of_its_neighbour() -> None:
    honest, liar = sealed(batch(100)), batch(3, base=100)
    liar[COUNT] = struct.pack(">i", -99)
    with pytest.raises(CorruptRecordException):
        read(honest + sealed(liar))


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD])
def test_what_cannot_be_unpacked_is_corrupt(codec: int) -> None:
    for payload in (b"", b"\0", b"\xff" * 9, b"\xff\xff\xff\xff\x0f", batch(3, codec=codec)[61:-3]):
        with pytest.raises(CorruptRecordException):
            read(packed(codec, bytes(payload), 3))


@pytest.mark.parametrize(
    ("codec", "pack"),
    [
        (GZIP, lambda data: bytes(cramjam.gzip.compress(data))),
        (SNAPPY, lambda data: bytes(cramjam.snappy.compress_raw(data))),
        (LZ4, lambda data: bytes(cramjam.lz4.compress(data))),
        (ZSTD, lambda data: bytes(cramjam.zstd.compress(data))),
    ],
)
def test_a_batch_that_unpacks_to_more_than_the_limit_takes_no_memory(
    codec: int, pack: Callable[[bytes], bytes]
) -> None:
    bomb = packed(codec, pack(bytes(UNPACKED_BYTES_MAX // 4)) * 32, 3)
    if codec == SNAPPY:
        bomb = packed(codec, xerial(pack(bytes(UNPACKED_BYTES_MAX // 4)), 32), 3)
    with at_most(GROWTH_KB_MAX), pytest.raises(CorruptRecordException, match="unpack"):
        read(bomb)


@pytest.mark.parametrize("codec", [0, GZIP, SNAPPY, LZ4, ZSTD])
def test_a_large_batch_below_the_limit_is_read(codec: int) -> None:
    rows = read(bytes(batch(3, codec=codec, value=bytes(UNPACKED_BYTES_MAX // 4))))
    assert [len(row[3] or b"") for row in rows] == [UNPACKED_BYTES_MAX // 4] * 3


@pytest.mark.parametrize("codec", [0, SNAPPY])
def test_offsets_that_do_not_ascend_are_refused(codec: int) -> None:
    builder = _DefaultRecordBatchBuilderPy(2, codec, False, -1, 0, 0, 1 << 30)
    for offset in (0, 2, 1):
        builder.append(offset, 1_000, b"key", b"value", [])
    with pytest.raises(CorruptRecordException):
        read(bytes(builder.build()))


@pytest.mark.parametrize("last", [1, -1, -(2**31)])
def test_offsets_beyond_the_last_of_their_batch_are_refused(last: int) -> None:
    made = batch(3)
    made[LAST] = struct.pack(">i", last)
    with pytest.raises(CorruptRecordException):
        read(sealed(made))


@pytest.mark.parametrize("base", [-1, 1, 2**63 - 2, -(2**63)])
def test_a_batch_that_does_not_come_after_the_one_before_is_refused(base: int) -> None:
    later = batch(3, base=0)
    later[:8] = struct.pack(">q", base)
    with pytest.raises(CorruptRecordException):
        read(bytes(batch(3)) + sealed(later))


@pytest.mark.parametrize("key", [None, b"", b"\0", b"\0\0\0"])
def test_a_marker_that_says_nothing_is_refused(key: bytes | None) -> None:
    builder = _DefaultRecordBatchBuilderPy(2, 0, True, 5, 0, 0, 1 << 30)
    builder.append(0, 1, key, b"\0\0\0\0\0\0", [])
    made = bytearray(builder.build())
    made[22] |= CONTROL
    with pytest.raises(CorruptRecordException):
        read(sealed(made))


def test_a_header_whose_name_is_no_text_is_read_as_well_as_it_goes() -> None:
    made = batch(2)
    place = made.rindex(b"h")
    made[place] = 0xFF
    assert len(read(sealed(made))) == 2


def test_small_batches_of_both_kinds_in_turns_take_no_more_than_was_fetched() -> None:
    whole = b"".join(
        bytes(batch(1, codec=SNAPPY * (at % 2), base=at, value=b"v" * 900)) for at in range(2_000)
    )
    with at_most(60 << 10):
        assert len(read(whole)) == 2_000


def test_ten_thousand_batches_of_one_aborted_transaction_are_passed_over_in_time() -> None:
    one = bytearray(batch(1, producer=5))
    parts = []
    for at in range(10_000):
        one[:8] = at.to_bytes(8, "big")
        parts.append(bytes(one))
    began = time.monotonic()
    assert read(b"".join(parts)) == []
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("seed", range(3))
def test_mutated_batches_are_read_rightly_or_corrupt(seed: int) -> None:
    """Checksums are mended for most, so that it is not they that refuse what is wrong."""
    random = Random(seed)
    refused = 0
    for _ in range(2_000):
        codec = random.choice((0, 0, SNAPPY, LZ4, ZSTD, GZIP))
        parts = [
            batch(random.choice((1, 3, 40)), codec=codec, base=100 * at, producer=5 * (at == 1))
            for at in range(random.choice((1, 1, 3)))
        ]
        spoilt = _mutated(random, parts)
        try:
            rows = read(spoilt, offset=random.choice((0, 0, 2)), check_crcs=random.random() < 0.8)
        except CorruptRecordException:
            refused += 1
            continue
        offsets = [row[0] for row in rows]
        assert offsets == sorted(set(offsets))
        assert len(rows) <= sum(max(count, 0) for _, count in _whole(spoilt))
        kept = [row for data, _ in _whole(spoilt) for row in _by_hand(data)]
        assert set(rows) <= set(kept)
    assert 200 < refused < 2_000


def _mutated(random: Random, parts: list[bytearray]) -> bytes:
    for part in parts:
        for _ in range(random.choice((0, 1, 1, 3))):
            first = random.choice((0, 21, 57, 61, 61, 61))
            at = random.randrange(min(first, len(part) - 1), len(part))
            how = random.randrange(4)
            if how == 0:
                part[at] ^= 1 << random.randrange(8)
            elif how == 1:
                part[at : at + 1] = random.choice(
                    (b"\x80\0", b"\xff\xff\xff\xff\x0f", b"\1", b"\0")
                )
            elif how == 2:
                part[at : at + random.choice((1, 4, 8))] = random.randbytes(
                    random.choice((1, 4, 8))
                )
            else:
                del part[at : at + random.choice((1, 3))]
        if len(part) >= 61 and random.random() < 0.8:
            sealed_part = sealed(part)
            part[:] = sealed_part
    whole = b"".join(bytes(part) for part in parts)
    return whole[: random.randrange(len(whole))] if random.random() < 0.1 else whole


def _whole(data: bytes) -> list[tuple[bytes, int]]:
    """Return the whole batches of some bytes, and how many records each says it has."""
    found, at = [], 0
    while at + 61 <= len(data):
        size = struct.unpack_from(">i", data, at + 8)[0] + 12
        if size < 61 or at + size > len(data):
            break
        found.append((data[at : at + size], struct.unpack_from(">i", data, at + 57)[0]))
        at += size
    return found


def _by_hand(data: bytes) -> list[Row]:
    """Return the records of a batch as the protocol has them, for as long as it goes."""
    base, first_time, max_time, count = (
        struct.unpack_from(">q", data)[0], *struct.unpack_from(">qq", data, 27),
        struct.unpack_from(">i", data, 57)[0],
    )  # fmt: skip
    (attributes,) = struct.unpack_from(">h", data, 21)
    body = memoryview(data)[61:]
    if attributes & 7:
        try:
            body = memoryview(DECODERS[attributes & 7](bytes(body)))
        except (KeyError, struct.error, cramjam.DecompressionError):
            return []
    stream, rows = BytesIO(body), []
    for _ in range(min(count, len(body))):
        numbers = [_varint(stream)]
        stream.read(1)
        numbers += [_varint(stream), _varint(stream)]
        texts: list[bytes | None] = []
        for _ in range(2):
            size = _varint(stream)
            texts.append(None if size < 0 else stream.read(size))
        for _ in range(min(_varint(stream), len(body))):
            for _ in range(2):
                stream.read(max(_varint(stream), 0))
        if stream.tell() == len(body) + 1:
            break
        moment = max_time if attributes & 8 else _wrapped(first_time + numbers[1])
        rows.append((base + numbers[2], moment, *texts))
    return rows


def _varint(stream: BytesIO) -> int:
    number = shift = 0
    while byte := stream.read(1):
        number |= (byte[0] & 0x7F) << shift
        shift += 7
        if byte[0] < 0x80:
            break
    return number >> 1 ^ -(number & 1)


def _wrapped(number: int) -> int:
    return (number + 2**63) % 2**64 - 2**63
