"""The sink's metrics, each described here and nowhere else.

`SinkMetrics(registry)` registers them; the sink calls its methods. Freshness is counted for every
record, by columns: prometheus_client observes one value at a time, so `Freshness` keeps the bucket
counts itself and hands them over when scraped. What is labelled by table begins with 0 for each:
what a counter has when it is first seen is no increase to Prometheus.
"""

import threading
from collections import Counter as Counts
from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from sinks.verify import KINDS
from sinks.writer import ROUTES

FRESHNESS_BOUNDS_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
_BOUNDS_MS: Final = (*(int(bound * 1000) for bound in FRESHNESS_BOUNDS_S), np.iinfo(np.int64).max)


class Freshness(Collector):
    """Histogram, by table, of the seconds from a record's Kafka timestamp to its row."""

    name: Final = "carbonflow_sink_freshness_seconds"
    help: Final = "From a record's Kafka timestamp to its row being queryable [s]."

    def __init__(self, tables: Iterable[str]) -> None:
        self._lock = threading.Lock()
        self._totals: dict[str, npt.NDArray[np.int64]] = {
            table: np.zeros(len(_BOUNDS_MS), dtype=np.int64) for table in tables
        }
        self._sums = dict.fromkeys(self._totals, 0.0)

    def observe(self, table: str, ages_ms: npt.NDArray[np.int64]) -> None:
        """Count one value for each row of `table`; clocks that run ahead of ours count as 0 s."""
        ages_ms = np.maximum(ages_ms, 0)
        # A dozen comparisons of whole columns take half the time of looking up each value.
        totals = np.array([np.count_nonzero(ages_ms <= bound) for bound in _BOUNDS_MS])
        with self._lock:
            self._totals[table] = self._totals[table] + totals
            self._sums[table] += float(ages_ms.sum()) / 1000

    def collect(self) -> Iterable[Metric]:
        """Return the histogram as Prometheus wants it, with running totals."""
        family = HistogramMetricFamily(self.name, self.help, labels=["table"])
        bounds = [str(bound) for bound in FRESHNESS_BOUNDS_S] + ["+Inf"]
        with self._lock:
            for table, totals in self._totals.items():
                buckets = [
                    (bound, float(total))
                    for bound, total in zip(bounds, totals.tolist(), strict=True)
                ]
                family.add_metric([table], buckets, self._sums[table])
        yield family


class SinkMetrics:
    """All metrics of one sink process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.rows = Counter(
            "carbonflow_sink_rows", "Rows inserted, repeats included.", ["table"], registry=registry
        )
        self.skipped = Counter(
            "carbonflow_sink_skipped",
            "Records not stored because they cannot be decoded; the worker refuses them.",
            ["topic", "code"],
            registry=registry,
        )
        self.insert_seconds = Histogram(
            "carbonflow_sink_insert_seconds",
            "Inserting the rows of one topic [s].",
            ["table"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
            registry=registry,
        )
        self.lag_offsets = Gauge(
            "carbonflow_sink_lag_offsets",
            "Offsets between what is committed and what is readable.",
            ["topic", "partition"],
            registry=registry,
        )
        self.lag_seconds = Gauge(
            "carbonflow_sink_lag_seconds",
            "Age of the last stored record while more wait behind it, else 0 [s].",
            ["topic", "partition"],
            registry=registry,
        )
        tables = [route.table for route in ROUTES.values()]
        self.freshness = Freshness(tables)
        registry.register(self.freshness)
        for table in tables:
            self.rows.labels(table)
            self.insert_seconds.labels(table)


class FollowingMetrics:
    """Metrics of whoever follows the topic of balances."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.records = Counter(
            "carbonflow_balances_followed", "Records of balances taken in.", registry=registry
        )
        self.lag_offsets = Gauge(
            "carbonflow_balances_lag_offsets",
            "Offsets between what is taken in and what is readable.",
            ["partition"],
            registry=registry,
        )


class VerifyMetrics:
    """Metrics of whoever compares source, ledger and balances again and again."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.disagreements = Gauge(
            "carbonflow_verify_disagreements",
            "Disagreements that the last comparison found and that stayed, by kind.",
            ["kind"],
            registry=registry,
        )
        self.rounds = Counter(
            "carbonflow_verify_rounds",
            "Comparisons, by what came of them: ok, drift or failed.",
            ["outcome"],
            registry=registry,
        )
        self.last_s = Gauge(
            "carbonflow_verify_last_timestamp_seconds",
            "When source, ledger and balances were last compared, 0 before the first time.",
            registry=registry,
        )
        self.seconds = Gauge(
            "carbonflow_verify_seconds", "How long the last comparison took.", registry=registry
        )
        for kind in KINDS:
            self.disagreements.labels(kind)
        for outcome in ("ok", "drift", "failed"):
            self.rounds.labels(outcome)

    def told(self, kinds: Iterable[str]) -> None:
        """Take note of a comparison that was made, and the kinds of what it found."""
        found = Counts(kinds)
        for kind in KINDS:
            self.disagreements.labels(kind).set(found[kind])
        self.rounds.labels("drift" if found else "ok").inc()
        self.last_s.set_to_current_time()
