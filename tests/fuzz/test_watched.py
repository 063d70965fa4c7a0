"""What hangs or dies under the fuzz is a failure that says where, and the fuzz comes to its end."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from tests.fuzz import watched as module
from tests.fuzz.run import Ran
from tests.fuzz.watched import Lost, Say, first_lost, run_slice_watched, watched

SILENT_S: float = 15.0


def hangs(say: Say, began: Callable[[int], None]) -> Ran:
    began(3)
    say("so far")
    began(4)
    threading.Event().wait()
    return Ran()


def dies(_say: Say, began: Callable[[int], None]) -> Ran:
    began(7)
    os._exit(9)


def test_work_that_hangs_is_killed_and_its_slice_named() -> None:
    said: list[str] = []
    lost = watched(hangs, said.append, silent_s_max=SILENT_S)
    assert lost == Lost(4, "it hangs: nothing for 15 s")
    assert said == ["so far"]


def test_work_that_dies_is_no_other() -> None:
    assert watched(dies, print) == Lost(7, "the process ended with 9")


def test_the_record_is_named_that_a_slice_is_lost_with() -> None:
    asked: list[int] = []

    def is_lost(first: int) -> bool:
        asked.append(first)
        return first > 5

    assert first_lost(8, is_lost) == 5
    assert first_lost(5, is_lost) is None
    assert len(asked) <= 6


def test_a_slice_that_comes_to_its_end_is_told_as_it_is() -> None:
    said: list[str] = []
    ran = run_slice_watched(0, 1, said.append)
    assert (ran.passed, ran.failed, said) == (1, 0, [])
    assert ran.memory == "memory not measured: too few slices"


def test_a_lost_slice_is_a_failure_with_seed_slice_and_record() -> None:
    said: list[str] = []
    ran = module._told(Lost(2, "it hangs"), 1, said.append)
    assert (ran.passed, ran.failed) == (0, 1)
    assert said[0] == "slice 2 of seed 1: it hangs"
    assert said[-1] == "  again: python -m tests.fuzz --seed 1 --slice 2"
