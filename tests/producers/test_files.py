import csv
import gzip
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.refusal import REFUSALS
from producers.files import (
    COLUMNS_BYTES_MAX,
    MappedRows,
    UnreadableFileError,
    columns_row,
    read_file,
)
from producers.mapping import MappingError, load_mapping, parse_mapping
from producers.rows import UnmappedRow
from producers.rules import FileMapping

DATA = Path(__file__).parents[3] / "shared" / "data"
ACN = DATA / "ev-acn-jpl" / "california_ev_sessions.csv"
INDIA = DATA / "freight-india-hcv" / "master_data.redacted.slice.csv"

MAPPING = """
record = "charging_session"
zone = "UTC"
{more}
[fields]
session_id = "Id"
source = {{ value = "s" }}
account_id = "User"
programme = {{ value = "p" }}
vehicle_class = {{ value = "car" }}
grid_region = {{ value = "CN" }}
started_at = "Start"
ended_at = {{ column = "Start" }}
energy_wh = {{ column = "Energy", unit = "kWh" }}
meter_side = {{ value = "grid" }}
current = {{ value = "ac" }}
operator_id = {{ value = "" }}
evse_id = {{ value = "" }}
"""
HEADER = "Id,User,Start,Energy\n"
GOOD = "1,u,2020-01-01,6.31\n"


def mapping(more: str = "") -> FileMapping:
    return parse_mapping(MAPPING.format(more=more), origin="m.toml")


def read(
    path: Path, using: FileMapping, rows_max: int = 16_384
) -> tuple[pa.Table, list[UnmappedRow]]:
    blocks = list(read_file(path, using, rows_max=rows_max))
    table = pa.Table.from_batches([block.batch for block in blocks]) if blocks else pa.table({})
    return table, [row for block in blocks for row in block.refused]


def written(tmp_path: Path, text: str | bytes, name: str = "f.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def lines_of(rows: list[UnmappedRow]) -> list[tuple[int, str]]:
    return [(row.line, row.code) for row in rows]


def test_every_session_of_acn_data_is_mapped() -> None:
    table, refused = read(ACN, load_mapping("acn-data"))
    assert (table.num_rows, refused) == (30_114, [])


def test_the_energy_of_acn_data_is_the_exact_decimal_sum() -> None:
    table, _ = read(ACN, load_mapping("acn-data"))
    with ACN.open(newline="", encoding="utf-8") as file:
        total = sum((Decimal(row["Energy"]) for row in csv.DictReader(file)), Decimal(0))
    assert sum(table["energy_wh"].to_pylist()) == total * 1000


def test_the_sessions_of_2021_are_those_of_the_issue() -> None:
    table, _ = read(ACN, load_mapping("acn-data"))
    of_2021 = table.filter(pa.compute.greater_equal(table["started_at"], datetime(2021, 1, 1)))  # noqa: DTZ001
    assert of_2021.num_rows == 5_334
    assert sum(of_2021["energy_wh"].to_pylist()) == 74_044_470
    assert len(set(of_2021["account_id"].to_pylist())) == 244


def test_a_session_of_acn_data_has_its_charging_times() -> None:
    table, _ = read(ACN, load_mapping("acn-data"))
    first = table.slice(0, 1).to_pylist()[0]
    assert first["session_id"] == "S1"
    assert first["account_id"] == "acn-000000365"
    assert first["ended_at"] == datetime(2018, 10, 9, 0, 0)  # noqa: DTZ001


def test_every_indian_booking_is_mapped_or_refused() -> None:
    table, refused = read(INDIA, load_mapping("india-hcv"))
    assert table.num_rows + len(refused) == 3_300
    assert (table.num_rows, len(refused)) == (2_274, 1_026)


def test_an_indian_trip_is_what_an_independent_reading_of_its_row_gives() -> None:
    table, _ = read(INDIA, load_mapping("india-hcv"))
    (trip,) = (t for t in table.to_pylist() if t["trip_id"] == "AEIBK2017791")
    assert trip["account_id"] == "carrier-67829"
    assert trip["vehicle_class"] == "hcv"
    assert trip["distance_m"] == 1_199_000
    assert trip["cargo_kg"] == 8_400
    # 10:12:17 in India is 04:42:17 UTC.
    assert trip["departed_at"] == datetime(2020, 11, 3, 4, 42, 17)  # noqa: DTZ001


def test_indian_rows_are_refused_for_the_reasons_counted_by_hand() -> None:
    with INDIA.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    without_type = sum(row["vehicleType"] == "" for row in rows)
    _, refused = read(INDIA, load_mapping("india-hcv"))
    missing = [row for row in refused if row.code == "row_missing_value"]
    assert Counter(row.reason.split(":")[0] for row in missing) == {
        "vehicle_class": without_type,
        "distance_m": 136,
    }
    capacity_unknown = {row.reason.split("'")[3] for row in refused if row.code == "row_bad_value"}
    assert not any("MT" in kind for kind in capacity_unknown)


def test_a_refused_row_has_the_line_it_begins_on_and_its_bytes() -> None:
    lines = INDIA.read_bytes().splitlines()
    _, refused = read(INDIA, load_mapping("india-hcv"))
    assert all(lines[row.line - 1] == row.raw for row in refused)


def test_swapped_dates_are_left_to_the_worker() -> None:
    table, _ = read(INDIA, load_mapping("india-hcv"))
    swapped = pa.compute.less(table["arrived_at"], table["departed_at"])
    assert pa.compute.sum(swapped).as_py() > 0


def test_small_blocks_give_the_same_rows() -> None:
    using = load_mapping("india-hcv")
    whole = read(INDIA, using)
    parts = read(INDIA, using, rows_max=7)
    assert parts[0].to_pylist() == whole[0].to_pylist()
    assert parts[1] == whole[1]


def test_a_block_never_has_more_rows_than_asked_for() -> None:
    blocks = read_file(INDIA, load_mapping("india-hcv"), rows_max=100)
    assert max(b.batch.num_rows + len(b.refused) for b in blocks) == 100


def test_lines_are_physical_where_quotes_hold_newlines(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + '1,"u\n\nv",2020-01-01,1\n' + "2,u,never,1\n" + GOOD)
    table, refused = read(path, mapping())
    assert table["account_id"].to_pylist() == ["u\n\nv", "u"]
    assert lines_of(refused) == [(5, "row_bad_value")]


@pytest.mark.parametrize("row", ["1,u,2020-01-01", "1,u,2020-01-01,1,2"])
def test_a_row_of_the_wrong_width_is_refused_alone(tmp_path: Path, row: str) -> None:
    table, refused = read(written(tmp_path, HEADER + row + "\n" + GOOD), mapping())
    assert table.num_rows == 1
    assert lines_of(refused) == [(2, "row_unmapped")]
    assert refused[0].raw == row.encode()


@pytest.mark.parametrize("broken", ['1,"u,2020-01-01,1\n', '"1"x,u,2020-01-01,1\n'])
def test_a_stray_quote_costs_one_line(tmp_path: Path, broken: str) -> None:
    table, refused = read(written(tmp_path, HEADER + GOOD + broken + GOOD * 3), mapping())
    assert table.num_rows == 4
    assert lines_of(refused) == [(3, "row_unmapped")]


def test_bytes_that_are_no_text_are_refused_as_they_are(tmp_path: Path) -> None:
    bad = b"1,\xff\xfe,2020-01-01,1"
    path = written(tmp_path, HEADER.encode() + bad + b"\n" + GOOD.encode())
    table, refused = read(path, mapping())
    assert table.num_rows == 1
    assert [(row.line, row.code, row.raw) for row in refused] == [(2, "row_unmapped", bad)]


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    table, refused = read(written(tmp_path, HEADER + "\n" + GOOD + "\n\n" + GOOD), mapping())
    assert (table.num_rows, refused) == (2, [])


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    table, _ = read(written(tmp_path, "\ufeff" + HEADER + GOOD), mapping())
    assert table["session_id"].to_pylist() == ["1"]


def test_other_encodings_and_delimiters_are_read(tmp_path: Path) -> None:
    text = (HEADER + "1,张三,2020-01-01,6.31\n" + "2,李四,,1\n").replace(",", ";")
    path = written(tmp_path, text.encode("gb18030"))
    table, refused = read(path, mapping('encoding = "gb18030"\ndelimiter = ";"'))
    assert table["account_id"].to_pylist() == ["张三"]
    assert refused[0].raw == "2;李四;;1".encode("gb18030")


def test_a_column_that_the_file_lacks_is_an_error_of_the_mapping(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER.replace("Energy", "Energie") + GOOD)
    with pytest.raises(MappingError, match=r"energy_wh: .*'Energy'; did you mean 'Energie'"):
        read(path, mapping())


def test_a_column_that_the_file_has_twice_is_an_error_of_the_mapping(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="several columns 'User'"):
        read(written(tmp_path, "Id,User,Start,Energy,User\n" + GOOD), mapping())


def test_json_lines_keep_the_digits_of_their_numbers(tmp_path: Path) -> None:
    row = '{"Id": 7, "User": "u", "Start": "2020-01-01T00:00:00Z", "Energy": 0.30000000000000004}\n'
    table, _ = read(written(tmp_path, row * 2, "f.jsonl"), mapping())
    assert table["session_id"].to_pylist() == ["7", "7"]
    assert table["energy_wh"].to_pylist() == [300, 300]


@pytest.mark.parametrize(
    "line", ["{", "[1]", "null", '{"Id": [1]}', "[" * 100_000, '{"Id": 1, "User": "\\ud800"}']
)
def test_a_line_that_is_no_json_object_of_values_is_refused_alone(
    tmp_path: Path, line: str
) -> None:
    good = '{"Id": "1", "User": "u", "Start": "2020-01-01", "Energy": "6.31"}'
    path = written(tmp_path, f"{good}\n{line}\n{good}\n", "f.ndjson")
    table, refused = read(path, mapping())
    assert table.num_rows == 2
    assert lines_of(refused) == [(2, "row_unmapped")]
    assert refused[0].raw == line.encode()


def test_a_nested_column_is_written_with_dots(tmp_path: Path) -> None:
    using = parse_mapping(MAPPING.format(more="").replace('"User"', '"token.uid"'), origin="m")
    row = {"Id": "1", "token": {"uid": "deep"}, "Start": "2020-01-01", "Energy": 1}
    table, _ = read(written(tmp_path, json.dumps(row), "f.jsonl"), using)
    assert table["account_id"].to_pylist() == ["deep"]


def test_parquet_gives_what_csv_gives(tmp_path: Path) -> None:
    start = datetime(2020, 1, 1, tzinfo=UTC)
    columns = {
        "Id": pa.array([1, 2, 3], pa.int32()),
        "User": pa.array(["u", None, "w"]).dictionary_encode(),
        "Start": pa.array([start] * 3, pa.timestamp("ns", "Asia/Shanghai")),
        "Energy": pa.array([6.31, 1.0, 0.1], pa.float64()),
        "Unused": pa.array([[1]] * 3),
    }
    path = tmp_path / "f.parquet"
    pq.write_table(pa.table(columns), path)
    table, refused = read(path, mapping(), rows_max=2)
    assert table["energy_wh"].to_pylist() == [6_310, 100]
    assert table["started_at"].to_pylist() == [datetime(2020, 1, 1)] * 2  # noqa: DTZ001
    assert lines_of(refused) == [(2, "row_missing_value")]
    assert json.loads(refused[0].raw)["Id"] == "2"


def test_parquet_decimals_are_exact(tmp_path: Path) -> None:
    energy = pa.array([Decimal("6.31"), Decimal("0.005")], pa.decimal128(10, 3))
    columns = {"Id": ["1", "2"], "User": ["u", "u"], "Start": ["2020-01-01"] * 2, "Energy": energy}
    pq.write_table(pa.table(columns), tmp_path / "f.parquet")
    table, _ = read(tmp_path / "f.parquet", mapping())
    assert table["energy_wh"].to_pylist() == [6_310, 5]


def test_a_parquet_column_of_lists_is_an_error_of_the_mapping(tmp_path: Path) -> None:
    columns = {"Id": [["1"]], "User": ["u"], "Start": ["2020-01-01"], "Energy": [1]}
    pq.write_table(pa.table(columns), tmp_path / "f.parquet")
    with pytest.raises(MappingError, match="is no single value"):
        read(tmp_path / "f.parquet", mapping())


@pytest.mark.parametrize("name", ["f.csv.gz", "F.CSV.GZ"])
def test_compressed_files_are_read(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, gzip.compress((HEADER + GOOD * 3).encode()), name)
    assert read(path, mapping())[0].num_rows == 3


def test_a_compressed_file_that_is_cut_off_is_unreadable(tmp_path: Path) -> None:
    whole = gzip.compress((HEADER + GOOD * 3).encode())
    with pytest.raises(UnreadableFileError, match="damaged"):
        read(written(tmp_path, whole[:-12], "f.csv.gz"), mapping())


@pytest.mark.parametrize("name", ["f.xlsx", "f", "f.csv.zip"])
def test_an_unknown_suffix_says_which_are_known(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnreadableFileError, match=r"\.csv, \.csv\.gz"):
        read(written(tmp_path, HEADER, name), mapping())


@pytest.mark.parametrize("name", ["gone.csv", "gone.parquet"])
def test_a_file_that_is_not_there_is_unreadable(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnreadableFileError):
        read(tmp_path / name, mapping())


def test_a_parquet_file_that_is_none_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError):
        read(written(tmp_path, "no", "f.parquet"), mapping())


def test_progress_ends_at_the_size_of_the_file() -> None:
    def last(blocks: Iterator[MappedRows]) -> MappedRows:
        *_, block = blocks
        return block

    block = last(read_file(INDIA, load_mapping("india-hcv"), rows_max=500))
    assert block.done_bytes == block.size_bytes == INDIA.stat().st_size


CELLS = st.text(st.sampled_from('ab,"\n\r1.é\x00'), max_size=6)


@given(st.lists(st.tuples(CELLS, CELLS), max_size=12))
def test_whatever_the_cells_hold_every_row_comes_out_once(
    tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "f.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["Id", "User", "Start", "Energy"])
        writer.writerows((a, b, "2020-01-01", "1") for a, b in cells)
    table, refused = read(path, mapping(), rows_max=3)
    expected = [(a.strip(), b.strip()) for a, b in cells if a.strip() and b.strip()]
    found = [(row["session_id"], row["account_id"]) for row in table.to_pylist()]
    assert found == expected
    assert table.num_rows + len(refused) == len(cells)


@given(st.binary(max_size=300))
def test_no_bytes_stop_a_file(tmp_path_factory: pytest.TempPathFactory, junk: bytes) -> None:
    path = tmp_path_factory.mktemp("csv") / "f.csv"
    path.write_bytes(HEADER.encode() + junk + b"\n" + GOOD.encode())
    table, refused = read(path, mapping())
    assert table.num_rows + len(refused) >= 1
    assert {row.code for row in refused} <= REFUSALS.keys()


@pytest.mark.parametrize(
    ("name", "content", "row"),
    [
        ("a.csv", b"\xef\xbb\xbfId,User\r\n1,u\r\n", "Id,User"),
        ("a.csv.gz", gzip.compress(b"Id,User\n1,u\n"), "Id,User"),
        ("a.csv", b'Id,"two\nlines"\n1,u\n', 'Id,"two\nlines"'),
        ("a.csv", b"", ""),
        ("a.csv", b'"never closed\n1,u\n', ""),
        ("a.csv", b"x" * (COLUMNS_BYTES_MAX + 1) + b"\n1\n", ""),
        ("a.jsonl", b'{"Id": 1}\n', ""),
    ],
)
def test_the_first_row_of_a_csv_file_is_kept_as_it_stands(
    tmp_path: Path, name: str, content: bytes, row: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert columns_row(path, mapping()) == row
