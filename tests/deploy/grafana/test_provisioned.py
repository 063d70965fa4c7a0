"""What is provisioned is what the code makes, and hangs together as Grafana needs it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.dashboards.sources import PLUGIN_VERSION
from deploy.grafana.generate import FOLDER, PAGE, generated, page_of
from tests.deploy.grafana.provisioned import (
    CLICKHOUSE,
    DASHBOARDS,
    PROMETHEUS,
    PROVISIONED,
    Asked,
    data_sources,
    pages,
    panels,
    queries,
    variables,
)
from tests.pages import first_words

ROOT: Final = Path(__file__).resolve().parents[3]
NAMES: Final = ("account", "carbon", "pipeline", "quality")
COLUMNS: Final = 24
IN_TITLE: Final = {
    "cps": "[1/s]",
    "s": "[s]",
    "percentunit": "[% of",
    "kwatth": "[kWh]",
    "bytes": "[bytes]",
    "suffix:cores": "[cores]",
    "suffix:kg CO2": "[kg CO2]",
    "suffix:t CO2": "[t CO2]",
    "suffix:tkm": "[tkm]",
    "suffix:g/kWh": "[g/kWh]",
    "suffix:km": "km]",
}
PLAIN: Final = {"short", "none"}
"""Units of what is counted, and of tables, whose columns have their own."""


def all_panels() -> list[Any]:
    """Return every panel, as parameters of a test."""
    return [
        pytest.param(panel, id=f"{name}: {panel['title']}")
        for name, page in pages().items()
        for panel in panels(page)
    ]


def test_the_files_are_what_the_code_makes() -> None:
    made = generated()
    assert FOLDER == DASHBOARDS
    assert sorted(path.name for path in DASHBOARDS.iterdir()) == sorted(made)
    for name, text in made.items():
        assert (DASHBOARDS / name).read_text("utf-8") == text, "run `make dashboards`"
    assert PAGE.read_text("utf-8") == page_of(PAGE.read_text("utf-8")), "run `make dashboards`"


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_is_one_to_the_types_of_grafana(name: str) -> None:
    # What the SDK does not know would be lost on the way through its types.
    register_default_plugins()
    page = pages()[name]
    through = json.loads(json.dumps(Dashboard.from_json(dict(page)), cls=JSONEncoder))
    for each in (page, through):
        for link in each["links"]:
            del link["placement"]  # It knows one other place alone.
    assert through == page


def test_dashboards_and_panels_can_be_told_apart() -> None:
    assert sorted(pages()) == sorted(NAMES)
    assert len({page["uid"] for page in pages().values()}) == len(NAMES)
    for page in pages().values():
        ids = [panel["id"] for panel in page["panels"]]
        assert len(set(ids)) == len(ids)
        titles = [panel["title"] for panel in panels(page)]
        assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("name", NAMES)
def test_no_panel_lies_on_another(name: str) -> None:
    places = [panel["gridPos"] for panel in pages()[name]["panels"]]
    assert all(place["x"] + place["w"] <= COLUMNS for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)


@pytest.mark.parametrize("panel", all_panels())
def test_a_panel_says_what_it_answers_and_in_which_unit(panel: Mapping[str, Any]) -> None:
    assert re.fullmatch(r"(?s)[A-Z].{10,}\.", panel["description"])
    unit = panel["fieldConfig"]["defaults"]["unit"]
    assert unit.startswith("suffix:") or unit in vars(units).values()
    assert unit in IN_TITLE.keys() | PLAIN
    if panel["type"] == "heatmap":
        unit = panel["options"]["yAxis"]["unit"]
        assert "by s]" in panel["title"]
    elif unit in IN_TITLE:
        assert IN_TITLE[unit] in panel["title"]
    for override in panel["fieldConfig"]["overrides"]:
        (of_column,) = (each["value"] for each in override["properties"] if each["id"] == "unit")
        named = IN_TITLE.get(of_column, f"[{of_column}]").strip("[]")
        assert named in panel["title"]


@pytest.mark.parametrize("panel", all_panels())
def test_a_panel_asks_a_source_that_is_provisioned(panel: Mapping[str, Any]) -> None:
    targets = panel["targets"]
    assert targets
    assert len({target["refId"] for target in targets}) == len(targets)
    for each in (panel, *targets):
        source = each["datasource"]
        assert data_sources()[source["uid"]]["type"] == source["type"]
        assert source["uid"] == panel["datasource"]["uid"]


@pytest.mark.parametrize("name", NAMES)
def test_variables_are_defined_used_and_of_a_source_that_is_provisioned(name: str) -> None:
    defined = variables(pages()[name])
    for each in defined:
        assert data_sources()[each["datasource"]["uid"]]["type"] == each["datasource"]["type"]
    asked = [each for source in (PROMETHEUS, CLICKHOUSE) for each in queries(source)]
    texts = [each.text for each in asked if each.page == name]
    used = {found for text in texts for found in re.findall(r"\$\{?((?!__)\w+)", text)}
    assert used == {each["name"] for each in defined}


@pytest.mark.parametrize("asked", queries(CLICKHOUSE), ids=lambda asked: asked.name)
def test_a_query_is_one_that_the_plugin_takes_as_it_is(asked: Asked) -> None:
    target = asked.target
    assert (target["editorType"], target["pluginVersion"]) == ("sql", PLUGIN_VERSION)
    assert (target["queryType"], target["format"]) in {("timeseries", 0), ("table", 1)}
    is_lines = asked.panel["type"] == "timeseries"
    assert is_lines == (target["queryType"] == "timeseries")


@pytest.mark.parametrize("asked", queries(PROMETHEUS), ids=lambda asked: asked.name)
def test_a_metric_is_one_of_the_reference(asked: Asked) -> None:
    reference = (ROOT / "docs/reference.md").read_text("utf-8")
    documented = set(first_words(reference)) | {"up"}
    used = set(re.findall(r"\b(?:carbonflow|process)_\w+|\bup\b", asked.text))
    assert used
    assert {re.sub(r"_(bucket|sum|count)$", "", each) for each in used} <= documented


@pytest.mark.parametrize("asked", queries(CLICKHOUSE), ids=lambda asked: asked.name)
def test_the_reader_may_read_what_a_panel_reads(asked: Asked) -> None:
    users = (ROOT / "deploy/clickhouse/users.sql").read_text("utf-8")
    granted = set(re.findall(r"GRANT SELECT ON carbonflow\.(\w+) TO carbonflow_reader", users))
    read = set(re.findall(r"(?:FROM|JOIN)\s+(\w+)", asked.text))
    assert read
    assert read <= granted


def test_the_sources_are_the_services_of_compose() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    store = data_sources()["carbonflow-clickhouse"]
    assert store["jsonData"]["host"] in services
    reader = services["api"]["environment"]
    assert store["jsonData"]["username"] == reader["CARBONFLOW_CLICKHOUSE_USER"]
    assert store["jsonData"]["defaultDatabase"] == "carbonflow"
    password = store["secureJsonData"]["password"]
    assert password.removeprefix("$") in reader["CARBONFLOW_CLICKHOUSE_PASSWORD"]
    assert data_sources()["carbonflow-prometheus"]["url"] == "http://prometheus:9090"


def test_grafana_finds_the_dashboards_where_the_folder_is_mounted() -> None:
    text = (PROVISIONED / "dashboards" / "carbonflow.yml").read_text("utf-8")
    (provider,) = yaml.safe_load(text)["providers"]
    found = Path(provider["options"]["path"]).relative_to("/etc/grafana/provisioning")
    assert PROVISIONED / found == DASHBOARDS
