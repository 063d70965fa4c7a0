"""Writes the rules of deploy/prometheus/rules as what the Prometheus operator reads: `make rules`.

There is one source of rules. Kustomize takes no file from outside of its folder and can't put one
into another, so the copy is made here and a test compares.
"""

import sys
from pathlib import Path
from typing import Any, Final

import yaml

RULES: Final = Path(__file__).resolve().parents[1] / "prometheus/rules"
HEAD: Final = "# Written by `make rules` from deploy/prometheus/rules; change it there.\n"


def written() -> str:
    """Return the PrometheusRule of all files of rules.

    Raises:
        FileNotFoundError: There are none.
    """
    files = sorted(RULES.glob("*.yml"))
    if not files:
        raise FileNotFoundError(f"there are no rules in {RULES}")
    groups: list[Any] = []
    for file in files:
        groups += yaml.safe_load(file.read_text("utf-8"))["groups"]
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "carbonflow", "labels": {"app.kubernetes.io/name": "carbonflow"}},
        "spec": {"groups": groups},
    }
    return HEAD + yaml.safe_dump(rule, sort_keys=False, allow_unicode=True, width=120)


if __name__ == "__main__":
    sys.stdout.write(written())
