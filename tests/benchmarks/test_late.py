"""The benchmark of late events: it would notice one that was not told apart."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.late import Run, measure

EVENTS = 6_000


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder: Path = tmp_path_factory.mktemp("late")
    return measure(folder, EVENTS)


def test_each_event_is_told_apart(run: Run) -> None:
    assert (run.repeats, run.booked, run.verdict.ok) == (EVENTS // 2, EVENTS // 2, True)
    assert run.is_right


def test_an_event_that_was_not_told_apart_is_noticed(run: Run) -> None:
    assert not replace(run, repeats=run.repeats - 1, booked=run.booked + 1).is_right
    assert not replace(run, booked=run.booked - 1).is_right
