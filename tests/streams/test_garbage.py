"""Cycles are collected after slices, and by nobody else."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from streams.garbage import EVERYTHING_EVERY_S, Garbage


class Knot:
    """Refers to itself, so that only the collector can free it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def clock() -> Iterator[list[float]]:
    """Seconds, for the test to turn forward; the collector is switched on again afterwards."""
    gc.collect()
    yield [0.0]
    gc.unfreeze()
    gc.enable()


def left_alone() -> weakref.ref[Knot]:
    return weakref.ref(Knot())


def test_python_no_longer_collects_by_itself(clock: list[float]) -> None:
    Garbage(lambda: clock[0])
    assert not gc.isenabled()


def test_what_was_there_before_is_never_walked_again(clock: list[float]) -> None:
    kept = Knot()
    Garbage(lambda: clock[0])
    assert gc.get_freeze_count() > 0
    assert not any(each is kept for each in gc.get_objects())


def test_the_young_are_collected_after_a_slice(clock: list[float]) -> None:
    garbage = Garbage(lambda: clock[0])
    knot = left_alone()
    assert knot() is not None
    garbage.after_slice()
    assert knot() is None


def test_the_old_are_collected_when_that_is_due(clock: list[float]) -> None:
    garbage = Garbage(lambda: clock[0])
    kept = Knot()
    knot = weakref.ref(kept)
    gc.collect(1)  # It is of the oldest generation from here on.
    del kept
    garbage.after_slice()
    assert knot() is not None
    clock[0] = EVERYTHING_EVERY_S
    garbage.after_slice()
    assert knot() is None
