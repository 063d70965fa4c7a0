"""What is provisioned to Grafana, read as Grafana reads it: from the files, not from the code."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

PROVISIONED: Final = Path(__file__).resolve().parents[3] / "deploy/grafana/provisioned"
DASHBOARDS: Final = PROVISIONED / "dashboards" / "carbonflow"

PROMETHEUS: Final = "prometheus"
CLICKHOUSE: Final = "grafana-clickhouse-datasource"


@dataclass(frozen=True, slots=True)
class Asked:
    """One query of one panel."""

    page: str
    panel: Mapping[str, Any]
    target: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What a test calls it."""
        return f"{self.page}: {self.panel['title']} ({self.target['refId']})"

    @property
    def source(self) -> str:
        """The type of its data source."""
        return str(self.target["datasource"]["type"])

    @property
    def text(self) -> str:
        """The query."""
        return str(self.target["rawSql" if self.source == CLICKHOUSE else "expr"])

    @property
    def columns(self) -> set[str]:
        """The columns that the panel names, which the answer has to have."""
        named = {
            each["matcher"]["options"]
            for each in self.panel["fieldConfig"]["overrides"]
            if each["matcher"]["id"] == "byName"
        }
        if x_field := self.panel.get("options", {}).get("xField"):
            named.add(x_field)
        shown = self.panel["fieldConfig"]["defaults"].get("displayName", "")
        if shown:
            named.add(shown.removeprefix("${__field.labels.").removesuffix("}"))
        return named


def pages() -> Mapping[str, Mapping[str, Any]]:
    """Return the dashboards by the names of their files."""
    return {
        path.stem: json.loads(path.read_text("utf-8")) for path in sorted(DASHBOARDS.glob("*.json"))
    }


def panels(page: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield all panels that are no rows."""
    for each in page["panels"]:
        yield from each.get("panels", ())
        if each["type"] != "row":
            yield each


def queries(source: str) -> Sequence[Asked]:
    """Return all queries to a type of data source."""
    return [
        asked
        for name, page in pages().items()
        for panel in panels(page)
        for target in panel["targets"]
        if (asked := Asked(name, panel, target)).source == source
    ]


def variables(page: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the variables of a dashboard."""
    return list(page.get("templating", {}).get("list", ()))


def data_sources() -> Mapping[str, Mapping[str, Any]]:
    """Return the data sources by their uid."""
    text = (PROVISIONED / "datasources" / "carbonflow.yml").read_text("utf-8")
    return {each["uid"]: each for each in yaml.safe_load(text)["datasources"]}
