"""CSV read from its bytes is CSV read as text: the same rows, lines, bytes and refusals."""

from __future__ import annotations

import codecs
from dataclasses import replace
from io import BytesIO, TextIOWrapper
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from producers.csv_bytes import csv_byte_blocks
from producers.mapping import parse_mapping
from producers.rules import FileMapping
from producers.sources import LINE_CHARS_MAX, START, Block, Position, csv_blocks

MAPPING = parse_mapping(
    """
record = "charging_session"
zone = "UTC"
[fields]
session_id = "Id"
source = { value = "s" }
account_id = "User"
programme = { value = "p" }
vehicle_class = { value = "car" }
grid_region = { value = "CN" }
started_at = { value = 2020-01-01T00:00:00Z }
ended_at = { value = 2020-01-01T01:00:00Z }
energy_wh = { value = 1 }
meter_side = { value = "grid" }
current = { value = "ac" }
operator_id = { value = "" }
evse_id = { value = "" }
""",
    origin="m.toml",
)
HEADER = b"Id,Other,User\n"


def told(blocks: list[Block]) -> list[Any]:
    """Return all that blocks say, row by row and in order of the lines."""
    found: list[Any] = []
    for block in blocks:
        columns = [block.rows.columns[name].to_pylist() for name in MAPPING.columns]
        raws = [block.rows.raws(at) for at in range(len(block.rows.lines))]
        found += [
            (int(line), texts, raw)
            for line, texts, raw in zip(
                block.rows.lines, zip(*columns, strict=True), raws, strict=True
            )
        ]
        found += [(row.line, row.reason, row.raw) for row in block.refused]
    return sorted(found, key=lambda row: row[0])


def from_bytes(
    content: bytes,
    *,
    rows_max: int = 5,
    window_bytes: int = 64,
    begun: Position = START,
    mapping: FileMapping = MAPPING,
) -> list[Block]:
    return list(
        csv_byte_blocks(
            BytesIO(content),
            mapping,
            file="f.csv",
            rows_max=rows_max,
            window_bytes=window_bytes,
            begun=begun,
        )
    )


def from_text(content: bytes, mapping: FileMapping = MAPPING) -> list[Block]:
    encoding = "utf-8-sig" if mapping.encoding == "utf-8" else mapping.encoding
    text = TextIOWrapper(BytesIO(content), encoding, "surrogateescape", newline="")
    return list(csv_blocks(text, mapping, file="f.csv", rows_max=5))


LINES = st.sampled_from(
    [
        *(b"1,x,u\n", b"2,,\n", b'3,"a,b",v\n', b'"4","","w"\r\n', b'5,"a""b",x\n'),
        *(b'6,"two\nlines",y\n', b"\n", b"\r\n", b"7,x\n", b"8,x,y,z\n", b'9,"open,u\n'),
        *(b"10,\xff,u\n", b"11,x,\xff\n", b"12,\xe5\xbc\xa0,\xe4\xb8\x89\n", b"13,x,u\r14,x,u\n"),
        *(b'15,a"b,u\n', b'16,"a"b,u\n', b" 17 , x , u \n", b"18,\x00,u\n", b'"19"\n', b",,\n"),
        b"20,x,u" + b"y" * 100 + b"\n",
    ]
)


@given(
    st.lists(LINES, max_size=30),
    st.sampled_from([b"", b"21,x,u", b'22,"open', b"23,x,u\r", b"24"]),
    st.integers(1, 9),
    st.integers(1, 200),
    st.booleans(),
)
@example([b'9,"open,u\n'] * 3 + [b"1,x,u\n"] * 3, b"", 2, 7, False)
@example([b"10,\xff,u\n", b"1,x,u\n"], b"", 1, 1, True)
def test_whatever_the_lines_are_both_readers_say_the_same(
    lines: list[bytes], last: bytes, rows_max: int, window_bytes: int, mark: bool
) -> None:
    content = (b"\xef\xbb\xbf" if mark else b"") + HEADER + b"".join(lines) + last
    found = from_bytes(content, rows_max=rows_max, window_bytes=window_bytes)
    assert told(found) == told(from_text(content))
    assert all(len(block.rows.lines) + len(block.refused) <= rows_max for block in found)


@given(st.binary(max_size=200), st.integers(1, 50))
def test_whatever_the_bytes_are_both_readers_say_the_same(junk: bytes, window_bytes: int) -> None:
    content = HEADER + junk
    assert told(from_bytes(content, window_bytes=window_bytes)) == told(from_text(content))


@given(st.lists(LINES, max_size=30), st.integers(1, 9), st.integers(1, 200))
def test_a_reader_goes_on_behind_any_block(
    lines: list[bytes], rows_max: int, window_bytes: int
) -> None:
    content = HEADER + b"".join(lines)
    blocks = from_bytes(content, rows_max=rows_max, window_bytes=window_bytes)
    for done, block in enumerate(blocks, start=1):
        rest = from_bytes(content, begun=block.behind)
        assert told(rest) == told(blocks[done:])
        assert (rest or blocks)[-1].behind.rows == blocks[-1].behind.rows


ENCODINGS = st.sampled_from(["gb18030", "gbk", "latin-1", "cp1252", "shift_jis", "utf-16-le"])


@given(st.lists(LINES, max_size=30), ENCODINGS, st.integers(1, 9), st.integers(1, 200))
def test_other_encodings_are_read_as_they_are_as_text(
    lines: list[bytes], encoding: str, rows_max: int, window_bytes: int
) -> None:
    mapping = replace(MAPPING, encoding=codecs.lookup(encoding).name)
    text = "".join(line.decode("utf-8", "replace") for line in (HEADER, *lines))
    content = text.encode(encoding, "replace")
    if encoding == "gb18030":  # Here and there is what is no character.
        content = content.replace(b"4,", b"4\xff\xff,")
    found = from_bytes(content, rows_max=rows_max, window_bytes=window_bytes, mapping=mapping)
    assert told(found) == told(from_text(content, mapping))
    for done, block in enumerate(found, start=1):
        rest = from_bytes(content, begun=block.behind, mapping=mapping)
        assert told(rest) == told(found[done:])


class Unseekable(BytesIO):
    """What is unpacked while it is read."""

    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0) -> int:
        raise OSError(f"{offset} from {whence}: not seekable")


def test_a_reader_goes_on_where_a_source_cannot_be_sought() -> None:
    content = HEADER + b"".join(b"%d,x,u\n" % number for number in range(100))
    first, *others = from_bytes(content, rows_max=10)
    for window_bytes in (7, 50, 10_000):
        rest = list(
            csv_byte_blocks(
                Unseekable(content),
                MAPPING,
                file="f.csv",
                rows_max=10,
                window_bytes=window_bytes,
                begun=first.behind,
            )
        )
        assert told(rest) == told(others)


@pytest.mark.parametrize("odd", [b'"a""b"', b'"two\nlines"', b"\xe5\xbc\xa0", b"\xff", b'"open'])
def test_rows_between_odd_ones_keep_their_order(odd: bytes) -> None:
    content = HEADER + b"".join(
        b"%d,%s,u\n" % (number, odd if number % 3 else b"x") for number in range(1_000)
    )
    blocks = from_bytes(content, rows_max=64, window_bytes=512)
    assert told(blocks) == told(from_text(content))
    ids = [int(text) for block in blocks for text in block.rows.columns["Id"].to_pylist()]
    refused = [row.line for block in blocks for row in block.refused]
    assert len(ids) + len(refused) == 1_000
    assert ids == sorted(ids)
    assert {len(block.rows.lines) + len(block.refused) for block in blocks[:-1]} == {64}


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_line_that_is_too_long_is_refused_and_only_its_beginning_is_held(end: bytes) -> None:
    long = b"2," + b"x" * (5 * LINE_CHARS_MAX) + b",u" + end
    content = HEADER + b"1,x,u\n" + long + (b"3,x,u\n" if end else b"")
    blocks = from_bytes(content, window_bytes=1 << 16)
    assert told(blocks) == told(from_text(content))
    assert max(len(row.raw) for block in blocks for row in block.refused) == LINE_CHARS_MAX
    if end:
        assert blocks[-1].behind == Position(3, 4, len(content))
