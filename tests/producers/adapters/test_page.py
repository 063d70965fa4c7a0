"""The page on adapters names foreign fields that are read, and fields that our records have."""

import re
from pathlib import Path
from typing import Any, Final

import pytest

from producers.targets import RECORDS, targets
from tests.producers.adapters.documents import example, fields, needs_data

ROOT: Final = Path(__file__).resolve().parents[3]
PAGE: Final = (ROOT / "docs/adapters.md").read_text("utf-8")
SECTIONS: Final = {
    "OCPI": ("ocpi", 2),
    "T/CEC": ("tcec", 1),
    "iLEAP": ("ileap", 2),
    "Waybills": ("waybill", 1),
    "OCPP": ("ocpp", 2),
    "OICP": ("oicp", 1),
}
OURS: Final = {target.name for record in RECORDS for target in targets(record)}


def rows(title: str) -> list[list[str]]:
    """Return the cells of the table of a section, without its head."""
    [section] = (one for one in PAGE.split("\n## ") if one.startswith(title))
    lines = [line for line in section.split("\n") if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize("title", SECTIONS)
def test_every_foreign_field_of_the_page_is_read(title: str) -> None:
    module, columns = SECTIONS[title]
    code = (ROOT / f"producers/adapters/{module}.py").read_text("utf-8")
    named = {
        name
        for row in rows(title)
        for cell in row[:columns]
        for name in re.findall(r"`(\w+)`", cell)
    }
    assert named
    assert [name for name in sorted(named) if not re.search(rf"\b{name}\b", code)] == []


@pytest.mark.parametrize("title", SECTIONS)
def test_every_field_of_ours_on_the_page_is_one(title: str) -> None:
    columns = SECTIONS[title][1]
    named = {name for row in rows(title) for name in re.findall(r"`(\w+)`", row[columns])}
    assert named
    assert named <= OURS


def block(language: str, at: int = 0) -> str:
    """Return a block of code of the page."""
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return blocks[at]


@needs_data
def test_the_example_of_the_page_runs_with_its_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stations.csv").write_text(block("csv"), "utf-8")
    (tmp_path / "vehicles.csv").write_text(block("csv", 1), "utf-8")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {
        "document": example("conf-ocpi/2.2.1/cdr_example.json"),
        "pseudonyms": None,
    }
    exec(block("python"), names)
    found = fields(names["outcome"])
    assert (found["session_id"], found["vehicle_class"]) == ("BE*BEC*12345", "car")
