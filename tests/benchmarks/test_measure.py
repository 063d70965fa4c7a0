"""What is between two looks at a contestant, and when the next look is due."""

import math
import os
import time

import pytest

from benchmarks.contestants import KAFKA_STREAMS, OURS, PLAIN_FAUST
from benchmarks.measure import (
    CPU_TICK_S,
    LOOK_S_MAX,
    LOOK_S_MIN,
    BenchmarkError,
    Look,
    Measured,
    begun,
    cpu_s,
    pause_s,
)

FIRST = Look(10.0, 1_000, 3.0)


def test_what_the_first_look_found_is_not_counted() -> None:
    measured = Measured.between(FIRST, Look(12.0, 31_000, 4.5))
    assert measured == Measured(events=30_000, elapsed_s=2.0, cpu_s=1.5)


def test_rates_are_per_second_and_per_second_of_a_processor() -> None:
    measured = Measured(events=30_000, elapsed_s=2.0, cpu_s=1.5)
    assert (measured.events_per_s, measured.events_per_cpu_s) == (15_000, 20_000)


def test_a_load_that_was_done_at_the_first_look_measures_nothing() -> None:
    with pytest.raises(BenchmarkError, match="more events"):
        Measured.between(FIRST, Look(12.0, 1_000, 4.5))


def test_processor_time_below_the_clock_s_tick_counts_as_a_tick() -> None:
    assert Measured.between(FIRST, Look(10.1, 2_000, 3.0)).cpu_s == CPU_TICK_S


def test_the_next_look_comes_halfway_to_the_end() -> None:
    assert pause_s(Look(0.0, 0, 0.0), 1.0, 50_000, 60_000) == pytest.approx(0.1)


def test_looks_are_never_more_frequent_than_they_are_precise() -> None:
    assert pause_s(Look(0.0, 0, 0.0), 1.0, 59_999, 60_000) == LOOK_S_MIN


def test_looks_are_rare_where_no_end_is_near() -> None:
    assert pause_s(Look(0.0, 0, 0.0), 1.0, 10_000, math.inf) == LOOK_S_MAX


def test_before_anything_has_moved_looks_are_frequent() -> None:
    assert pause_s(FIRST, 11.0, FIRST.events, 60_000) == LOOK_S_MIN


def test_the_processor_time_of_a_process_is_what_it_has_used() -> None:
    assert cpu_s(os.getpid()) >= time.process_time() * 0.9


def test_the_clock_of_a_peer_starts_when_its_counter_moves() -> None:
    assert not begun(PLAIN_FAUST, [], 0, 300)
    assert begun(PLAIN_FAUST, [], 1, 300)


def test_a_jvm_is_warm_before_its_clock_starts() -> None:
    assert not begun(KAFKA_STREAMS, [], 100, 300)
    assert begun(KAFKA_STREAMS, [], 101, 300)


def test_our_clock_starts_with_the_first_open_book_and_not_with_the_first_commit() -> None:
    lag = 'carbonflow_lag_offsets{partition="0",topic="charging-sessions"} 75000.0'
    assert begun(OURS, [lag], 0, 300)
    assert not begun(OURS, ["# TYPE carbonflow_lag_offsets gauge"], 100, 300)
