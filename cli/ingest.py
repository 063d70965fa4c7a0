"""Commands that bring events in and work them to the end: `run` and `demo`."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.inputs import (
    RELEASE,
    factor_option,
    file_options,
    read_factors,
    read_inputs,
    send_files,
)
from cli.parsing import (
    DEMO_DIR,
    Command,
    Failure,
    data_dir_option,
    events_option,
    folder_option,
    json_option,
    seed_option,
)
from cli.programmes import read_programmes

if TYPE_CHECKING:
    from embedded.progress import View
    from embedded.stack import StackSettings
    from producers.client.columns import CarbonflowProducer

Ingest = Callable[["CarbonflowProducer", "View"], Awaitable[None]]

_BREAKER = ("CARBONFLOW_BREAKER_RECORDS", "CARBONFLOW_BREAKER_SHARE")

RUN_EXAMPLES = """\b
Examples:
  carbonflow run --charging california.csv --mapping acn-data \\
      --factors electricity-maps:US-CAL-CISO_2021_hourly.csv
  carbonflow run --charging a.csv b.csv --freight c.csv --mapping mine.toml india-hcv --json
"""

workers_option = click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Worker processes.",
)
fresh_option = click.option(
    "--fresh", is_flag=True, help="Forget what the folder holds before starting."
)


@click.command(cls=Command, epilog=RUN_EXAMPLES)
@file_options
@factor_option
@data_dir_option
@fresh_option
@workers_option
@json_option
def run(
    charging: tuple[str, ...],
    freight: tuple[str, ...],
    mappings: tuple[str, ...],
    specs: tuple[str, ...],
    data_dir: Path,
    fresh: bool,
    workers: int,
    as_json: bool,
) -> None:
    """Work files to the end on this machine, and print what came of them.

    Starts the embedded broker, worker and store over a folder, loads the files, and stops when all
    of it is booked. Running it again over the same files changes no balance.
    """
    from embedded.stack import StackSettings

    inputs = read_inputs(charging, freight, mappings)

    async def ingest(producer: CarbonflowProducer, view: View) -> None:
        await send_files(inputs, producer, view.loading)

    settings = StackSettings(data_dir=data_dir, what="carbonflow run", workers=workers, fresh=fresh)
    _work(ingest, specs, settings, as_json)


@click.command(
    epilog="\b\nExamples:\n  carbonflow demo\n  carbonflow demo --events 20000 --data-dir /tmp/demo"
)
@events_option(200_000)
@seed_option
@folder_option(DEMO_DIR)
@click.option("--keep", is_flag=True, help="Add to what the folder holds instead of starting anew.")
@click.option("--fresh", is_flag=True, help="Start anew even where the folder holds real books.")
@workers_option
@json_option
def demo(
    events: int,
    seed: int,
    data_dir: Path,
    keep: bool,
    fresh: bool,
    workers: int,
    as_json: bool,
) -> None:
    """Work a made-up sample: charging sessions and freight trips, with duplicates and broken ones.

    The sample is the same for the same seed. What an earlier demo left in the folder is forgotten
    first, unless --keep is given; a folder that holds anything else is left alone.
    """
    if keep and fresh:
        raise click.UsageError("--keep and --fresh exclude each other")

    from embedded.stack import StackSettings

    async def ingest(producer: CarbonflowProducer, view: View) -> None:
        from producers.sample import SampleRaw, sample

        del view
        parts = sample(events, seed=seed)
        while (part := await asyncio.to_thread(next, parts, None)) is not None:
            if isinstance(part, SampleRaw):
                await producer.send_raw(part.topic, part.messages)
            else:
                await producer.send_batch(part.record, part.batch)

    settings = StackSettings(
        data_dir=data_dir,
        what="carbonflow demo",
        workers=workers,
        fresh=not keep,
        spare=not fresh,
        sample=True,
    )
    _work(ingest, (), settings, as_json)
    if not as_json:
        click.echo(f"ask about it with --data-dir {data_dir}", err=True)


def _work(ingest: Ingest, specs: tuple[str, ...], settings: StackSettings, as_json: bool) -> None:
    """Run a job, print its summary, and fail if verify does."""
    from rich.console import Console

    from cli.printing import console
    from embedded.faults import StackError
    from embedded.job import run_job
    from embedded.progress import view
    from embedded.store import StoreError
    from embedded.tables import show

    # Files are worked to their end, whatever share of them is refused: the summary says how many.
    unbroken = {name: "0" for name in _BREAKER if name not in os.environ}
    settings = replace(settings, worker_environ=unbroken)
    factors = read_factors((RELEASE, *specs))
    read_programmes()  # A worker that cannot read them says so only in its log.
    with view(Console(stderr=True), quiet=as_json) as seen:
        try:
            summary = run_job(
                settings,
                factors=factors,
                ingest=lambda producer: ingest(producer, seen),
                view=seen,
            )
        except (StackError, StoreError) as error:
            raise Failure(str(error)) from error
    if as_json:
        print(json.dumps(summary.as_json()))
    else:
        show(summary, console())
    if not summary.verdict.ok:
        raise Failure(f"verify disagrees: {summary.verdict.drift[0]}")
