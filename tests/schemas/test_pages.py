"""The page of a topic has what who writes to it has to know."""

from dataclasses import replace
from pathlib import Path

import pytest

from schemas.catalogue import TOPICS, Header, shipped
from schemas.fields import fields_of
from schemas.pages import page, pages, write_pages
from schemas.plain import plain_examples

UNITS = {"_wh": "Wh", "_m": "m", "_kg": "kg", "_mg": "mg", "_kg_km": "kg km"}


def rows(text: str) -> dict[str, list[str]]:
    """Return the cells of each row by the first."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {cells[0]: [cell.strip() for cell in cells[1:]] for cells in lines}


def page_of(topic: str) -> dict[str, list[str]]:
    return rows(page(TOPICS[topic], shipped(), plain_examples()))


def test_a_field_has_type_unit_and_meaning() -> None:
    fields = page_of("freight-trips")
    assert fields["`cargo_kg`"] == ["long", "kg", "Freight mass."]
    assert fields["`energy_used`"][:2] == ["long, or null; default null", "ml, g or Wh"]
    assert fields["`departed_at`"][:2] == ["timestamp-millis (long)", "ms since 1970, UTC"]
    assert fields["`data_grade`"][0] == "enum: `primary`, `modelled`, `default`"
    assert fields["`revision`"][0] == "int; default 0"


@pytest.mark.parametrize("record", shipped().current)
def test_a_unit_in_a_name_is_a_unit_in_the_doc(record: str) -> None:
    for field in fields_of(shipped().newest(record)):
        suffixes = [suffix for suffix in UNITS if field.name.endswith(suffix)]
        if suffixes:
            assert f"[{UNITS[max(suffixes, key=len)]}" in field.doc, field.name


def test_a_page_says_how_long_a_record_is_kept_and_where_it_lies() -> None:
    assert page_of("charging-sessions")["kept"] == ["90 days"]
    assert page_of("transfers")["kept"] == ["for ever"]
    assert page_of("account-balances")["kept"] == ["the latest record of each key, by compaction"]
    assert "murmur2" in page_of("transfers")["partitions"][0]
    assert "source record" in page_of("late-freight-trips")["partitions"][0]


def test_a_header_is_there_always_or_sometimes() -> None:
    refusals = page_of("refusals")
    assert (refusals["`code`"][0], refusals["`file`"][0]) == ("always", "sometimes")


def test_a_bar_in_a_text_does_not_break_its_table() -> None:
    topic = replace(TOPICS["transfers"], headers=(Header(name="x", doc="a|b"),))
    assert "| `x` | sometimes | a\\|b |" in page(topic, shipped(), plain_examples())


def test_pages_are_written_and_those_of_topics_gone_removed(tmp_path: Path) -> None:
    (tmp_path / "gone.md").write_text("old")
    (tmp_path / "transfers.md").write_text("old")
    write_pages(tmp_path)
    written = {path.name: path.read_text("utf-8") for path in tmp_path.iterdir()}
    assert written == pages(shipped(), plain_examples())
