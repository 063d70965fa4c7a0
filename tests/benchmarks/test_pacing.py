"""Schedules wait for nobody, and quantiles say what was measured."""

import numpy as np
import pytest

from benchmarks.pacing import Schedule, quantiles


def test_events_are_due_at_even_steps_from_the_start() -> None:
    due_s = Schedule(rate_per_s=1_000, seconds=0.5).due_s(100.0)
    assert len(due_s) == 500
    assert due_s[0] == 100.0
    assert np.diff(due_s) == pytest.approx(0.001)


def test_a_quantile_is_a_latency_that_was_measured() -> None:
    found = quantiles([number / 1000 for number in range(1, 201)])
    assert (found.p50_ms, found.p99_ms, found.max_ms, found.count) == (100.0, 198.0, 200.0, 200)


def test_one_slow_answer_in_fifty_is_the_99th_percentile() -> None:
    assert quantiles([0.001] * 49 + [2.0]).p99_ms == 2_000.0


def test_nothing_measured_has_no_quantiles() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        quantiles([])


def test_what_never_ended_is_said_to_be_a_lower_bound() -> None:
    assert quantiles([0.1, 10.0], lost=1).shown == "p50 at least 100.0 ms, p99 at least 10,000.0 ms"
