"""A run: slices of mutants until enough records are worked, and the memory it takes meanwhile."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streams.warm import warm_up
from tests.fuzz.mutants import case
from tests.fuzz.slices import Books, Failure, failures_of

SLICES_PER_BOOK: Final = 12
"""Then accounts begin anew, so that a process which grows for good leaks."""
WARM_SHARE: Final = 0.3
GROWTH_MB_MAX: Final = 100
"""Between the most after warming up and the most of the last third; slices are of any size."""
FAILURES_SHOWN_MAX: Final = 20
HEX_BYTES_MAX: Final = 2_000
PAGE_BYTES: Final = resource.getpagesize()


@dataclass(slots=True)
class Ran:
    """What came of a run."""

    records: int = 0
    slices: int = 0
    passed: int = 0
    failed: int = 0
    warm_mb: int | None = None
    end_mb: int | None = None

    @property
    def memory(self) -> str:
        """What is known of the memory it took."""
        if self.warm_mb is None or self.end_mb is None:
            return "memory not measured: too few slices"
        return f"{self.warm_mb} MB after warming up, {self.end_mb} MB at the end"


def run(
    records: int,
    seed: int,
    say: Callable[[str], None],
    began: Callable[[int], None] = lambda _number: None,
) -> Ran:
    """Work so many mutants and more; say what fails.

    A slice of mutants is one check, and memory is one if it was measured: each passed or failed.

    Args:
        records: Mutants.
        seed: Of the whole run.
        say: Gets what fails.
        began: Called with the number of each slice before it is worked.
    """
    warm_up()  # To compile takes longer than a slice may.
    list(failures_of(1, seed, Books(partitions=2), size=10))
    ran, number = Ran(), 0
    while ran.records < records:
        if number % SLICES_PER_BOOK == 0:
            books = books_of(number)
        began(number)
        found = list(failures_of(number, seed, books))
        told(found, number, seed, say)
        ran.failed += bool(found)
        ran.passed += not found
        ran.records += books.worked
        books.worked = 0
        number += 1
        resident = _resident_mb()
        if WARM_SHARE * records < ran.records < 2 * WARM_SHARE * records:
            ran.warm_mb = max(ran.warm_mb or 0, resident)
        elif ran.records > 2 * WARM_SHARE * records:
            ran.end_mb = max(ran.end_mb or 0, resident)
    ran.slices = number
    if ran.warm_mb is not None and ran.end_mb is not None:
        grew = ran.end_mb - ran.warm_mb > GROWTH_MB_MAX
        if grew:
            say(f"memory grew: {ran.memory}")
        ran.failed += grew
        ran.passed += not grew
    return ran


def run_slice(
    number: int,
    seed: int,
    say: Callable[[str], None],
    size: int | None = None,
    *,
    first: int | None = None,
) -> Ran:
    """Work a single slice again, or the first records of it, into accounts that begin with it."""
    books = books_of(number)
    found = list(failures_of(number, seed, books, size, first=first))
    told(found, number, seed, say, size)
    return Ran(records=books.worked, slices=1, passed=not found, failed=bool(found))


def books_of(number: int) -> Books:
    """Return new books for a slice: every other two have a late lane."""
    return Books(partitions_of(number), late_lane=number // SLICES_PER_BOOK % 4 < 2)


def partitions_of(number: int) -> int:
    """Return how many partitions there are for a slice: one, or two and records go astray."""
    return 1 + number // SLICES_PER_BOOK % 2


def told(
    failures: list[Failure],
    number: int,
    seed: int,
    say: Callable[[str], None],
    size: int | None = None,
) -> None:
    """Say the first failures of a slice, the bytes of each record, and how to see them again."""
    if not failures:
        return
    made = case(seed, number, partitions=partitions_of(number), size=size)
    for one in failures[:FAILURES_SHOWN_MAX]:
        say(f"slice {number}: {one.what}")
        if one.position is not None:
            event = made.events[one.position]
            value = "null" if event.value is None else event.value[:HEX_BYTES_MAX].hex()
            say(f"  record {one.position} of {made.topic}: {made.how[one.position]}")
            say(f"  written at {event.timestamp_ms}, {len(event.value or b'')} bytes: {value}")
        say(f"  again: python -m tests.fuzz --seed {seed} --slice {number}")


def _resident_mb() -> int:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * PAGE_BYTES >> 20
