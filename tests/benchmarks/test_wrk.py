"""What wrk sends is taken in, and what it says is held against the bars."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.wrk import Asked, Plan, asked, section, sentence

PLAN = Plan(name="batches of 10", records=10, connections=2, bar_per_s=50)
GOOD = Asked(
    plan=PLAN,
    requests=100,
    seconds=2.0,
    p50_ms=8.0,
    p99_ms=99.0,
    max_ms=120.0,
    faults=0,
    on_topic=1_020,
)


@pytest.mark.parametrize("records", [1, 10])
def test_what_is_accepted_is_on_the_topic(tmp_path: Path, records: int) -> None:
    load = asked(tmp_path, replace(PLAN, records=records), 1)
    assert load.faults == 0
    assert load.requests > 0
    # A connection that ends has no answer any more, and its sessions may be there: those of the
    # load, and those of the warm-up when they come late.
    assert 0 <= load.on_topic - load.requests * records <= 2 * PLAN.connections * records
    assert 0 < load.p50_ms <= load.p99_ms <= load.max_ms


def test_bars_that_hold() -> None:
    assert GOOD.misses == []
    assert "500 records/s (bar 50), p50 8.0 ms, p99 99.0 ms (bar 100 ms)" in sentence(GOOD)
    assert "| batches of 10 | 2 | 500 | 50 | 8.0 | 99.0 | 120 |" in section([GOOD])


def test_bars_that_do_not() -> None:
    for changes, why in (
        ({"p99_ms": 100.0}, "p99 100.0 ms, not 100"),
        ({"seconds": 100.0}, "10 records/s, not 50"),
        ({"faults": 1}, "1 answers were none, or errors"),
        ({"on_topic": 999}, "1,000 were accepted, 999 are on the topic"),
    ):
        (miss,) = replace(GOOD, **changes).misses
        assert miss == f"batches of 10: {why}"
