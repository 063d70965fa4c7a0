"""The shipped files of Prometheus, read: rules, jobs, and what their expressions name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from prometheus_client import CollectorRegistry, ProcessCollector

from api.gateway.metrics import GatewayMetrics
from api.metrics import ApiMetrics
from schemas.certificates import CertificateMetrics
from sinks.metrics import FollowingMetrics, SinkMetrics, VerifyMetrics
from streams.metrics import WorkerMetrics
from tests.pages import ROOT

PROMETHEUS: Final = ROOT / "deploy/prometheus"
CONFIG: Final = PROMETHEUS / "prometheus.yml"
RULES: Final = tuple(sorted((PROMETHEUS / "rules").glob("*.yml")))
TESTS: Final = tuple(sorted((PROMETHEUS / "tests").glob("*.yml")))

BY_PROMETHEUS: Final = {"up"}
"""What it knows of each target without being told."""

_KEYWORDS: Final = {"and", "or", "unless", "bool", "offset"}
_LABELS: Final = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_MATCHERS: Final = re.compile(r"\{([^}]*)\}")


@dataclass(frozen=True, slots=True)
class Named:
    """What an expression names: metrics, and labels in matchers and lists."""

    metrics: frozenset[str]
    labels: frozenset[str]

    @classmethod
    def of(cls, expression: str) -> Named:
        """Read an expression.

        >>> named = Named.of('sum by (a) (rate(x_total{b="c{d"}[5m])) / on (e) f:g > 1e3 or time()')
        >>> sorted(named.metrics), sorted(named.labels)
        (['f:g', 'x_total'], ['a', 'b', 'e'])
        """
        bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
        lists = [*_LABELS.findall(bare), *_MATCHERS.findall(bare)]
        labels = {name for each in lists for name in re.findall(r"[a-zA-Z_]\w*", each)}
        bare = re.sub(r"\[[^\]]*\]", "", _MATCHERS.sub("", _LABELS.sub("", bare)))
        names = re.findall(r"(?<![\w:.])[a-zA-Z_:][\w:]*(?!\s*\(|[\w:])", bare)
        return cls(frozenset(names) - _KEYWORDS, frozenset(labels))


def loaded(path: Path) -> Any:
    """Return a file of YAML."""
    return yaml.safe_load(path.read_text("utf-8"))


def rules() -> list[dict[str, Any]]:
    """Return all rules, recording and alerting."""
    return [rule for path in RULES for group in loaded(path)["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    """Return the alerting rules."""
    return [rule for rule in rules() if "alert" in rule]


def recorded() -> dict[str, str]:
    """Return the expressions of the recording rules, by name."""
    return {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


@cache
def exported() -> dict[str, frozenset[str]]:
    """Return the labels of every series that the processes export, by its name."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    for kind in (
        WorkerMetrics,
        SinkMetrics,
        ApiMetrics,
        GatewayMetrics,
        FollowingMetrics,
        VerifyMetrics,
    ):
        kind(registry)
    CertificateMetrics(registry, {})
    found: dict[str, frozenset[str]] = {}
    for described in registry._collector_to_names:
        for family in described.collect():
            # A collector of our own says its labels in the family it makes.
            source: Any = described if hasattr(described, "_labelnames") else family
            labels = frozenset(source._labelnames)
            for suffix, extra in _series(family.type):
                found[family.name + suffix] = labels | extra
    return found


def _series(kind: str) -> list[tuple[str, frozenset[str]]]:
    none: frozenset[str] = frozenset()
    match kind:
        case "counter":
            return [("_total", none)]
        case "histogram":
            return [("_bucket", frozenset({"le"})), ("_sum", none), ("_count", none)]
        case _:
            return [("", none)]
