"""The page about mappings: its tables name what there is, and its example does what it says."""

import csv
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from producers.convert import UNITS
from producers.files import read_file
from producers.locations import SUFFIXES
from producers.mapping import RULE_KEYS, TOP_KEYS, parse_mapping
from producers.rules import FileMapping
from producers.targets import RECORDS
from tests.pages import ROOT, first_words, rows, section, words

MAPPING = (ROOT / "docs/mapping.md").read_text("utf-8")


def example(language: str) -> str:
    found = re.findall(rf"(?ms)^```{language}\n(.*?)^```", MAPPING)
    assert len(found) == 1
    text: str = found[0]
    return text


@pytest.fixture(scope="module")
def mapping() -> FileMapping:
    return parse_mapping(example("toml"), origin="mapping.md")


def mapped(path: Path, mapping: FileMapping) -> list[dict[str, Any]]:
    blocks = list(read_file(path, mapping))
    assert [row.reason for block in blocks for row in block.refused] == []
    return [row for block in blocks for row in block.batch.to_pylist()]


def test_the_keys_of_a_mapping_are_documented_and_no_others() -> None:
    assert sorted(first_words(section(MAPPING, "What stands at the top"))) == sorted(TOP_KEYS)
    first, second = section(MAPPING, "What a field may say").split("| quantity |")
    assert sorted(first_words(first)) == sorted(RULE_KEYS)
    units = {row[0]: words(row[1]) for row in rows(f"| quantity |{second}")}
    assert units == {
        dimension: [name for name, unit in UNITS.items() if unit.dimension == dimension]
        for dimension in dict.fromkeys(unit.dimension for unit in UNITS.values())
    }


@pytest.mark.parametrize("word", [*RECORDS, ".csv.gz", ".jsonl", ".jsonl.gz", ".ndjson"])
def test_records_and_kinds_of_files_are_named(word: str) -> None:
    assert word in (*RECORDS, *SUFFIXES)
    assert f"`{word}`" in MAPPING


def test_the_example_maps_its_csv_as_the_text_says(mapping: FileMapping, tmp_path: Path) -> None:
    path = tmp_path / "sessions.csv"
    path.write_text(example("csv"), "utf-8")
    anna, bo = mapped(path, mapping)
    assert (anna["energy_wh"], bo["energy_wh"]) == (21_400, 1_038_050)
    assert (anna["vehicle_class"], bo["vehicle_class"]) == ("car", "bus")
    assert (anna["grid_region"], bo["grid_region"]) == ("DE", "EU")
    assert anna["evse_id"] == "Mitte-AC 22"
    assert f"{bo['ended_at']:%H:%M}" == "08:50"


def test_the_json_lines_are_the_same_sessions(mapping: FileMapping, tmp_path: Path) -> None:
    lines, table = tmp_path / "sessions.jsonl", tmp_path / "sessions.csv"
    lines.write_text(example("json"), "utf-8")
    table.write_text(example("csv"), "utf-8")
    assert mapped(lines, mapping) == mapped(table, mapping)


def test_parquet_columns_keep_their_types_as_the_text_says(tmp_path: Path) -> None:
    plain = re.sub(r"(?m)^(decimal|thousands) = .*\n", "", example("toml"))
    head, first, _ = csv.reader(example("csv").splitlines(), delimiter=";")
    table = {name: pa.array([text]) for name, text in zip(head, first, strict=True)}
    table["Energy"] = pa.array([21.4])
    table["Start"] = pa.array([1_683_180_000_000], pa.timestamp("ms"))  # 06:00 on the clock
    table["Paid"] = pa.array([1_683_185_400_000], pa.timestamp("ms", "Europe/Berlin"))
    path = tmp_path / "sessions.parquet"
    pq.write_table(pa.table(table), path)
    (session,) = mapped(path, parse_mapping(plain, origin="mapping.md"))
    assert session["energy_wh"] == 21_400
    assert f"{session['started_at']:%H:%M}" == "04:00"  # Paris is two hours ahead
    assert f"{session['ended_at']:%H:%M}" == "07:30"
