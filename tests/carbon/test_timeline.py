"""Periods tell instants apart exactly where something changes, and nowhere else."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from carbon.series import NONE
from carbon.timeline import Timeline, periods

INSTANTS = st.lists(st.integers(-50, 50), min_size=1, max_size=30)


@given(INSTANTS, st.sets(st.integers(-60, 60), max_size=10))
def test_an_instant_stands_for_all_of_its_period(at: list[int], edges: set[int]) -> None:
    number, instants = periods(np.array(at), np.array(sorted(edges), dtype=np.int64))
    for row, at_ms in enumerate(at):
        stands = int(instants[number[row]])
        assert not any(min(stands, at_ms) < edge <= max(stands, at_ms) for edge in edges)
    assert set(number.tolist()) == set(range(len(instants)))


def test_no_instants_lie_in_no_period() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    number, instants = periods(nothing, np.array([5]))
    assert (len(number), len(instants)) == (0, 0)


def test_a_timeline_answers_from_each_change_on_and_has_nothing_before() -> None:
    line = Timeline(
        change_ms=np.array([10, 20]),
        factor=np.array([NONE, 4, NONE], dtype=np.int32),
        how=np.array([0, 1, 0]),
    )
    factor, how = line.at(np.array([9, 10, 19, 20]))
    assert factor.tolist() == [NONE, 4, 4, NONE]
    assert how.tolist() == [0, 1, 1, 0]
