"""Every metric of a worker is described, and a committed slice touches every one."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from carbon.factors import FactorTable
from carbon.limits import FOREVER_MS
from carbon.refusal import REFUSALS
from schemas.partition import partition_of
from streams.accounts import Accounts
from streams.book import Worked
from streams.metrics import Restoring, WorkerMetrics
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
DATED = replace(BY.factors.factors[0], kind="grid_hourly", valid_from=NOW_MS, valid_to=LATER_MS)
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
    metrics.take_factors(FactorTable.of([*BY.factors.factors, DATED]))
    metrics.breaker_open.set(1)
    metrics.restoring_seconds.set_function(lambda: 7)
    metrics.restore_seconds.observe(8)
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
        ("carbonflow_factors", {}, len(BY.factors.factors) + 1),
        ("carbonflow_factors_until_timestamp_seconds", {"kind": DATED.kind}, LATER_MS / 1000),
        ("carbonflow_restoring_seconds", {}, 7),
        ("carbonflow_restore_seconds_sum", {}, 8),
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


def test_what_may_be_counted_is_there_from_the_start() -> None:
    registry = CollectorRegistry()
    WorkerMetrics(registry)
    for code in REFUSALS:
        assert registry.get_sample_value("carbonflow_refusals_total", {"code": code}) == 0
    for topic in ("charging-sessions", "late-freight-trips"):
        assert registry.get_sample_value("carbonflow_events_total", {"topic": topic}) == 0
    assert registry.get_sample_value("carbonflow_factor_matches_total", {"how": "exact"}) == 0
    for name in ("breaker_open", "restoring_seconds", "late_waiting_seconds", "transfers_total"):
        assert registry.get_sample_value(f"carbonflow_{name}") == 0


def test_the_longest_of_the_restorations_under_way_is_told() -> None:
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)
    now_s = [10.0]
    restoring = Restoring(metrics.restore_seconds, lambda: now_s[0])
    assert restoring.waited_s() == 0
    with restoring.one():
        now_s[0] = 14.0
        with restoring.one():
            now_s[0] = 15.0
            assert restoring.waited_s() == 5
        assert restoring.waited_s() == 5
    assert restoring.waited_s() == 0
    assert registry.get_sample_value("carbonflow_restore_seconds_sum") == 5 + 1


def test_a_restoration_that_fails_is_not_under_way_any_more_and_none_that_was_done() -> None:
    registry = CollectorRegistry()
    restoring = WorkerMetrics(registry).restoring
    with pytest.raises(ValueError, match="lost"), restoring.one():
        raise ValueError("lost")
    assert restoring.waited_s() == 0
    assert registry.get_sample_value("carbonflow_restore_seconds_count") == 0


def test_a_kind_of_which_no_dated_factor_is_in_force_is_not_told_about() -> None:
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)
    metrics.take_factors(FactorTable.of([DATED]))
    metrics.take_factors(FactorTable.of([replace(DATED, valid_to=FOREVER_MS)]))
    assert registry.get_sample_value("carbonflow_factors") == 1
    labels = {"kind": DATED.kind}
    assert registry.get_sample_value("carbonflow_factors_until_timestamp_seconds", labels) is None
