"""Days by the seed: played, checked, and spread over processes."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from multiprocessing import get_context
from typing import Final

from tests.simulation.mutations import mutated
from tests.simulation.oracle import check
from tests.simulation.world import World

CHUNK: Final = 20

Result = tuple[int, str | None, Counter[str]]
"""Seed, what went wrong, and which faults there were."""


def play(seed: int, mutation: str | None = None) -> Result:
    """Play the day of a seed and check its end."""
    world = World(seed)
    try:
        with mutated(mutation) if mutation else nullcontext():
            world.play()
        check(world.broker, world.load, is_late_asked=world.is_late_asked)
    except Exception as error:  # noqa: BLE001 - whatever it is, the seed failed and says so.
        return seed, f"{type(error).__name__}: {error}", world.happened
    return seed, None, world.happened


def results(seeds: range, mutation: str | None, processes: int) -> Iterator[Result]:
    """Play days on several processes; yield as they end."""
    jobs = [(seed, mutation) for seed in seeds]
    if processes == 1 or len(jobs) < CHUNK:
        yield from (play(*job) for job in jobs)
        return
    with get_context("spawn").Pool(processes, _prepare) as pool:
        yield from pool.imap_unordered(_play, jobs, chunksize=CHUNK)


def _prepare() -> None:
    """Leave cycles until a chunk has been played: there are too few to look for them each day."""
    gc.collect()
    gc.freeze()
    gc.disable()


def _play(job: tuple[int, str | None]) -> Result:
    if job[0] % CHUNK == 0:
        gc.collect()
    return play(*job)
