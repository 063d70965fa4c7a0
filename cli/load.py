"""The command `load`: files or a query into any Kafka, or a profile of what they would bring."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.broker import broker_settings, settings_of
from cli.inputs import (
    RELEASE,
    Inputs,
    factor_option,
    file_options,
    read_factors,
    read_inputs,
    read_query,
    send_files,
)
from cli.outages import broker_at
from cli.parsing import Command, Failure, data_dir_option, json_option
from cli.printing import counted
from cli.programmes import read_programmes

if TYPE_CHECKING:
    from rich.progress import TaskID

    from producers.checkpoint import Checkpoint
    from producers.load import Progress
    from schemas.settings import BrokerSettings
    from streams.profile import Profile

EXAMPLES = """\b
Examples:
  carbonflow load --charging sessions.csv --mapping mine.toml --dry-run
  carbonflow load --charging s3://exports/2026/ --mapping mine.toml --checkpoint state.jsonl
  carbonflow load --database duckdb:///warehouse.db --query sessions.sql --cursor updated_at \\
      --mapping mine.toml --checkpoint state.jsonl --bootstrap kafka:9092
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarehouseSettings:
    """The database that a query is put to."""

    warehouse: str = ""


@click.command(cls=Command, epilog=EXAMPLES)
@file_options
@click.option(
    "--query", metavar="SQL|FILE.sql", help="Rows of a database, instead of files: one SELECT."
)
@click.option(
    "--database",
    metavar="ADDRESS",
    help="Where --query is put: sqlite:///FILE, duckdb:///FILE, postgresql://... "
    "[default: CARBONFLOW_WAREHOUSE, which keeps a password from the process list].",
)
@click.option(
    "--cursor",
    metavar="COLUMN",
    help="A column of --query that only grows: where a load with --checkpoint goes on.",
)
@click.option(
    "--checkpoint",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file that says how far the load has come; with the same file it goes on there.",
)
@click.option("--dry-run", is_flag=True, help="Send nothing: print what it would bring.")
@factor_option
@click.option(
    "--bootstrap",
    metavar="HOST:PORT",
    help="Kafka to load into [default: a running `carbonflow up`, else CARBONFLOW_BOOTSTRAP].",
)
@data_dir_option
@json_option
def load(
    charging: tuple[str, ...],
    freight: tuple[str, ...],
    mappings: tuple[str, ...],
    query: str | None,
    database: str | None,
    cursor: str | None,
    checkpoint: Path | None,
    dry_run: bool,
    specs: tuple[str, ...],
    bootstrap: str | None,
    data_dir: Path,
    as_json: bool,
) -> None:
    """Load files or a query into a running stack, or into any Kafka.

    Returns once the broker has every row, as a record or as a refusal. The topics must exist
    (`carbonflow topics` makes them). Further settings of the broker are read from CARBONFLOW_*.

    --dry-run needs no broker. It says what rows, accounts and times there are, what a worker would
    refuse with the factors of --factors, and which units look wrong.
    """
    if specs and not dry_run:
        raise click.UsageError("--factors is for --dry-run: `carbonflow factors load` sends them")
    inputs = _inputs(charging, freight, mappings, query, database, cursor)
    if dry_run:
        _show_profiles(inputs, specs, as_json=as_json)
        return
    if query is not None and checkpoint is not None and not cursor:
        raise click.UsageError("--checkpoint with --query needs --cursor, to know where to go on")
    settings = broker_settings(bootstrap, data_dir)
    with ExitStack() as opened:
        kept = None if checkpoint is None else _opened(checkpoint, opened)
        with broker_at(settings):
            results = asyncio.run(_load(inputs, settings, kept, quiet=as_json))
    if as_json:
        print(json.dumps(results))
        return
    for result in results:
        print(_told(result))


def _inputs(
    charging: tuple[str, ...],
    freight: tuple[str, ...],
    mappings: tuple[str, ...],
    query: str | None,
    database: str | None,
    cursor: str | None,
) -> tuple[Inputs, ...]:
    if query is None:
        if database is not None or cursor is not None:
            raise click.UsageError("--database and --cursor need --query")
        return read_inputs(charging, freight, mappings)
    if charging or freight:
        raise click.UsageError("load files or a --query, not both at once")
    address = database or settings_of(WarehouseSettings).warehouse
    if not address:
        raise click.UsageError("--query needs --database, or CARBONFLOW_WAREHOUSE")
    return (read_query(address, query, cursor or "", mappings),)


def _opened(path: Path, opened: ExitStack) -> Checkpoint:
    from producers.checkpoint import Checkpoint, CheckpointError

    try:
        return opened.enter_context(Checkpoint(path))
    except (CheckpointError, OSError, UnicodeDecodeError) as error:
        raise Failure(str(error)) from error


def _told(result: Mapping[str, Any]) -> str:
    """Return what became of the rows of one mapping, in a line."""
    line = (
        f"{result['mapping']}: {result['rows']:,} rows, {result['sent']:,} sent, "
        f"refused: {_counts(result['refused'])}"
    )
    if result.get("done_before"):
        line += f"; loaded before: {counted(result['done_before'], 'file')}"
    return line


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "none"


async def _load(
    inputs: Sequence[Inputs],
    settings: BrokerSettings,
    checkpoint: Checkpoint | None,
    *,
    quiet: bool,
) -> list[dict[str, Any]]:
    """Send rows with a progress bar on standard error, or without where nobody looks."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    from producers.client.columns import CarbonflowProducer

    console = Console(stderr=True)
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console, disable=quiet or not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def show(progress: Progress) -> None:
            if progress.file not in tasks:
                tasks[progress.file] = bars.add_task(progress.file.rpartition("/")[2])
            bars.update(
                tasks[progress.file],
                completed=progress.done_bytes,
                total=progress.size_bytes or None,
            )

        async with CarbonflowProducer(settings) as producer:
            return await send_files(inputs, producer, show, checkpoint)


def _show_profiles(inputs: Sequence[Inputs], specs: tuple[str, ...], *, as_json: bool) -> None:
    """Print what each kind would bring."""
    profiles = [(part.mapping.name, _profile(part, specs)) for part in inputs]
    if as_json:
        print(json.dumps([{"mapping": name} | asdict(profile) for name, profile in profiles]))
        return
    for name, profile in profiles:
        for line in _lines(name, profile):
            print(line)


def _profile(part: Inputs, specs: tuple[str, ...]) -> Profile:
    from carbon.factors import FactorTable
    from producers.checkpoint import Reached
    from producers.files import ROWS_MAX, UnreadableFileError
    from producers.queries import QueryError
    from producers.tables import MappingError
    from streams.profile import Profiling

    profiling = Profiling(
        part.mapping.record,
        programmes=read_programmes(),
        factors=FactorTable.of(read_factors((RELEASE, *specs))),
        now_ms=time.time_ns() // 1_000_000,
    )
    for feed in part.feeds:
        reached = Reached(version=feed.version)
        try:
            for block in feed.blocks(part.mapping, part.pseudonyms, reached, ROWS_MAX):
                profiling.add(block.batch, ((row.code, row.reason) for row in block.refused))
        except (UnreadableFileError, MappingError, QueryError, OSError) as error:
            raise Failure(str(error)) from error
    return profiling.profile()


def _lines(name: str, profile: Profile) -> list[str]:
    """Return a profile for people."""
    lines = [
        f"{name}: {profile.rows:,} rows, {profile.records:,} records",
        f"  accounts        {profile.accounts:,}",
    ]
    if profile.shared_accounts:
        lines.append(
            f"  in 2 programmes {profile.shared_accounts:,} of them: an account has one programme"
        )
    if profile.first_ms is not None and profile.last_ms is not None:
        lines.append(
            f"  times           {_time(profile.first_ms)} to {_time(profile.last_ms)} (UTC)"
        )
    if profile.repeats:
        lines.append(f"  repeats         {profile.repeats:,}, which are booked once")
    lines.append(f"  refused         {_counts(profile.refused)}")
    lines += [f"    {text}" for reasons in profile.examples.values() for text in reasons]
    if profile.regions_without_factor:
        lines.append(f"  without factor  {_counts(profile.regions_without_factor)}")
    lines += [
        f"  looks wrong     {odd.field}: half have a {odd.what} below {odd.median:,.4g}, which "
        f"should lie from {odd.least:,.4g} to {odd.most:,.4g}: {odd.hint}"
        for odd in profile.odd
    ]
    return lines


def _time(instant_ms: int) -> str:
    """Return an instant, however far off it is."""
    try:
        return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=instant_ms):%Y-%m-%d}"
    except OverflowError:
        return f"{instant_ms} ms from 1970"
