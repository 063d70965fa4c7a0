"""`python -m benchmarks.gateway`: how much one gateway takes in, and how long its answers take.

A gateway with a token runs over the embedded broker on the same machine, and a load generator in a
process of its own (`benchmarks.hammering`) sends at a steady rate: sessions one by one, then
batches a line each. An answer is 202 once the broker has the records, so a latency has the whole
way in it. At the end the topic is asked whether it has as many records as were accepted.

Prints both and writes them to `benchmarks/RESULTS.md` and `benchmarks/results.json`. Exit status 1
if a rate is not held, a p99 is not below the bar, or an answer was another than 202. `--quick`
takes few seconds and only shows: nothing is written and no bar holds.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import click
import psutil  # type: ignore[import-untyped] # It ships no type information.
from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.console import Console

from api.tokens import entry_of, new_token
from benchmarks.company import Company, warning
from benchmarks.contestants import ROOT
from benchmarks.hammering import Hammered
from benchmarks.report import merge_results, write_section
from benchmarks.surroundings import machine
from embedded.broker import Broker
from producers.topics import ensure_topics
from schemas.catalogue import shipped
from schemas.settings import BrokerSettings

P99_MS_BAR: Final = 100.0
TOPIC: Final = "charging-sessions"
SENDER: Final = '[[senders]]\nname = "benchmark"\nprogramme = "cn-charging"\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A load, and the bar it has to hold.

    It is a little above the bar: the last answers come after the last request was due.

    Attributes:
        name: What it is.
        rate_per_s: Requests a second.
        records: Of each request.
        bar_per_s: Records a second that have to be taken in.
    """

    name: str
    rate_per_s: int
    records: int
    bar_per_s: int


PLANS: Final = (
    Plan(name="single sessions", rate_per_s=2_040, records=1, bar_per_s=2_000),
    Plan(name="batches of 500", rate_per_s=102, records=500, bar_per_s=50_000),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a gateway took in.

    Attributes:
        plan: The load.
        hammered: What became of its requests.
        cpu_s: Processor time of the gateway meanwhile [s].
        seconds: How long the load went on [s].
        on_topic: Records on the topic at the end.
    """

    plan: Plan
    hammered: Hammered
    cpu_s: float
    seconds: float
    on_topic: int

    @property
    def cores(self) -> float:
        """Processors the gateway used."""
        return self.cpu_s / self.seconds

    @property
    def misses(self) -> list[str]:
        """Which bars do not hold."""
        found = self.hammered
        missed = bars_missed(
            self.plan.name,
            records_per_s=found.records_per_s,
            bar_per_s=self.plan.bar_per_s,
            p99_ms=found.latencies.p99_ms,
            accepted=found.accepted,
            on_topic=self.on_topic,
        )
        # Here every answer is waited for, so none may have come twice either.
        if (twice := self.on_topic - found.accepted) > 0:
            missed.append(f"{self.plan.name}: {twice:,} on the topic were not accepted")
        if found.faults:
            missed.append(f"{self.plan.name}: answers were {found.faults}")
        return missed


def bars_missed(
    load: str,
    *,
    records_per_s: float,
    bar_per_s: int,
    p99_ms: float,
    accepted: int,
    on_topic: int,
) -> list[str]:
    """Return which bars a load has missed, each in a sentence."""
    missed = []
    if records_per_s < bar_per_s:
        missed.append(f"{load}: {records_per_s:,.0f} records/s, not {bar_per_s:,}")
    if p99_ms >= P99_MS_BAR:
        missed.append(f"{load}: p99 {p99_ms:,.1f} ms, not {P99_MS_BAR:g}")
    if on_topic < accepted:
        missed.append(f"{load}: {accepted:,} were accepted, {on_topic:,} are on the topic")
    return missed


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that runs.

    Attributes:
        url: Where.
        token: Of its sender.
        process: Itself.
    """

    url: str
    token: str
    process: psutil.Process

    def cpu_s(self) -> float:
        """Return its processor time until now [s]."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextmanager
def gateway(folder: Path, broker: BrokerSettings) -> Iterator[Running]:
    """Run a gateway with one sender, whose quota is no limit here."""
    token = new_token()
    (folder / "tokens.toml").write_text(entry_of(token, name="b", scope="send:benchmark"))
    (folder / "senders.toml").write_text(SENDER)
    plain = {name: value for name, value in os.environ.items() if "CARBONFLOW_" not in name}
    environ = plain | {
        "CARBONFLOW_BOOTSTRAP": broker.bootstrap,
        "CARBONFLOW_GATEWAY_PORT": "0",
        "CARBONFLOW_GATEWAY_METRICS_PORT": "0",
        "CARBONFLOW_GATEWAY_SENDERS_FILE": str(folder / "senders.toml"),
        "CARBONFLOW_GATEWAY_TOKENS_FILE": str(folder / "tokens.toml"),
        "CARBONFLOW_GATEWAY_RATE_PER_S": "1000000",
        "CARBONFLOW_GATEWAY_BURST": "1000000",
        "CARBONFLOW_GATEWAY_RECORDS_PER_S": "1000000",
        "CARBONFLOW_GATEWAY_RECORDS_BURST": "1000000",
    }
    argv = (sys.executable, "-m", "cli.main", "gateway")
    with subprocess.Popen(argv, env=environ, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            url = child.stdout.readline().strip()
            if not url:
                raise click.ClickException("the gateway does not start")
            yield Running(url, token, psutil.Process(child.pid))
        finally:
            child.terminate()


def measured(folder: Path, plan: Plan, seconds: float, *, warm_s: float) -> Taken:
    """Send a load to a gateway of its own over a broker of its own."""
    with Broker.start(folder / "broker") as broker:
        settings = BrokerSettings(bootstrap=broker.bootstrap)
        asyncio.run(ensure_topics(settings))
        with gateway(folder, settings) as running:
            before_s = running.cpu_s()
            argv = [sys.executable, "-m", "benchmarks.hammering", "--url", running.url]
            argv += ["--token", running.token, "--rate", str(plan.rate_per_s)]
            argv += ["--seconds", str(seconds), "--records", str(plan.records)]
            argv += ["--warm", str(warm_s)]
            done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
            cpu_s = running.cpu_s() - before_s
        if done.returncode:
            raise click.ClickException(done.stderr)
        return Taken(
            plan=plan,
            hammered=Hammered.of(done.stdout),
            cpu_s=cpu_s,
            seconds=seconds,
            on_topic=asyncio.run(on_topic(settings)),
        )


async def on_topic(settings: BrokerSettings) -> int:
    """Return how many records there are."""
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.bootstrap)
    await consumer.start()
    try:
        ends = await consumer.end_offsets(
            [
                TopicPartition(settings.topic(TOPIC), partition)
                for partition in range(shipped().topics[TOPIC].partitions)
            ]
        )
        return sum(ends.values())
    finally:
        await consumer.stop()


@click.command(help="Measure what one gateway takes in, and how long its answers take.")
@click.option("--seconds", default=30.0, show_default=True, help="Of each load.")
@click.option("--quick", is_flag=True, help="A few seconds, without a bar: does it run?")
def main(seconds: float, quick: bool) -> None:
    seconds, warm_s = (3.0, 0.5) if quick else (seconds, 3.0)
    console, taken = Console(), []
    before = Company.now()
    for plan in PLANS:
        with tempfile.TemporaryDirectory() as name:
            taken.append(measured(Path(name), plan, seconds, warm_s=warm_s))
        console.print(sentence(taken[-1]), highlight=False, soft_wrap=True)
    if said := warning(before.cores_since()):
        console.print(said, highlight=False, soft_wrap=True)
    if quick:
        return
    merge_results({"gateway": results(taken)})
    write_section("gateway", section(taken))
    if missed := [miss for one in taken for miss in one.misses]:
        raise click.ClickException("; ".join(missed))


def sentence(taken: Taken) -> str:
    """Return what was measured for people, with the bars."""
    found, plan = taken.hammered, taken.plan
    faults = f", answers that were not 202: {found.faults}" if found.faults else ""
    return (
        f"{plan.name}: {found.records_per_s:,.0f} records/s (bar {plan.bar_per_s:,}), "
        f"{found.latencies.shown} (bar {P99_MS_BAR:g} ms), at most {found.latencies.max_ms:,.0f} "
        f"ms; the gateway used {taken.cores:.2f} cores, "
        f"{taken.on_topic:,} of {found.accepted:,} are on the topic{faults}"
    )


def results(taken: list[Taken]) -> dict[str, Any]:
    """Return what was measured for `results.json`."""
    return {
        "bar_p99_ms": P99_MS_BAR,
        **{one.plan.name: {**asdict(one), "cores": one.cores} for one in taken},
    }


def section(taken: list[Taken]) -> str:
    """Return the section of RESULTS.md."""
    rows = [
        f"| {one.plan.name} | {one.plan.rate_per_s:,} | {one.hammered.records_per_s:,.0f} | "
        f"{one.plan.bar_per_s:,} | {one.hammered.latencies.p50_ms:,.1f} | "
        f"{one.hammered.latencies.p99_ms:,.1f} | {one.hammered.latencies.max_ms:,.0f} | "
        f"{one.cores:.2f} |"
        for one in taken
    ]
    return "\n".join(
        [
            "## Gateway",
            "",
            f"One process over the embedded broker, load generator beside it ({machine()}). "
            "Latencies count from when a request was due to its answer, which comes when the "
            f"broker has the records; bar: p99 below {P99_MS_BAR:g} ms.",
            "",
            "| load | requests/s | records/s | bar | p50 ms | p99 ms | max ms | cores |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
        ]
    )


if __name__ == "__main__":
    main()
