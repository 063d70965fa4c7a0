"""Freshness is counted by columns as Prometheus would value by value; what counts begins at 0."""

import numpy as np
from prometheus_client import CollectorRegistry, Histogram

from sinks.metrics import FRESHNESS_BOUNDS_S, SinkMetrics, VerifyMetrics
from sinks.verify import KINDS
from sinks.writer import ROUTES

AGES_MS = [-5_000, 0, 49, 50, 51, 250, 999, 1_000, 1_001, 3_600_000, 3_600_001, 10**12]


def test_freshness_is_the_histogram_of_all_rows() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    freshness = SinkMetrics(ours).freshness
    for part in (AGES_MS[:5], AGES_MS[5:]):
        freshness.observe("transfers", np.array(part, dtype=np.int64))
    singly = Histogram(
        freshness.name, freshness.help, ["table"], buckets=FRESHNESS_BOUNDS_S, registry=theirs
    )
    for age_ms in AGES_MS:
        singly.labels("transfers").observe(max(0, age_ms) / 1000)
    for bound in (*map(str, FRESHNESS_BOUNDS_S), "+Inf"):
        labels = {"table": "transfers", "le": bound}
        name = f"{freshness.name}_bucket"
        assert ours.get_sample_value(name, labels) == theirs.get_sample_value(name, labels)
    labels = {"table": "transfers"}
    name = f"{freshness.name}_sum"
    assert ours.get_sample_value(name, labels) == theirs.get_sample_value(name, labels)


def test_each_table_is_counted_from_the_start() -> None:
    registry = CollectorRegistry()
    SinkMetrics(registry)
    for table in (route.table for route in ROUTES.values()):
        for name in ("rows_total", "insert_seconds_count", "freshness_seconds_count"):
            assert registry.get_sample_value(f"carbonflow_sink_{name}", {"table": table}) == 0


def test_what_a_comparison_found_is_counted_by_kind_and_forgotten_by_the_next() -> None:
    registry = CollectorRegistry()
    metrics = VerifyMetrics(registry)

    def found() -> dict[str, float | None]:
        name = "carbonflow_verify_disagreements"
        return {kind: registry.get_sample_value(name, {"kind": kind}) for kind in KINDS}

    assert found() == dict.fromkeys(KINDS, 0)
    metrics.told(["balance", "leg", "balance"])
    assert found() == dict.fromkeys(KINDS, 0) | {"balance": 2, "leg": 1}
    metrics.told([])
    assert found() == dict.fromkeys(KINDS, 0)
    for outcome, count in {"ok": 1, "drift": 1, "failed": 0}.items():
        name = "carbonflow_verify_rounds_total"
        assert registry.get_sample_value(name, {"outcome": outcome}) == count
