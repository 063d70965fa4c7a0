"""Every metric of a worker, described once."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from carbon.factors import HOW_NAMES
from streams.book import Worked

SLICE_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class WorkerMetrics:
    """The metrics of one worker process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
            return Counter(f"carbonflow_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
            return Gauge(f"carbonflow_{name}", text, labels, registry=registry)

        self.events = counter("events_total", "Events worked.", ("topic",))
        self.transfers = counter("transfers_total", "Transfers booked.")
        self.duplicates = counter("duplicates_total", "Repeats recognised and not booked.")
        self.refusals = counter("refusals_total", "Events refused, by code.", ("code",))
        self.rekeyed = counter("rekeyed_total", "Events put right that sat in a wrong partition.")
        self.late = counter("late_total", "Events put into a late lane, to be asked about.")
        self.late_waiting_seconds = gauge(
            "late_waiting_seconds", "For how long the store has been waited for, 0 if it is not."
        )
        self.matches = counter(
            "factor_matches_total", "Activities booked, by how their factor matched.", ("how",)
        )
        self.slice_seconds = Histogram(
            "carbonflow_slice_seconds",
            "Time of each stage of a slice: step, deliver (one transaction), apply.",
            ("stage",),
            buckets=SLICE_SECONDS,
            registry=registry,
        )
        self.slice_records = Histogram(
            "carbonflow_slice_records",
            "Records of a slice.",
            buckets=(1, 10, 100, 1000, 5000, 10_000, 20_000, 50_000),
            registry=registry,
        )
        self.lag = gauge(
            "lag_offsets", "Offsets to the end that are not worked yet.", ("topic", "partition")
        )
        self.lag_seconds = gauge(
            "lag_seconds",
            "Age of the last event worked, 0 where none waits.",
            ("topic", "partition"),
        )
        self._watched: set[tuple[str, str]] = set()
        self.accounts = gauge("accounts", "Accounts held, by partition.", ("partition",))
        self.factors = gauge("factors", "Emission factors in force.")

    def watch(
        self, topic: str, partition: int, *, lag: Callable[[], float], age_s: Callable[[], float]
    ) -> None:
        """Ask for lag and age whenever somebody looks, so that a stall shows."""
        self._watched.add((topic, str(partition)))
        self.lag.labels(topic, str(partition)).set_function(lag)
        self.lag_seconds.labels(topic, str(partition)).set_function(age_s)

    def forget(self, partition: int) -> None:
        """Stop telling about a partition that is not owned any more."""
        for place in [place for place in self._watched if place[1] == str(partition)]:
            self.lag.remove(*place)
            self.lag_seconds.remove(*place)
            self._watched.remove(place)
        self.accounts.remove(str(partition))

    def worked(
        self,
        worked: Worked,
        *,
        accounts: int,
    ) -> None:
        """Take note of a committed slice."""
        part, outcome = worked.part, worked.outcome
        self.events.labels(part.topic).inc(len(part))
        self.transfers.inc(outcome.transfers.num_rows)
        self.duplicates.inc(outcome.duplicates)
        self.rekeyed.inc(len(outcome.astray))
        self.late.inc(len(outcome.late))
        for bad in outcome.refused:
            self.refusals.labels(bad.code).inc()
        for how, name in enumerate(HOW_NAMES):
            if count := int((outcome.matches == how).sum()):
                self.matches.labels(name).inc(count)
        for stage, seconds in worked.seconds.items():
            self.slice_seconds.labels(stage).observe(seconds)
        self.slice_records.observe(len(part))
        self.accounts.labels(str(part.partition)).set(accounts)
