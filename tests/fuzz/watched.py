"""A fuzz that cannot hang: it works in a process of its own, which must begin a slice in time.

What hangs or dies is a failure that names seed, slice and record. For the record the slice is
worked again, cut short ever closer.
"""

from __future__ import annotations

import faulthandler
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Final, TypeAlias

from tests.fuzz.mutants import case
from tests.fuzz.run import Ran, partitions_of, run, run_slice

SILENT_S_MAX: Final = 120.0
"""Of a process, from its start or the begin of a slice on; a slice takes a second, with its checks,
and to compile the kernels, if need be, takes twenty."""
TOLD_BEFORE_S: Final = 1.0

Say: TypeAlias = Callable[[str], None]
Work: TypeAlias = Callable[[Say, Callable[[int], None]], Ran]


@dataclass(frozen=True, slots=True)
class Lost:
    """A process that did not come to its end: the slice it was in, None before the first."""

    number: int | None
    why: str


def watched(work: Work, say: Say, *, silent_s_max: float = SILENT_S_MAX) -> Ran | Lost:
    """Do some work in a process of its own; kill that where it says nothing for too long.

    Args:
        work: Gets how to say something, and what to call with the number of each slice it begins.
        say: Gets what it says.
        silent_s_max: How long it may be silent [s].
    """
    spawning = get_context("spawn")
    ours, theirs = spawning.Pipe(duplex=False)
    process = spawning.Process(target=_work, args=(work, theirs, silent_s_max), daemon=True)
    process.start()
    theirs.close()
    number: int | None = None
    try:
        while ours.poll(silent_s_max):
            heard = ours.recv()
            if isinstance(heard, Ran):
                return heard
            if isinstance(heard, str):
                say(heard)
            else:
                number = heard
        return Lost(number, f"it hangs: nothing for {silent_s_max:.0f} s")
    except EOFError:
        process.join()
        return Lost(number, f"the process ended with {process.exitcode}")
    finally:
        process.kill()
        process.join()
        ours.close()


def _work(work: Work, pipe: Connection, silent_s_max: float) -> None:
    def began(number: int) -> None:
        pipe.send(number)
        # Where it hangs; whoever waits kills it a moment later.
        faulthandler.dump_traceback_later(max(silent_s_max - TOLD_BEFORE_S, silent_s_max / 2))

    pipe.send(work(pipe.send, began))


def run_watched(records: int, seed: int, say: Say) -> Ran:
    """Work so many mutants and more, as `run` does; a lost slice is a failure and the end."""
    ran = watched(partial(_run, records, seed), say)
    return ran if isinstance(ran, Ran) else _told(ran, seed, say)


def run_slice_watched(number: int, seed: int, say: Say) -> Ran:
    """Work a single slice, as `run_slice` does; if it is lost, that is a failure."""
    ran = watched(partial(_run_slice, number, seed, None), say)
    return ran if isinstance(ran, Ran) else _told(ran, seed, say)


def _told(lost: Lost, seed: int, say: Say) -> Ran:
    if lost.number is None:
        say(f"before the first slice of seed {seed}: {lost.why}")
        return Ran(failed=1)
    number = lost.number
    say(f"slice {number} of seed {seed}: {lost.why}")
    made = case(seed, number, partitions=partitions_of(number))

    def is_lost(first: int) -> bool:
        again = watched(partial(_run_slice, number, seed, first), lambda _: None)
        return isinstance(again, Lost)

    position = first_lost(len(made.events), is_lost)
    if position is None:
        say("  not so in accounts that begin with it; it takes the slices before it")
    else:
        value = made.events[position].value
        say(f"  record {position} of {made.topic}: {made.how[position]}")
        say(f"  {'null' if value is None else value.hex()}")
    say(f"  again: python -m tests.fuzz --seed {seed} --slice {number}")
    return Ran(slices=number + 1, failed=1)


def first_lost(size: int, is_lost: Callable[[int], bool]) -> int | None:
    """Return the record with which a slice is lost, None if it is not.

    Args:
        size: Records of the slice.
        is_lost: Says it of the first so many of them.

    >>> first_lost(16_384, lambda first: first > 1_000)
    1000
    """
    if not is_lost(size):
        return None
    good, bad = 0, size
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (good, middle) if is_lost(middle) else (middle, bad)
    return good


def _run(records: int, seed: int, say: Say, began: Callable[[int], None]) -> Ran:
    return run(records, seed, say, began)


def _run_slice(
    number: int, seed: int, first: int | None, say: Say, began: Callable[[int], None]
) -> Ran:
    began(number)
    return run_slice(number, seed, say, first=first)
