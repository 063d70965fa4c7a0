"""A trial: contestants in turns on one broker, each run over fresh topics with the same records."""

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from rich.console import Console

from benchmarks.brokers import Running
from benchmarks.contestants import OURS, Contestant
from benchmarks.generate import Load, Message, messages
from benchmarks.ground import Ground, clear, fill
from benchmarks.measure import Measured, make, measure
from benchmarks.report import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What to run on one broker.

    Attributes:
        key: Its name in the results.
        broker: Runs a broker over a folder.
        fresh: Every run has a broker of its own; else one does for the whole trial.
        contestants: In the order of their turns.
        load: What each is given.
        judged: Those whose ratio here is the one that counts.
    """

    key: str
    broker: Callable[[Path], AbstractContextManager[Running]]
    fresh: bool = False
    contestants: tuple[Contestant, ...]
    load: Load
    judged: frozenset[str]

    def only(self, names: Sequence[str]) -> "Trial":
        """Return the trial with these contestants alone."""
        return replace(
            self, contestants=tuple(each for each in self.contestants if each.name in names)
        )

    def shortened(self, window_s: float) -> "Trial":
        """Return the trial with a shorter window for all but ours."""
        return replace(
            self,
            contestants=tuple(
                each if each == OURS else replace(each, window_s_max=window_s)
                for each in self.contestants
            ),
        )


def run(trial: Trial, rounds: int, folder: Path, console: Console) -> Stage:
    """Run every contestant once a round and return what was measured.

    Raises:
        BenchmarkError: The broker or a contestant failed.
    """
    for each in trial.contestants:
        make(each)
    records = [message for chunk in messages(trial.load) for message in chunk]
    runs: dict[str, list[Measured]] = {each.name: [] for each in trial.contestants}
    name = ""
    with ExitStack() as shared:
        running = None if trial.fresh else shared.enter_context(trial.broker(folder / trial.key))
        for number, each in product(range(rounds), trial.contestants):
            prefix = f"bench-{os.getpid()}-{number}-{each.name}-"
            own = folder / trial.key / prefix
            broker = trial.broker(own / "broker") if running is None else nullcontext(running)
            with broker as (at, name):
                ground = Ground(bootstrap=at, prefix=prefix, folder=own, environ=os.environ)
                measured = run_once(each, ground, records)
            runs[each.name].append(measured)
            console.print(
                f"{name}, round {number + 1}: {each.name} {measured.events_per_s:,.0f} "
                f"events/s, {measured.events_per_cpu_s:,.0f} per CPU second"
            )
    return Stage(
        broker=name, events=trial.load.events, ours=OURS.name, runs=runs, judged=trial.judged
    )


def run_once(contestant: Contestant, ground: Ground, records: Sequence[Message]) -> Measured:
    """Fill fresh topics, let a contestant work them, and delete them again."""
    ground.folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(fill(ground, records))
    try:
        return measure(contestant, ground, len(records))
    finally:
        asyncio.run(clear(ground))
