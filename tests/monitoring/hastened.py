"""The shipped Prometheus files for a test: other targets, and time runs a hundred times faster.

Everything else stays as it is shipped: jobs, expressions, thresholds, labels, annotations.

* Every range (`[5m]`) and every `for:` of a rule is a hundredth of what is shipped.
* Scrapes and evaluations are a second apart: a hundredth would leave a scrape no time to be
  answered. A range of three seconds still holds the two samples that a rate needs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.monitoring.shipped import CONFIG, PROMETHEUS, RULES, loaded

FASTER: Final = 100
INTERVAL: Final = "1s"

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def hastened(rules: str) -> str:
    """Return rules whose ranges and delays are a hundredth.

    >>> hastened('expr: rate(x[5m]) > 300' + chr(10) + 'for: 10m')
    'expr: rate(x[3000ms]) > 300\\nfor: 6000ms'
    """

    def shorter(found: re.Match[str]) -> str:
        milliseconds = int(found[2]) * _SECONDS[found[3]] * 1000 // FASTER
        return f"{found[1]}{milliseconds}ms"

    return re.sub(r"(?m)(\[|^\s*for: )(\d+)([smhd])\b", shorter, rules)


def write_hastened(folder: Path, targets: Mapping[str, Sequence[str]]) -> Path:
    """Write the files into a folder; return the configuration's path.

    Args:
        folder: An empty folder.
        targets: `host:port` of the targets, by the name of their job; of every shipped job.
    """
    config = loaded(CONFIG)
    jobs = config["scrape_configs"]
    assert {job["job_name"] for job in jobs} == targets.keys()
    for name in ("scrape_interval", "scrape_timeout", "evaluation_interval"):
        config["global"][name] = INTERVAL
    for job in jobs:
        job["static_configs"] = [{"targets": list(targets[job["job_name"]])}]
    for path in RULES:
        written = folder / path.relative_to(PROMETHEUS)
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(hastened(path.read_text("utf-8")), "utf-8")
    path = folder / CONFIG.name
    path.write_text(json.dumps(config), "utf-8")  # JSON is YAML.
    return path
