"""Every metric of a worker, described once.

Counters whose labels are known beforehand begin with 0 for each of them: what a counter has when it
is first seen is no increase to Prometheus, so a first refusal would go unnoticed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from carbon.factors import HOW_NAMES, FactorTable
from carbon.limits import FOREVER_MS
from carbon.refusal import REFUSALS
from schemas.catalogue import ACTIVITY_TOPICS, LATE_OF
from streams.book import Worked

SLICE_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
RESTORE_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)


class Restoring:
    """The restorations under way, and how long those took that are done.

    Args:
        seconds: Gets the time of each [s].
        now: A clock [s].
    """

    def __init__(self, seconds: Histogram, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._now = now
        self._begun: list[float] = []

    @contextmanager
    def one(self) -> Iterator[None]:
        """Time the restoration that is done in the context; one that fails is not counted."""
        began = self._now()
        self._begun.append(began)
        try:
            yield
        finally:
            self._begun.remove(began)
        self._seconds.observe(self._now() - began)

    def waited_s(self) -> float:
        """Return how long the longest has been under way, 0 if none is."""
        begun = self._begun.copy()  # The thread that serves metrics asks.
        return self._now() - min(begun) if begun else 0.0


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
            buckets=(1, 10, 100, 1000, 5000, 10_000, 20_000, 50_000, 100_000),
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
        self.restore_seconds = Histogram(
            "carbonflow_restore_seconds",
            "Time from taking over a partition to having its accounts.",
            buckets=RESTORE_SECONDS,
            registry=registry,
        )
        self.restoring_seconds = gauge(
            "restoring_seconds", "For how long accounts have been awaited, 0 if they are not."
        )
        self.restoring = Restoring(self.restore_seconds)
        self.restoring_seconds.set_function(self.restoring.waited_s)
        self.breaker_open = gauge("breaker_open", "Whether the breaker has opened, 0 or 1.")
        self._watched: set[tuple[str, str]] = set()
        self.accounts = gauge("accounts", "Accounts held, by partition.", ("partition",))
        self.factors = gauge("factors", "Emission factors in force.")
        self.factors_until = gauge(
            "factors_until_timestamp_seconds",
            "When the last of the dated factors in force ends, by kind.",
            ("kind",),
        )
        for topic in (*ACTIVITY_TOPICS, *LATE_OF.values()):
            self.events.labels(topic)
        for code in REFUSALS:
            self.refusals.labels(code)
        for how in HOW_NAMES:
            self.matches.labels(how)

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

    def take_factors(self, table: FactorTable) -> None:
        """Take note of the factors in force."""
        self.factors.set(len(table.factors))
        until_ms: dict[str, int] = {}
        for factor in table.factors:
            if factor.valid_to < FOREVER_MS:
                until_ms[factor.kind] = max(factor.valid_to, until_ms.get(factor.kind, 0))
        self.factors_until.clear()
        for kind, last_ms in until_ms.items():
            self.factors_until.labels(kind).set(last_ms / 1000)

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
