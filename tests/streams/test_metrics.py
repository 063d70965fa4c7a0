"""Every metric of a worker is described, and a committed slice touches every one."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from schemas.partition import partition_of
from streams.accounts import Accounts
from streams.book import Worked
from streams.metrics import WorkerMetrics
from tests.streams.scene import DAY_MS, NOW_MS, Event, event, part_of, rules, session, work

BY = replace(rules(partitions=4), late_lane=True)
HOME = partition_of(b"anna", 4)
ASTRAY = next(name for name in "abcdefgh" if partition_of(name.encode(), 4) != HOME)
FORGETFUL = next(name for name in "bcdefgh" if partition_of(name.encode(), 4) == HOME)
LATER_MS = NOW_MS + 40 * DAY_MS
FORGETTING = [
    event(session(account_id=FORGETFUL)),
    event(
        session(account_id=FORGETFUL, session_id="S2", started_at=LATER_MS, ended_at=LATER_MS),
        LATER_MS,
    ),
]
EVENTS = [
    event(session()),
    event(session()),
    event(session(account_id=ASTRAY, session_id="S2")),
    Event(b"broken"),
    event(session(account_id=FORGETFUL), LATER_MS),
]


def metrics_after_a_slice() -> CollectorRegistry:
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)
    part = part_of(EVENTS, partition=HOME, first_offset=10)
    accounts = Accounts()
    for one in FORGETTING:
        work(accounts, part_of([one], partition=HOME), BY)
    outcome = work(accounts, part, BY)
    worked = Worked(part, outcome, {"step": 0.1, "deliver": 0.2, "apply": 0.3})
    metrics.late_waiting_seconds.set(7)
    metrics.factors.set(len(BY.factors.factors))
    metrics.watch("charging-sessions", HOME, lag=lambda: 6, age_s=lambda: 5)
    metrics.worked(worked, accounts=1)
    return registry


def samples(registry: CollectorRegistry) -> list[Any]:
    return [sample for metric in registry.collect() for sample in metric.samples]


def test_every_metric_has_a_name_of_ours_and_a_sentence_that_describes_it() -> None:
    for metric in CollectorRegistry.collect(metrics_after_a_slice()):
        assert re.fullmatch(r"carbonflow_[a-z_]+", metric.name)
        assert re.fullmatch(r"[A-Z].{10,}\.", metric.documentation), metric.name


def test_a_committed_slice_touches_every_metric() -> None:
    untouched = {
        metric.name
        for metric in metrics_after_a_slice().collect()
        if not any(
            sample.value for sample in metric.samples if not sample.name.endswith("_created")
        )
    }
    assert untouched == set()


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("carbonflow_events_total", {"topic": "charging-sessions"}, 5),
        ("carbonflow_transfers_total", {}, 2),
        ("carbonflow_duplicates_total", {}, 1),
        ("carbonflow_rekeyed_total", {}, 1),
        ("carbonflow_late_total", {}, 1),
        ("carbonflow_refusals_total", {"code": "not_framed"}, 1),
        ("carbonflow_factor_matches_total", {"how": "exact"}, 1),
        ("carbonflow_slice_seconds_sum", {"stage": "deliver"}, 0.2),
        ("carbonflow_slice_records_sum", {}, 5),
        ("carbonflow_lag_offsets", {"topic": "charging-sessions", "partition": str(HOME)}, 6),
        ("carbonflow_lag_seconds", {"topic": "charging-sessions", "partition": str(HOME)}, 5),
        ("carbonflow_accounts", {"partition": str(HOME)}, 1),
    ],
)
def test_a_metric_has_its_value(name: str, labels: dict[str, str], value: float) -> None:
    assert metrics_after_a_slice().get_sample_value(name, labels) == value


def test_lag_is_asked_for_whenever_somebody_looks() -> None:
    registry = CollectorRegistry()
    lags = iter([3.0, 7.0])
    WorkerMetrics(registry).watch("freight-trips", 0, lag=lambda: next(lags), age_s=lambda: 0)
    labels = {"topic": "freight-trips", "partition": "0"}
    seen = [registry.get_sample_value("carbonflow_lag_offsets", labels) for _ in range(2)]
    assert seen == [3.0, 7.0]


def test_a_partition_that_is_not_owned_any_more_is_not_told_about() -> None:
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)
    metrics.watch("freight-trips", 3, lag=lambda: 1, age_s=lambda: 1)
    metrics.accounts.labels("3").set(5)
    metrics.forget(3)
    labelled = [sample for sample in samples(registry) if sample.labels.get("partition") == "3"]
    assert labelled == []
