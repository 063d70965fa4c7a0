"""`python -m benchmarks.wrk`: the gateway asked by wrk, as fast as it answers.

`benchmarks.gateway` sends at a steady rate; this is the closed loop of a load generator that others
know, so that the two can be held against each other: some connections, each of which asks again
when it has its answer, sessions one by one and then in batches. wrk is the machine's or Debian's.

Prints both and writes them to `benchmarks/RESULTS.md` and `benchmarks/results.json`. Exit status 1
if a rate or a p99 misses the bar of `benchmarks.gateway`, an answer was none or an error,
or the topic has fewer records. `--quick` takes few seconds and only shows.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from benchmarks.gateway import P99_MS_BAR, bars_missed, gateway, on_topic
from benchmarks.report import merge_results, write_section
from benchmarks.surroundings import machine
from embedded.broker import Broker
from producers.topics import ensure_topics
from schemas.settings import BrokerSettings
from tests.debian import DebianError, unpacked

FOLDER: Final = Path(sys.prefix) / "wrk"
PACKAGES: Final = ("wrk", "libluajit-5.1-2")
SCRIPT: Final = Path(__file__).with_suffix(".lua")
WARM_S: Final = 2
FIRST: Final = 1_000_000_000
"""Number of the first session after the warm-up, which sends others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A load: its name, the records of a request, connections, and the bar [records/s]."""

    name: str
    records: int
    connections: int
    bar_per_s: int


PLANS: Final = (
    Plan(name="single sessions", records=1, connections=64, bar_per_s=2_000),
    Plan(name="batches of 500", records=500, connections=4, bar_per_s=50_000),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What wrk says of a load, and what the topic has.

    Attributes:
        plan: The load.
        requests: Answers.
        seconds: How long it went on.
        p50_ms: Of the answers.
        p99_ms: Of the answers.
        max_ms: Of the answers.
        faults: Answers that were none, or errors.
        on_topic: Records on the topic, those of the warm-up not counted.
    """

    plan: Plan
    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    faults: int
    on_topic: int

    @property
    def records_per_s(self) -> float:
        """Records accepted in a second."""
        return self.requests * self.plan.records / self.seconds

    @property
    def misses(self) -> list[str]:
        """Which bars do not hold."""
        missed = bars_missed(
            self.plan.name,
            records_per_s=self.records_per_s,
            bar_per_s=self.plan.bar_per_s,
            p99_ms=self.p99_ms,
            accepted=self.requests * self.plan.records,
            on_topic=self.on_topic,
        )
        if self.faults:
            missed.append(f"{self.plan.name}: {self.faults} answers were none, or errors")
        return missed


def program() -> tuple[str, dict[str, str]]:
    """Return where wrk is, and the variables that it needs.

    Raises:
        ClickException: It is not there, and Debian does not bring it.
    """
    if found := shutil.which("wrk"):
        return found, {}
    if not shutil.which("apt-get"):
        raise click.ClickException("there is no wrk on the PATH, and no apt-get to fetch it")
    try:
        folder = unpacked(PACKAGES, FOLDER, "usr/bin/wrk")
    except DebianError as error:
        raise click.ClickException(str(error)) from None
    libraries = {str(path.parent) for path in folder.rglob("libluajit*")}
    return str(folder / "usr/bin/wrk"), {"LD_LIBRARY_PATH": ":".join(sorted(libraries))}


def asked(folder: Path, plan: Plan, seconds: int) -> Asked:
    """Let wrk ask a gateway of its own over a broker of its own."""
    wrk, environ = program()
    with Broker.start(folder / "broker") as broker:
        settings = BrokerSettings(bootstrap=broker.bootstrap)
        asyncio.run(ensure_topics(settings))
        with gateway(folder, settings) as running:
            given = {"TOKEN": running.token, "RECORDS": str(plan.records)}
            command = [wrk, "-t1", f"-c{plan.connections}", "-s", str(SCRIPT), "--timeout", "30s"]

            def run(for_s: int, first: int) -> str:
                done = subprocess.run(
                    [*command, f"-d{for_s}s", running.url],
                    env={**os.environ, **environ, **given, "FIRST": str(first)},
                    capture_output=True,
                    text=True,
                    check=False,
                )
                if done.returncode:
                    raise click.ClickException(done.stderr + done.stdout)
                return done.stderr

            run(WARM_S, 0)
            before = asyncio.run(on_topic(settings))
            said = json.loads(run(seconds, FIRST))
        return Asked(plan=plan, **said, on_topic=asyncio.run(on_topic(settings)) - before)


@click.command(help="Let wrk ask the gateway as fast as it answers.")
@click.option("--seconds", default=20, show_default=True, help="Of each load.")
@click.option("--quick", is_flag=True, help="A few seconds, without a bar: does it run?")
def main(seconds: int, quick: bool) -> None:
    console, loads = Console(), []
    for plan in PLANS:
        with tempfile.TemporaryDirectory() as name:
            loads.append(asked(Path(name), plan, 3 if quick else seconds))
        console.print(sentence(loads[-1]), highlight=False, soft_wrap=True)
    if quick:
        return
    merge_results({"wrk": {each.plan.name: asdict(each) for each in loads}})
    write_section("wrk", section(loads))
    if missed := [miss for each in loads for miss in each.misses]:
        raise click.ClickException("; ".join(missed))


def sentence(load: Asked) -> str:
    """Return what was measured for people, with the bars."""
    return (
        f"{load.plan.name}, {load.plan.connections} connections: {load.records_per_s:,.0f} "
        f"records/s (bar {load.plan.bar_per_s:,}), p50 {load.p50_ms:,.1f} ms, p99 "
        f"{load.p99_ms:,.1f} ms (bar {P99_MS_BAR:g} ms), at most {load.max_ms:,.0f} ms; "
        f"{load.faults} faults"
    )


def section(loads: list[Asked]) -> str:
    """Return the section of RESULTS.md."""
    rows = [
        f"| {each.plan.name} | {each.plan.connections} | {each.records_per_s:,.0f} | "
        f"{each.plan.bar_per_s:,} | {each.p50_ms:,.1f} | {each.p99_ms:,.1f} | {each.max_ms:,.0f} |"
        for each in loads
    ]
    return "\n".join(
        [
            "## Gateway, asked by wrk",
            "",
            "One process over the embedded broker, asked as fast as it answers by wrk beside it "
            f"({machine()}); bar: p99 below {P99_MS_BAR:g} ms.",
            "",
            "| load | connections | records/s | bar | p50 ms | p99 ms | max ms |",
            "|---|---|---|---|---|---|---|",
            *rows,
        ]
    )


if __name__ == "__main__":
    main()
