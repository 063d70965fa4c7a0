"""Write the dashboards as Grafana reads them: `python -m deploy.grafana.generate`.

The files are committed, so that Grafana needs nothing but them; a test compares them with what the
code makes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.dashboards import account, carbon, pipeline, quality

FOLDER: Final = Path(__file__).parent / "provisioned" / "dashboards" / "carbonflow"


def generated() -> Mapping[str, str]:
    """Return the text of each dashboard, by the name of its file."""
    pages = {"pipeline": pipeline, "carbon": carbon, "account": account, "quality": quality}
    return {
        f"{name}.json": json.dumps(
            module.build(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False
        )
        + "\n"
        for name, module in pages.items()
    }


def main() -> None:
    """Write all of them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in generated().items():
        (FOLDER / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
