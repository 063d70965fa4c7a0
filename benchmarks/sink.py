"""`python -m benchmarks.sink`: how fast one sink process stores what a worker leaves.

Fills the topics of an embedded broker with a load and what the books of our worker make of it:
sessions, transfers, balances and refusals, in its transactions. Then a sink in a process of its own
moves all of it, in turns, each time over an empty store and as a new group, into

* chDB, the store of one machine, and
* ClickHouse format: a client that makes the bytes of each insert as for a server, and drops them.

The clock starts when the first rows are stored and ends with the last; what the first look found is
not counted.

Prints rows per second and writes them to `benchmarks/RESULTS.md` and `benchmarks/results.json`.
Exit status 1 if either is below the worker's event rate in `results.json`, or below 200,000 where
there is none. `--quick` takes a small load and only shows: nothing is written and no bar holds.
"""

import asyncio
import json
import multiprocessing
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any, Final, cast

import click
import numpy as np
import pyarrow as pa
from clickhouse_connect.driver.query import arrow_buffer
from prometheus_client import CollectorRegistry
from rich.console import Console
from rich.table import Table

from benchmarks.brokers import embedded
from benchmarks.contestants import OURS
from benchmarks.generate import Load, messages
from benchmarks.measure import BenchmarkError, Look, Measured
from benchmarks.report import RESULTS, merge_results, write_section
from benchmarks.surroundings import machine
from carbon.factors import FactorTable
from embedded.store import Store
from producers.client.columns import CarbonflowProducer
from producers.factors.release import load_release
from producers.programmes.load import load_programmes
from producers.topics import ensure_topics
from schemas.catalogue import TOPICS
from schemas.partition import partitions_of
from schemas.raw import Raw
from sinks.connect import Client
from sinks.metrics import SinkMetrics
from sinks.migrate import migrate
from sinks.sink import SinkSettings, run_sink
from streams.book import Book
from streams.breaker import Breaker
from streams.settings import WorkerSettings
from streams.slice import Slice
from streams.step import Rules
from streams.transfers import FactorNames

TOPIC: Final = "charging-sessions"
PARTITIONS: Final = TOPICS[TOPIC].partitions
QUICK_EVENTS: Final = 30_000
ROWS_PER_S_MIN: Final = 200_000
INTO: Final = {"chdb": "chDB", "format": "ClickHouse format"}
LOOK_S: Final = 0.01
STORE_S_MAX: Final = 300.0
PACKAGES: Final = ("chdb", "clickhouse-connect", "aiokafka", "pyarrow", "numpy")


@click.command(help="Measure one sink process: what a worker leaves, into the store.")
@click.option("--events", default=300_000, show_default=True, help="Events that were worked.")
@click.option("--rounds", default=3, show_default=True, help="Runs into each store.")
@click.option("--quick", is_flag=True, help="One small round, without a bar: does it run?")
def main(events: int, rounds: int, quick: bool) -> None:
    if quick:
        events, rounds = min(events, QUICK_EVENTS), 1
    console = Console()
    runs: dict[str, list[Measured]] = {into: [] for into in INTO}
    try:
        with (
            tempfile.TemporaryDirectory(prefix="bench-sink-") as folder,
            embedded(Path(folder)) as (bootstrap, broker),
        ):
            left = asyncio.run(fill(bootstrap, Load(events=events)))
            console.print(f"{events:,} events left {sum(left.values()):,} records: {left}")
            for number in range(rounds):
                for into, name in INTO.items():
                    settings = SinkSettings(bootstrap=bootstrap, sink_group=f"{into}-{number}")
                    measured = measure(settings, into, sum(left.values()))
                    runs[into].append(measured)
                    console.print(f"round {number + 1}: {name} {told(measured)}", highlight=False)
    except BenchmarkError as error:
        raise click.ClickException(str(error)) from None
    bar = rows_per_s_min()
    show(runs, console)
    if quick:
        return
    merge_results({"sink": results(runs, left, bar)})
    write_section("sink", section(runs, left, broker, bar))
    slow = [INTO[into] for into in INTO if rows_per_s(runs[into]) < bar]
    if slow:
        raise click.ClickException(f"below the bar of {bar:,} rows/s: {', '.join(slow)}")


async def fill(bootstrap: str, load: Load) -> dict[str, int]:
    """Send the shipped factors and a load, and let books work it; return the records by topic."""
    settings = WorkerSettings(bootstrap=bootstrap)
    release, programmes = load_release().factors, load_programmes()
    factors = FactorTable.of(release)
    rules = Rules(programmes, factors, FactorNames.of(factors), PARTITIONS, settings.dedupe_days)
    sent = [message for chunk in messages(load) for message in chunk]
    await ensure_topics(settings)
    async with CarbonflowProducer(settings) as producer:
        await producer.publish_factors(release)
        await producer.send_raw(TOPIC, sent)
    left = {
        "emission-factors": len(release),
        TOPIC: len(sent),
        "refusals": 0,
        "transfers": 0,
        "account-balances": 0,
    }
    home = partitions_of(pa.array([key.decode() for key, _ in sent]), PARTITIONS)
    for partition in range(PARTITIONS):
        own = [sent[index] for index in np.flatnonzero(home == partition).tolist()]
        book = await Book.open(settings, partition, Breaker(0), partitions=PARTITIONS)
        for part in slices(own, partition, settings.slice_records_max):
            worked = await book.work(part, rules)
            assert worked is not None, "a new slice is worked"
            left["refusals"] += len(worked.outcome.refused)
            left["transfers"] += worked.outcome.transfers.num_rows
            left["account-balances"] += len(worked.outcome.change)
        await book.close()
    return left


def slices(
    records: Sequence[tuple[bytes, bytes]], partition: int, records_max: int
) -> Iterator[Slice]:
    """Yield the records of a partition as a worker would fetch them."""
    now_ms = int(time.time() * 1000)
    for begin in range(0, len(records), records_max):
        part = records[begin : begin + records_max]
        yield Slice(
            topic=TOPIC,
            partition=partition,
            keys=Raw.of([key for key, _ in part]),
            values=Raw.of([value for _, value in part]),
            offsets=np.arange(begin, begin + len(part), dtype=np.int64),
            timestamps_ms=np.full(len(part), now_ms, dtype=np.int64),
        )


def measure(settings: SinkSettings, into: str, records: int) -> Measured:
    """Run a sink in a process of its own until it has stored so many records.

    Raises:
        BenchmarkError: It failed, or takes too long.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_sink, args=(theirs, settings, into, records), daemon=True)
    child.start()
    theirs.close()
    try:
        if not ours.poll(STORE_S_MAX):
            raise BenchmarkError("the sink takes too long")
        measured = ours.recv()
    except EOFError:
        raise BenchmarkError("the sink failed") from None
    finally:
        child.terminate()
        child.join()
    assert isinstance(measured, Measured)
    return measured


def _sink(connection: Connection, settings: SinkSettings, into: str, records: int) -> None:
    with client_of(into) as client:
        connection.send(asyncio.run(_watched(settings, client, records)))


@contextmanager
def client_of(into: str) -> Iterator[Client]:
    """Give a client to an empty store."""
    if into == "format":
        yield cast(Client, Dropping())
        return
    with (
        tempfile.TemporaryDirectory(prefix="bench-store-") as folder,
        Store.open(Path(folder)) as store,
    ):
        migrate(store.writer)
        store.merge_last()
        yield store.writer


class Dropping:
    """Stands for a client to a server: makes the bytes of each insert, and drops them."""

    def insert_arrow(self, table: str, arrow_table: pa.Table, **_: object) -> None:
        """Do what clickhouse-connect does before it sends."""
        columns, block = arrow_buffer(arrow_table, "lz4")
        assert columns, table
        assert block, table


async def _watched(settings: SinkSettings, client: Client, records: int) -> Measured:
    metrics, stop = SinkMetrics(CollectorRegistry()), asyncio.Event()
    sink = asyncio.create_task(run_sink(settings, client, metrics, stop))
    first: Look | None = None
    while not sink.done():
        look = Look(time.monotonic(), stored(metrics), time.process_time())
        if first is None and look.events:
            first = look
        if first is not None and look.events >= records:
            stop.set()
            await sink
            return Measured.between(first, look)
        await asyncio.sleep(LOOK_S)
    await sink
    raise BenchmarkError("the sink ended by itself")


def stored(metrics: SinkMetrics) -> int:
    """Return how many records became rows or were skipped."""
    families = (*metrics.rows.collect(), *metrics.skipped.collect())
    return sum(
        int(sample.value)
        for family in families
        for sample in family.samples
        if sample.name.endswith("_total")
    )


def rows_per_s_min(path: Path = RESULTS) -> int:
    """Return the worker's event rate, as `benchmarks.run` left it."""
    peers = json.loads(path.read_text("utf-8")).get("peers", {}) if path.exists() else {}
    rates = peers.get("embedded", {}).get("events_per_s", {}).get(OURS.name)
    return round(median(rates)) if rates else ROWS_PER_S_MIN


def rows_per_s(runs: Sequence[Measured]) -> float:
    """Return the median of some runs."""
    return median(run.events_per_s for run in runs)


def told(run: Measured) -> str:
    """Return what was measured in a run, for people."""
    return f"{run.events_per_s:,.0f} rows/s, {run.events_per_cpu_s:,.0f} per CPU second"


HEADINGS: Final = ("into", "rows/s", "slowest to fastest", "rows per CPU s")


def rows(runs: Mapping[str, Sequence[Measured]]) -> list[tuple[str, ...]]:
    """Return a row of the table for each store, in the columns of HEADINGS."""
    found: list[tuple[str, ...]] = []
    for into, measured in runs.items():
        rates = [run.events_per_s for run in measured]
        per_cpu_s = median(run.events_per_cpu_s for run in measured)
        found.append(
            (
                INTO[into],
                f"{median(rates):,.0f}",
                f"{min(rates):,.0f} to {max(rates):,.0f}",
                f"{per_cpu_s:,.0f}",
            )
        )
    return found


def show(runs: Mapping[str, Sequence[Measured]], console: Console) -> None:
    """Print the table."""
    table = Table(title="One sink process")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "into" else "right")
    for row in rows(runs):
        table.add_row(*row)
    console.print(table)


def section(
    runs: Mapping[str, Sequence[Measured]], left: Mapping[str, int], broker: str, bar: int
) -> str:
    """Return the section of RESULTS.md, in Markdown."""
    lines = [f"| {' | '.join(row)} |" for row in (HEADINGS, ("---", "--:", "--:", "--:"))]
    lines += [f"| {' | '.join(row)} |" for row in rows(runs)]
    records = ", ".join(f"{count:,} {topic}" for topic, count in left.items())
    rounds = max(map(len, runs.values()))
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return "\n\n".join(
        (
            "## One sink process",
            f"{records} on {broker}, moved by one sink process, {rounds} rounds in turns over "
            "empty stores. *ClickHouse format* makes the bytes of each insert as for a server, "
            f"compression included, and drops them. The bar is {bar:,} rows/s.",
            "\n".join(lines),
            f"{machine()}, {versions}",
        )
    )


def results(
    runs: Mapping[str, Sequence[Measured]], left: Mapping[str, int], bar: int
) -> dict[str, Any]:
    """Return what was measured, for programs."""
    return {
        "rows_per_s": {
            into: [round(run.events_per_s) for run in measured] for into, measured in runs.items()
        },
        "rows_per_cpu_s": {
            into: [round(run.events_per_cpu_s) for run in measured]
            for into, measured in runs.items()
        },
        "records": dict(left),
        "bar": bar,
        "machine": machine(),
        "versions": {name: version(name) for name in PACKAGES},
    }


if __name__ == "__main__":
    main()
