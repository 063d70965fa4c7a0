"""Chaos: `python -m tests.chaos` kills, pauses and takes away, and asks an oracle about the books.

It prints each fault and how long it took to recover, and ends with `N passed, N failed`, which
counts checks. Data and logs stay in `--folder` where that is given, and after a failure.
"""

import asyncio
import logging
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tests.chaos.run import Options, Run
from tests.kafka.server import missing

EVENTS_A_MINUTE: Final = 200_000

console = Console(width=120, highlight=False, markup=False, soft_wrap=True)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--minutes", type=click.FloatRange(0.2, 120), default=5.0, show_default=True)
@click.option("--events", type=click.IntRange(1), help="How many [default: 200,000 a minute].")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--brokers", type=click.Choice(["1", "3"]), default="1", show_default=True)
@click.option("--partitions", type=click.IntRange(1, 64), default=8, show_default=True)
@click.option("--session-s", type=click.IntRange(2, 60), default=5, show_default=True)
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), help="Keep all here.")
def main(
    minutes: float,
    events: int | None,
    seed: int,
    brokers: str,
    partitions: int,
    session_s: int,
    folder: Path | None,
) -> None:
    """Send events through the whole pipeline while it is broken in every way, and check the books.

    Events and faults are those of the seed; when exactly a fault hits is up to the machine.
    """
    if (reason := missing()) is not None:
        raise click.ClickException(reason)
    place = folder or Path(tempfile.mkdtemp(prefix="carbonflow-chaos-"))
    place.mkdir(parents=True, exist_ok=True)
    options = Options(
        seconds=60 * minutes,
        events=events or round(EVENTS_A_MINUTE * minutes),
        seed=seed,
        brokers=int(brokers),
        partitions=partitions,
        session_s=session_s,
        folder=place.resolve(),
    )
    # What Kafka's client says of brokers that are away is as long as it is right.
    logging.basicConfig(filename=place / "runner.log", level=logging.INFO)
    began = time.monotonic()

    def tell(line: str) -> None:
        console.print(f"{time.monotonic() - began:7.1f} s  {line}")

    tell(f"{options.events} events in {options.seconds:.0f} s, seed {seed}, {brokers} broker(s)")
    run = Run(options, tell)
    asyncio.run(run.play())
    failed = report(run)
    if folder is None and not failed:
        shutil.rmtree(place)
    else:
        console.print(f"data and logs: {place}")
    console.print(f"{len(run.checks) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


def report(run: Run) -> int:
    """Print what happened; return how many checks failed."""
    faults = Table("fault", "", "recovered after [s]", box=SIMPLE_HEAD)
    for each in run.progress.recoveries:
        took = "never" if each.took_s is None else f"{each.took_s:.1f}"
        faults.add_row(str(each.number), each.what, took)
    console.print(faults)
    exits = Table("process", "ended", "times", box=SIMPLE_HEAD)
    for (kind, reason), times in sorted(run.supervisor.exits.items()):
        exits.add_row(kind, reason, str(times))
    console.print(exits)
    failed = 0
    for check in run.checks:
        failed += bool(check.wrong)
        console.print(f"{'FAILED' if check.wrong else 'passed'}  {check.name}")
        for line in check.wrong:
            console.print(f"        {line}")
    return failed


if __name__ == "__main__":
    main()
