"""Freshness, counted by columns, as Prometheus would count value by value."""

import numpy as np
from prometheus_client import CollectorRegistry, Histogram

from sinks.metrics import FRESHNESS_BOUNDS_S, SinkMetrics

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
