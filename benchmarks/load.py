"""`python -m benchmarks.load`: how fast files of a warehouse come into Kafka.

Sessions of many accounts are written as a table, once as CSV and once as Parquet, with columns as a
warehouse has them: ids and times that all differ, energies in kWh, a zone, a class that is looked
up. A process of its own then loads each, in turns, as `carbonflow load` does: read, mapped, packed,
and acknowledged by a broker on this machine. The clock runs from the first look at the file to the
last acknowledgement; what the topics hold is counted.

Prints rows/s with the bars and writes them to `benchmarks/RESULTS.md` and
`benchmarks/results.json`. Exit status 1 if a format is below its bar. `--quick` takes few seconds
and only shows: nothing is written and no bar holds.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import click
import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.console import Console

from benchmarks.brokers import apache, embedded
from benchmarks.company import Company, warning
from benchmarks.contestants import ROOT
from benchmarks.measure import BenchmarkError
from benchmarks.report import merge_results, write_section
from benchmarks.surroundings import machine
from producers.client.columns import CarbonflowProducer
from producers.files import check_file
from producers.load import load_files
from producers.mapping import parse_mapping
from producers.topics import ensure_topics
from schemas.catalogue import TOPICS
from schemas.settings import BrokerSettings

BARS_PER_S: Final[Mapping[str, int]] = {"csv": 100_000, "parquet": 500_000}
ACCOUNTS: Final = 200_000
STATIONS: Final = 5_000
BEGIN_MS: Final = 1_672_531_200_000  # 2023-01-01
YEAR_MS: Final = 365 * 86_400_000
CHUNK_ROWS: Final = 500_000
TOPIC: Final = "charging-sessions"
BROKERS: Final = {"embedded": embedded, "kafka": apache}
MAPPING: Final = """
name = "warehouse"
record = "charging_session"
zone = "Asia/Shanghai"
[lookup.classes]
"Passenger car" = "car"
"City bus" = "bus"
"Taxi" = "taxi"
[fields]
session_id = "order_no"
source = { value = "warehouse" }
account_id = "customer"
programme = { value = "cn-charging" }
vehicle_class = { column = "vehicle", lookup = "classes" }
grid_region = "region"
started_at = "began"
ended_at = "ended"
energy_wh = { column = "energy", unit = "kWh" }
meter_side = { value = "dispenser" }
current = { column = "plug", regex = "(ac|dc)" }
operator_id = "operator"
evse_id = "station"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One load of a file.

    Attributes:
        rows: Rows sent.
        wall_s: From the first look at the file to the last acknowledgement [s].
        cpu_s: Processor time of the process meanwhile [s].
        rss_bytes: The most memory it ever had.
    """

    rows: int
    wall_s: float
    cpu_s: float
    rss_bytes: int

    @property
    def per_s(self) -> float:
        """Rows a second."""
        return self.rows / self.wall_s

    @property
    def per_cpu_s(self) -> float:
        """Rows a second of processor time."""
        return self.rows / self.cpu_s


def table(first: int, count: int) -> pa.Table:
    """Return sessions as a warehouse has them; the same numbers give the same sessions."""
    draw = np.random.default_rng(first)
    numbers = np.arange(first, first + count)
    began = BEGIN_MS + draw.integers(0, YEAR_MS // 1000, count) * 1000
    ended = began + draw.integers(600, 36_000, count) * 1000

    def words(texts: Sequence[str], codes: Any) -> Any:
        return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), texts).cast(
            pa.string()
        )

    stations = draw.integers(0, STATIONS, count)
    energy = draw.integers(500, 90_000, count) / 1000
    return pa.table(
        {
            "order_no": pa.array([f"MA5DA0053{number:018d}" for number in numbers.tolist()]),
            "customer": words(
                [f"customer-{number:07d}" for number in range(ACCOUNTS)],
                draw.integers(0, ACCOUNTS, count),
            ),
            "vehicle": words(["Passenger car", "Taxi", "City bus"], draw.integers(0, 3, count)),
            "region": words(["CN-BJ", "CN-SH", "CN-GD", "CN-SD"], stations % 4),
            "began": pa.array(began, pa.timestamp("ms")),
            "ended": pa.array(ended, pa.timestamp("ms")),
            "energy": pa.array(energy),
            "plug": words(["ac 7 kW", "dc 120 kW"], stations % 2),
            "operator": words(["MA5DA0053", "MA002TMQX"], stations % 2),
            "station": words([f"31010{number:06d}" for number in range(STATIONS)], stations),
            "price": pa.array(np.round(energy * 1.2, 2)),
        }
    )


def write(folder: Path, kind: str, rows: int) -> Path:
    """Write a file of sessions."""
    path = folder / f"sessions.{kind}"
    schema = table(0, 1).schema
    with (
        pq.ParquetWriter(path, schema)
        if kind == "parquet"
        else pacsv.CSVWriter(
            path, schema, write_options=pacsv.WriteOptions(quoting_style="needed")
        ) as out
    ):
        for first in range(0, rows, CHUNK_ROWS):
            out.write_table(table(first, min(CHUNK_ROWS, rows - first)))
    return path


async def load(settings: BrokerSettings, path: Path) -> Run:
    """Load a file and return what it took.

    Raises:
        BenchmarkError: A row was refused.
    """
    mapping = parse_mapping(MAPPING, origin="benchmark")
    check_file(path, mapping)  # So does the command, before it begins.
    async with CarbonflowProducer(settings) as producer:
        before, started = _cpu_s(), time.perf_counter()
        loaded = await load_files(
            [path], mapping=mapping, producer=producer, progress=lambda _: None
        )
        wall_s, cpu_s = time.perf_counter() - started, _cpu_s() - before
    if loaded.refused:
        raise BenchmarkError(f"rows were refused: {loaded.refused}")
    rss_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Run(rows=loaded.sent, wall_s=wall_s, cpu_s=cpu_s, rss_bytes=rss_kib * 1024)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measured(bootstrap: str, path: Path, prefix: str) -> Run:
    """Load a file from a process of its own, into topics of its own.

    Raises:
        BenchmarkError: It failed, or the topic does not hold what was sent.
    """
    settings = BrokerSettings(bootstrap=bootstrap, prefix=prefix)
    asyncio.run(ensure_topics(settings))
    argv = [sys.executable, "-m", "benchmarks.load", "--file", str(path)]
    argv += ["--bootstrap", bootstrap, "--prefix", prefix]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(done.stderr)
    run = Run(**json.loads(done.stdout))
    held = asyncio.run(records_in(settings))
    if held != run.rows:
        raise BenchmarkError(f"{run.rows:,} rows were sent, and the topic holds {held:,}")
    return run


async def records_in(settings: BrokerSettings) -> int:
    """Return how many records the topic of sessions holds."""
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.bootstrap)
    await consumer.start()
    try:
        name, count = settings.topic(TOPIC), TOPICS[TOPIC].partitions
        places = [TopicPartition(name, partition) for partition in range(count)]
        return sum((await consumer.end_offsets(places)).values())
    finally:
        await consumer.stop()


@click.command(help="Measure how fast CSV and Parquet come into Kafka.")
@click.option("--rows", default=2_000_000, show_default=True, help="Rows of a file.")
@click.option("--rounds", default=3, show_default=True, help="Loads of each file.")
@click.option(
    "--broker",
    "kind",
    type=click.Choice(sorted(BROKERS)),
    default="kafka",
    show_default=True,
    help="Apache Kafka, or the embedded broker.",
)
@click.option("--quick", is_flag=True, help="A few seconds, without a bar: does it run?")
@click.option("--file", "path", type=click.Path(path_type=Path), hidden=True, help="Load it.")
@click.option("--bootstrap", default="", hidden=True, help="Into it.")
@click.option("--prefix", default="", hidden=True, help="Of its topics.")
def main(
    rows: int,
    rounds: int,
    kind: str,
    quick: bool,
    path: Path | None,
    bootstrap: str,
    prefix: str,
) -> None:
    if path is not None:
        settings = BrokerSettings(bootstrap=bootstrap, prefix=prefix)
        click.echo(json.dumps(asdict(asyncio.run(load(settings, path)))))
        return
    if quick:
        rows, rounds, kind = min(rows, 100_000), 1, "embedded"
    console = Console()
    before = Company.now()
    runs: dict[str, list[Run]] = {name: [] for name in BARS_PER_S}
    try:
        with tempfile.TemporaryDirectory(prefix="bench-load-") as name:
            folder = Path(name)
            files = {each: write(folder, each, rows) for each in BARS_PER_S}
            for number in range(rounds):
                for each, file in files.items():
                    # A broker of its own: what one load left would weigh on the next.
                    with BROKERS[kind](folder / f"{each}-{number}") as (address, broker):
                        runs[each].append(measured(address, file, f"{each}-{number}."))
    except BenchmarkError as error:
        raise click.ClickException(str(error)) from None
    cores = before.cores_since()
    for line in sentences(runs, broker):
        console.print(line, highlight=False, soft_wrap=True)
    if said := warning(cores):
        console.print(said, highlight=False, soft_wrap=True)
    if quick:
        return
    merge_results({"load": results(runs, broker)})
    write_section("load", section(runs, broker))
    slow = [each for each, bar in BARS_PER_S.items() if per_s(runs[each]) < bar]
    if slow:
        raise click.ClickException(f"below the bar: {', '.join(slow)}")


def per_s(runs: Sequence[Run]) -> float:
    """Return the median of rows a second."""
    return median(run.per_s for run in runs)


def sentences(runs: Mapping[str, Sequence[Run]], broker: str) -> list[str]:
    """Return what was measured for people, with the bars."""
    return [
        f"{each} into {broker}: {per_s(some):,.0f} rows/s (bar {BARS_PER_S[each]:,}), "
        f"{median(run.per_cpu_s for run in some):,.0f} a second of processor time, "
        f"{max(run.rss_bytes for run in some) / 1e6:,.0f} MB at most"
        for each, some in runs.items()
    ]


def results(runs: Mapping[str, Sequence[Run]], broker: str) -> dict[str, Any]:
    """Return what was measured for `results.json`."""
    return {
        "broker": broker,
        **{
            each: {
                "bar_rows_per_s": BARS_PER_S[each],
                "rows_per_s": per_s(some),
                "runs": [asdict(run) for run in some],
            }
            for each, some in runs.items()
        },
    }


def section(runs: Mapping[str, Sequence[Run]], broker: str) -> str:
    """Return the section of RESULTS.md."""
    rows = [
        f"| {each} | {some[0].rows:,} | {BARS_PER_S[each]:,} | {per_s(some):,.0f} | "
        f"{min(run.per_s for run in some):,.0f} to {max(run.per_s for run in some):,.0f} | "
        f"{median(run.per_cpu_s for run in some):,.0f} |"
        for each, some in runs.items()
    ]
    return "\n".join(
        [
            "## Load",
            "",
            f"One process loads a table of eleven columns into {broker} on the same machine "
            f"({machine()}): read, mapped, packed, acknowledged. `python -m benchmarks.load`",
            "",
            "| format | rows | bar, rows/s | rows/s | slowest to fastest | "
            "rows a second of processor time |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    main()
