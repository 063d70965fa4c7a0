"""`python -m benchmarks.client`: how many records one process sends through the client.

A process makes typed sessions of many accounts one by one, and sends each with `send`: it is
checked, written, handed to librdkafka, and has a report of its own. The clock stops when the
embedded broker has acknowledged all of them. Beside the wall clock the processor time of that
process counts, because the broker shares this machine. A second run goes by way of a spool.

Prints both and writes them to `benchmarks/RESULTS.md` and `benchmarks/results.json`. Exit status 1
if records/s without a spool are below the bar. `--quick` takes few seconds and only shows: nothing
is written and no bar holds.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from benchmarks.company import Company, warning
from benchmarks.contestants import ROOT
from benchmarks.report import merge_results, write_section
from benchmarks.surroundings import machine
from embedded.broker import Broker
from producers.client.delivery import Delivery, State
from producers.client.records import ChargingSession
from producers.client.settings import ClientSettings
from producers.client.sync import Client
from producers.topics import ensure_topics
from schemas.settings import BrokerSettings

BAR_PER_S: Final = 100_000
ACCOUNT_IDS: Final = [f"account-{number:06d}" for number in range(20_000)]
EVSE_IDS: Final = [f"1101050{number:03d}" for number in range(997)]
ENDED_AT: Final = 1_700_000_000_000
FLUSH_S_MAX: Final = 300.0
KEPT: Final = 20_000
IN_FLIGHT: Final = 6
"""So many times KEPT records, and more than the client lets wait, until reports are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What a process sent.

    Attributes:
        records: How many.
        wall_s: Until all were acknowledged [s].
        cpu_s: Processor time of the process meanwhile, librdkafka's threads among it [s].
        rss_bytes: The most memory it ever had.
    """

    records: int
    wall_s: float
    cpu_s: float
    rss_bytes: int

    @property
    def per_s(self) -> float:
        """Records a second."""
        return self.records / self.wall_s

    @property
    def per_cpu_s(self) -> float:
        """Records a second of processor time: what a core of its own would do."""
        return self.records / self.cpu_s

    @property
    def cpu_us(self) -> float:
        """Processor time a record [us]."""
        return self.cpu_s / self.records * 1e6


def session(number: int) -> ChargingSession:
    """Return a session as a network sends them."""
    return ChargingSession(
        session_id=f"session-{number:010d}",
        source="benchmark",
        account_id=ACCOUNT_IDS[number % len(ACCOUNT_IDS)],
        programme="cn-charging",
        vehicle_class="car",
        grid_region="CN-BJ",
        started_at=ENDED_AT - 3_600_000 + number,
        ended_at=ENDED_AT + number,
        energy_wh=10_000 + number % 50_000,
        meter_side="grid",
        current="dc",
        operator_id="MA002TMQX",
        evse_id=EVSE_IDS[number % len(EVSE_IDS)],
    )


def send(settings: ClientSettings, count: int) -> Sent:
    """Send sessions and return what it took; each must have a sound report."""
    wanted = State.DELIVERED if settings.client_spool is None else State.SPOOLED
    kept: list[list[Delivery]] = []
    states: Counter[State | None] = Counter()
    with Client(settings) as client:
        client.send(session(0)).result(60)  # The connection is no part of it.
        client.flush(FLUSH_S_MAX)
        before, started = _cpu_s(), time.perf_counter()
        for first in range(0, count, KEPT):
            numbers = range(first, min(first + KEPT, count))
            kept.append([client.send(session(number)) for number in numbers])
            if len(kept) > IN_FLIGHT:
                states.update([delivery.state for delivery in kept.pop(0)])
        client.flush(FLUSH_S_MAX)
        wall_s, cpu_s = time.perf_counter() - started, _cpu_s() - before
    for deliveries in kept:
        states.update([delivery.state for delivery in deliveries])
    if states != {wanted: count}:
        raise click.ClickException("a record has no sound report")
    rss_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Sent(records=count, wall_s=wall_s, cpu_s=cpu_s, rss_bytes=rss_kib * 1024)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measured(folder: Path, count: int, *, spooled: bool) -> Sent:
    """Send from a process of its own to a broker of its own."""
    with Broker.start(folder / "broker") as broker:
        asyncio.run(ensure_topics(BrokerSettings(bootstrap=broker.bootstrap)))
        argv = [sys.executable, "-m", "benchmarks.client", "--records", str(count)]
        argv += ["--bootstrap", broker.bootstrap]
        argv += ["--spool", str(folder / "spool")] if spooled else []
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(done.stderr)
    return Sent(**json.loads(done.stdout))


@click.command(help="Measure how many records one process sends through the client.")
@click.option("--records", default=2_000_000, show_default=True, help="How many.")
@click.option("--quick", is_flag=True, help="A few seconds, without a bar: does it run?")
@click.option("--bootstrap", hidden=True, help="Be the process that sends there.")
@click.option("--spool", type=click.Path(path_type=Path), hidden=True, help="By way of it.")
def main(records: int, quick: bool, bootstrap: str | None, spool: Path | None) -> None:
    if bootstrap is not None:
        broker = BrokerSettings(bootstrap=bootstrap)
        click.echo(
            json.dumps(asdict(send(ClientSettings(broker=broker, client_spool=spool), records)))
        )
        return
    records = min(records, 100_000) if quick else records
    console = Console()
    before = Company.now()
    with tempfile.TemporaryDirectory() as name:
        direct = measured(Path(name) / "direct", records, spooled=False)
        spooled = measured(Path(name) / "spooled", records // 4, spooled=True)
    cores = before.cores_since()
    for line in sentences(direct, spooled):
        console.print(line, highlight=False, soft_wrap=True)
    if said := warning(cores):
        console.print(said, highlight=False, soft_wrap=True)
    if quick:
        return
    merge_results({"client": results(direct, spooled)})
    write_section("client", section(direct, spooled))
    if direct.per_s < BAR_PER_S:
        raise click.ClickException(f"{direct.per_s:,.0f} records/s are below {BAR_PER_S:,}")


def sentences(direct: Sent, spooled: Sent) -> list[str]:
    """Return what was measured for people, with the bar."""
    return [
        f"{name}: {sent.per_s:,.0f} records/s ({bar}), {sent.per_cpu_s:,.0f} a second of processor "
        f"time ({sent.cpu_us:.1f} us each), {sent.rss_bytes / 1e6:,.0f} MB at most"
        for name, bar, sent in (
            ("client", f"bar {BAR_PER_S:,}", direct),
            ("client with a spool", "no bar", spooled),
        )
    ]


def results(direct: Sent, spooled: Sent) -> dict[str, Any]:
    """Return what was measured for `results.json`."""
    return {
        "bar_records_per_s": BAR_PER_S,
        "direct": {**asdict(direct), "records_per_s": direct.per_s},
        "spooled": {**asdict(spooled), "records_per_s": spooled.per_s},
    }


def section(direct: Sent, spooled: Sent) -> str:
    """Return the section of RESULTS.md."""
    rows = [
        f"| {name} | {sent.records:,} | {sent.per_s:,.0f} | {sent.per_cpu_s:,.0f} |"
        for name, sent in (("direct", direct), ("with a spool", spooled))
    ]
    return "\n".join(
        [
            "## Client",
            "",
            f"One process sends typed sessions one by one, each with its report, to the embedded "
            f"broker on the same machine ({machine()}); bar {BAR_PER_S:,} records/s without a "
            "spool. `python -m benchmarks.client`",
            "",
            "| way | records | records/s | records a second of processor time |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    main()
