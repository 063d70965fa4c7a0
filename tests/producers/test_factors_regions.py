"""Regions: parents lead somewhere and come to an end."""

import csv
import json
from pathlib import Path

import pytest

from carbon.regions import PARENT, chain
from producers.factors.release import load_release

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
TOPS = {"CN", "IN", "US", "EU"}


def test_every_chain_ends_at_a_country_or_the_union_without_a_circle() -> None:
    for region in PARENT:
        regions = chain(region)
        assert regions[-1] in TOPS
        assert len(set(regions)) == len(regions) <= 4


def test_every_parent_on_a_chain_has_a_grid_factor_except_one_without_figure() -> None:
    shipped = {f.region for f in load_release().factors if f.kind == "grid_average"}
    former_codes_lead_to = {"IN-OD", "IN-TS"}  # the CC0 set has no state figure for these two
    assert set(PARENT.values()) - shipped == former_codes_lead_to


@pytest.mark.parametrize("region", ["CN-HK", "CN-MO", "CN-TW", "HK", "TW", "IN-AN", "IN-LD", "GB"])
def test_a_system_of_its_own_has_no_parent(region: str) -> None:
    assert chain(region) == (region,)


def test_nothing_falls_back_to_the_world() -> None:
    assert "WORLD" not in PARENT.values()


def test_tibet_is_the_only_province_of_the_mainland_without_a_factor() -> None:
    shipped = {f.region for f in load_release().factors}
    assert {r for r in PARENT if r.startswith("CN-")} - shipped == {"CN-XZ"}
    assert chain("CN-XZ") == ("CN-XZ", "CN-SOUTHWEST", "CN")


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the shared data beside the checkout")
def test_provinces_belong_to_the_grid_that_the_table_names() -> None:
    with (DATA / "grid_factors_cn.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["level"] == "province"]
    assert len({row["code"] for row in rows}) == 30
    for row in rows:
        assert PARENT[row["code"]] == f"CN-{row['region'].upper()}"


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the shared data beside the checkout")
def test_indian_grids_have_as_many_states_as_the_set_covers() -> None:
    path = DATA / "ef-india-open" / "emission_factors_v1_2.json"
    items = {item["id"]: item for item in json.loads(path.read_text())["emission_factors"]}
    names = {
        "northern": "IN-NORTH",
        "western": "IN-WEST",
        "southern": "IN-SOUTH",
        "eastern": "IN-EAST",
        "north-eastern": "IN-NORTHEAST",
    }
    for name, region in names.items():
        members = [state for state, parent in PARENT.items() if parent == region]
        assert len(members) == len(items[f"grid-region-{name}"]["states_covered"])
