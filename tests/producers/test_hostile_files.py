"""Files that are broken or hostile: refused rows and plain errors, no tracebacks."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from carbon.refusal import REFUSALS
from producers.files import UnreadableFileError, read_file
from producers.mapping import MappingError, parse_mapping
from producers.rules import TEXT_CHARS_MAX, FileMapping
from producers.sources import LINE_CHARS_MAX
from schemas.batches import BATCH_BYTES_MAX
from schemas.columns import encode

MAPPING: Final = """
record = "charging_session"
zone = "UTC"
{more}
[fields]
session_id = "Id"
source = {{ value = "s" }}
account_id = "User"
programme = {{ value = "p" }}
vehicle_class = "User"
grid_region = "User"
started_at = "Start"
ended_at = "Start"
energy_wh = {{ column = "Energy", unit = "kWh" }}
meter_side = {{ value = "grid" }}
current = {{ value = "ac" }}
operator_id = "User"
evse_id = "User"
"""
HEADER: Final = "Id,User,Start,Energy\n"
GOOD: Final = "1,张三,2020-01-01,6.31\n"
JSON: Final = json.dumps({"Id": "1", "User": "u", "Start": "2020-01-01", "Energy": "6.31"}) + "\n"
Outcome = tuple[int, list[tuple[int, str]]]


def mapping(more: str = "") -> FileMapping:
    return parse_mapping(MAPPING.format(more=more), origin="m.toml")


def read(path: Path, content: bytes, more: str = "") -> Outcome:
    """Return how many rows were mapped, and line and code of those that were refused."""
    path.write_bytes(content)
    rows, refused = 0, []
    for block in read_file(path, mapping(more)):
        rows += block.batch.num_rows
        refused += [(row.line, row.code) for row in block.refused]
        assert all(row.code in REFUSALS and row.reason for row in block.refused)
        encode("charging_session", block.batch)
    return rows, refused


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


@pytest.mark.parametrize(
    "header", ['Id,"User,Start,Energy\n', '"Id"x,User,Start,Energy\n', '"' + "x" * 200_000 + '"\n']
)
def test_a_header_that_is_no_csv_is_named(tmp_path: Path, header: str) -> None:
    with pytest.raises(UnreadableFileError, match="line 1, the header"):
        read(tmp_path / "f.csv", (header + GOOD).encode())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "hz"])
def test_bytes_behind_which_nothing_can_be_read_end_the_file_with_their_place(
    tmp_path: Path, encoding: str
) -> None:
    spoilt = (HEADER + "1,u,2020-01-01,1\n" * 3).encode(encoding) + b"\x41\x80~"
    with pytest.raises(UnreadableFileError, match=r"behind line \d+: no .* text"):
        read(tmp_path / "f.csv", spoilt, f'encoding = "{encoding}"')


def test_a_file_that_is_utf_16_and_not_said_to_be_lacks_its_columns(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="no column 'Id'"):
        read(tmp_path / "f.csv", (HEADER + GOOD).encode("utf-16"))
    assert read(tmp_path / "f.csv", (HEADER + GOOD).encode("utf-16"), 'encoding = "utf-16"') == (
        1,
        [],
    )


@pytest.mark.parametrize(
    "encoding",
    ["base64", "hex", "rot13", "zip", "bz2", "uu", "idna", "punycode", "undefined", "\\u0000", ""],
)
def test_an_encoding_that_no_file_can_have_is_the_mapping_s_mistake(encoding: str) -> None:
    with pytest.raises(MappingError, match=r"m\.toml: encoding"):
        mapping(f'encoding = "{encoding}"')


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 5_000, "a = " + "9" * 5_000, "a = {" * 3_000, "\0", "=", "a = 1e9999"]
)
def test_toml_of_any_kind_is_no_mapping_and_says_so(text: str) -> None:
    with pytest.raises(MappingError, match=r"m\.toml"):
        parse_mapping(text, origin="m.toml")


@pytest.mark.parametrize("name", ["f.csv", "f.jsonl"])
def test_a_line_without_end_is_refused_in_little_memory(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.gz"
    head, row, before = (
        (HEADER, "1,u,2020-01-01,1\n", 2) if name == "f.csv" else ("", JSON, 1)
    )  # fmt: skip
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write((head + row).encode())
        for _ in range(1_000):
            file.write(b"x" * 1_000_000)
        file.write(("\n" + row).encode())
    content = path.read_bytes()
    with at_most(150 << 10):
        assert read(path, content) == (2, [(before + 1, "row_unmapped")])


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_lines_around_the_limit_are_taken_or_refused_and_the_next_is_read(
    tmp_path: Path, end: str
) -> None:
    for size in (-1, 0, 1, 2):
        long = "1,u,2020-01-01,1" + " " * (LINE_CHARS_MAX + size - 16)
        content = HEADER + long + end + ("1,u,2020-01-01,1" if end else "")
        rows, refused = read(tmp_path / "f.csv", content.encode())
        assert rows + len(refused) == (2 if end else 1)
        assert [line for line, _ in refused] in ([], [2])


def test_many_long_lines_are_no_larger_a_block(tmp_path: Path) -> None:
    content = HEADER.encode() + (b"1,u,2020-01-01,1" + b" " * 900_000 + b"\n") * 200
    path = tmp_path / "f.csv"
    with at_most(400 << 10):
        rows, refused = read(path, content)
    assert rows + len(refused) == 200


def test_a_text_that_fits_into_no_message_is_refused(tmp_path: Path) -> None:
    rows = [f"{at},{'张' * (TEXT_CHARS_MAX + at)},2020-01-01,1\n" for at in (0, 1)]
    path = tmp_path / "f.csv"
    assert read(path, (HEADER + "".join(rows)).encode()) == (1, [(3, "row_bad_value")])
    (block,) = read_file(path, mapping())
    assert len(encode("charging_session", block.batch)[0]) < BATCH_BYTES_MAX


def test_parquet_whose_strings_are_no_text_is_unreadable(tmp_path: Path) -> None:
    texts = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(np.array([0, 1], np.int32)), pa.py_buffer(b"\xff")]
    )
    table = pa.table({"Id": ["1"], "User": texts, "Start": ["2020-01-01"], "Energy": ["1"]})
    path = tmp_path / "f.parquet"
    pq.write_table(table, path)
    with pytest.raises(UnreadableFileError, match="no utf-8 text"):
        read(path, path.read_bytes())


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("f.csv", HEADER.encode(), (0, [])),
        ("f.csv", (HEADER.replace("\n", "\r") + GOOD.replace("\n", "\r")).encode(), (1, [])),
        ("f.csv", (HEADER + "1,\0,2020-01-01,1\n" + GOOD).encode(), (2, [])),
        ("f.csv", (HEADER + '1,"u\n' + GOOD).encode(), (1, [(2, "row_unmapped")])),
        ("f.csv", (HEADER + "1,u\n" + GOOD).encode(), (1, [(2, "row_unmapped")])),
        ("f.csv", (HEADER + "1,u,2020-01-01,1,1\n").encode(), (0, [(2, "row_unmapped")])),
        ("f.csv", HEADER.encode() + b"1,\xc3,2020-01-01,1\n", (0, [(2, "row_unmapped")])),
        ("f.csv", HEADER.encode() + GOOD.encode("gbk"), (0, [(2, "row_unmapped")])),
        ("f.jsonl", (JSON + "[" * 100_000 + "\n" + JSON).encode(), (2, [(2, "row_unmapped")])),
        ("f.jsonl", ('{"Id":' * 50_000 + "\n" + JSON).encode(), (1, [(1, "row_unmapped")])),
        ("f.jsonl", (JSON.replace('"u"', '"\\ud800"') + JSON).encode(), (1, [(1, "row_unmapped")])),
        ("f.jsonl", JSON.replace('"6.31"', "9" * 6_000).encode(), (0, [(1, "row_bad_value")])),
        ("f.jsonl", JSON.replace('"6.31"', "NaN").encode(), (0, [(1, "row_bad_value")])),
        ("f.jsonl", (JSON + "\0\n" + JSON).encode(), (2, [(2, "row_unmapped")])),
    ],
)
def test_what_is_wrong_costs_its_own_line(
    tmp_path: Path, name: str, content: bytes, expected: Outcome
) -> None:
    assert read(tmp_path / name, content) == expected


ENCODINGS: Final = (
    *("utf-8", "utf-16", "utf-16-le", "utf-32", "utf-7", "gb18030", "gbk", "big5", "hz"),
    *("shift_jis", "euc-kr", "iso2022_jp", "latin-1", "cp1252"),
)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_mutated_texts_are_mapped_refused_or_unreadable(tmp_path: Path, encoding: str) -> None:
    random, wrong = Random(encoding), 0
    for _ in range(120):
        whole = bytearray((HEADER + GOOD * 4).encode(encoding, "replace"))
        spoilt = _mutated(random, whole)
        try:
            name = random.choice(("f.csv", "f.jsonl"))
            wrong += len(read(tmp_path / name, spoilt, f'encoding="{encoding}"')[1]) > 0
        except (UnreadableFileError, MappingError):
            wrong += 1
    assert wrong > 60


@pytest.mark.parametrize("name", ["f.parquet", "f.csv.gz"])
def test_mutated_containers_are_mapped_refused_or_unreadable(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "f.parquet":
        row = json.loads(JSON)
        pq.write_table(pa.table({key: [value] * 3 for key, value in row.items()}), path)
    else:
        path.write_bytes(gzip.compress((HEADER + GOOD * 9).encode()))
    whole, random, wrong = path.read_bytes(), Random(1), 0
    for _ in range(400):
        try:
            wrong += len(read(path, _mutated(random, bytearray(whole)))[1]) > 0
        except (UnreadableFileError, MappingError):
            wrong += 1
    assert wrong > 100


def _mutated(random: Random, spoilt: bytearray) -> bytes:
    for _ in range(random.choice((1, 2, 5))):
        at, how = random.randrange(len(spoilt)), random.randrange(3)
        if how == 0:
            spoilt[at] = random.randrange(256)
        elif how == 1:
            spoilt[at:at] = random.randbytes(2)
        elif len(spoilt) > 3:
            del spoilt[at : at + random.choice((1, 2))]
    return bytes(spoilt)
