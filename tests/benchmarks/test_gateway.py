"""The benchmark of the gateway sends what it says, and holds what it measured against the bars."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.gateway import Plan, Taken, measured, section, sentence
from benchmarks.hammering import Hammered, body
from benchmarks.pacing import Quantiles

PLAN = Plan(name="batches of 10", rate_per_s=20, records=10, bar_per_s=195)
GOOD = Taken(
    plan=PLAN,
    hammered=Hammered(
        requests=100,
        latencies=Quantiles(p50_ms=8.0, p99_ms=99.0, max_ms=120.0, count=100),
        records_per_s=199.0,
        accepted=1_000,
        late_ms=0.2,
        faults={},
    ),
    cpu_s=1.0,
    seconds=5.0,
    on_topic=1_000,
)


@pytest.mark.parametrize("records", [1, 10])
def test_what_is_measured_was_accepted_and_is_on_the_topic(tmp_path: Path, records: int) -> None:
    plan = replace(PLAN, records=records)
    taken = measured(tmp_path, plan, 2.0, warm_s=0.5)
    assert taken.hammered.faults == {}
    assert taken.hammered.accepted == 40 * records == taken.on_topic
    assert taken.hammered.requests == 30
    assert taken.hammered.latencies.p99_ms > 0
    assert taken.cpu_s > 0


def test_sessions_differ_and_are_one_a_line() -> None:
    lines = [json.loads(line) for line in body(5, 3).splitlines()]
    assert [line["session_id"] for line in lines] == [
        "session-0000000005",
        "session-0000000006",
        "session-0000000007",
    ]


def test_bars_that_hold() -> None:
    assert GOOD.misses == []
    assert "199 records/s (bar 195), p50 8.0 ms, p99 99.0 ms (bar 100 ms)" in sentence(GOOD)
    assert "| batches of 10 | 20 | 199 | 195 | 8.0 | 99.0 | 120 | 0.20 |" in section([GOOD])


def test_bars_that_do_not() -> None:
    slow = Quantiles(p50_ms=8.0, p99_ms=100.0, max_ms=120.0, count=100)
    for changes, why in (
        ({"latencies": slow}, "p99 100.0 ms, not 100"),
        ({"records_per_s": 194.0}, "194 records/s, not 195"),
        ({"faults": {"503": 1}}, "answers were {'503': 1}"),
        ({"accepted": 999}, "1 on the topic were not accepted"),
        ({"accepted": 1_001}, "1,001 were accepted, 1,000 are on the topic"),
    ):
        (miss,) = replace(GOOD, hammered=replace(GOOD.hammered, **changes)).misses
        assert miss == f"batches of 10: {why}"
