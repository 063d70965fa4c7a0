"""Write the dashboards as Grafana reads them, and their panels into docs/dashboards.md.

`make dashboards` runs it. What it writes is committed, so that Grafana needs nothing but the files;
a test compares them with what the code makes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard, RowPanel

from deploy.grafana.dashboards import account, carbon, pipeline, quality

FOLDER: Final = Path(__file__).parent / "provisioned" / "dashboards" / "carbonflow"
PAGE: Final = Path(__file__).parents[2] / "docs" / "dashboards.md"
HEADING: Final = "## Panels\n"


def dashboards() -> Mapping[str, Dashboard]:
    """Return the dashboards by the names of their files."""
    return {
        "pipeline": pipeline.build(),
        "carbon": carbon.build(),
        "account": account.build(),
        "quality": quality.build(),
    }


def generated() -> Mapping[str, str]:
    """Return the text of each dashboard, by its file."""
    return {
        f"{name}.json": json.dumps(
            each, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False
        )
        + "\n"
        for name, each in dashboards().items()
    }


def page_of(page: str) -> str:
    """Return docs/dashboards.md with what its panels are now."""
    lines = [line for each in dashboards().values() for line in _described(each)]
    return page.partition(HEADING)[0] + HEADING + "\n".join(lines) + "\n"


def _described(page: Dashboard) -> Iterator[str]:
    yield f"\n### {str(page.title).removeprefix('Carbonflow: ')}\n\n{page.description}"
    for panel in page.panels or ():
        if isinstance(panel, RowPanel):
            yield f"\n| {panel.title} | what it answers |\n|---|---|"
        else:
            yield f"| {panel.title} | {panel.description} |"


def main() -> None:
    """Write all of it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in generated().items():
        (FOLDER / name).write_text(text, "utf-8")
    PAGE.write_text(page_of(PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
