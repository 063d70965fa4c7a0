"""`python -m benchmarks.scaling`: one worker, two workers, and what limits them on this machine.

Both over the same load, in turns, each run on a broker of its own. The clock runs while all workers
work: from when each has opened a book until nine tenths of the load are done. With fewer than three
processors the broker shares those of the workers, so beside the rate stands the processor time of
workers and broker: where they take all there is, more workers cannot be faster, and an event's
processor time says what they would do with a processor each.
"""

import asyncio
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from threading import Event
from typing import Final

import click
from rich.console import Console

from benchmarks.contestants import OURS
from benchmarks.generate import Load, Message, messages
from benchmarks.ground import Ground, fill
from benchmarks.measure import Look, Measured, begun, cpu_s, metrics, total
from benchmarks.report import merge_results, write_section
from benchmarks.surroundings import surroundings
from embedded.broker import Broker, free_port
from embedded.children import end, log_tail, spawn

LOOK_S: Final = 0.05
DONE_SHARE: Final = 0.9
RATIO_MIN: Final = 1.8
BUSY_SHARE: Final = 0.9
"""Processors count as taken from here on: the rest goes to the generator's looks and the system."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run showed."""

    workers: Measured
    broker_cpu_s: float

    @property
    def busy_share(self) -> float:
        """Share of all processors that workers and broker took."""
        taken = self.workers.cpu_s + self.broker_cpu_s
        return taken / self.workers.elapsed_s / (os.cpu_count() or 1)


@click.command(help="Measure two workers against one.")
@click.option("--events", default=600_000, show_default=True, help="Records of the load.")
@click.option("--rounds", default=3, show_default=True, help="Runs of each.")
@click.option("--quick", is_flag=True, help="One small round; nothing is written.")
def main(events: int, rounds: int, quick: bool) -> None:
    load = Load(events=min(events, 300_000) if quick else events)
    records = [message for chunk in messages(load) for message in chunk]
    runs: dict[int, list[Run]] = {1: [], 2: []}
    console = Console()
    for number in range(1 if quick else rounds):
        for count, found in runs.items():
            found.append(run(count, records))
            console.print(f"round {number + 1}: {said(count, found[-1:])}", highlight=False)
    ratio = median(r.workers.events_per_s for r in runs[2]) / median(
        r.workers.events_per_s for r in runs[1]
    )
    busy = median(r.busy_share for r in runs[2])
    lines = [said(count, found) for count, found in runs.items()]
    lines.append(f"Two workers do {ratio:.2f} times what one does; the bar is {RATIO_MIN:g}.")
    limited = ratio < RATIO_MIN and busy >= BUSY_SHARE
    if limited:
        cost = median(r.workers.cpu_s / r.workers.events for r in runs[2]) * 1e6
        lines.append(
            f"Workers and broker take {busy:.0%} of {os.cpu_count()} processors then: this machine "
            f"has none left. With one each, workers of {cost:.2f} µs an event do "
            f"{1e6 / cost:,.0f} events/s apiece."
        )
    for line in lines:
        console.print(line, highlight=False)
    if quick:
        return
    write_section(
        "scaling",
        "\n\n".join(
            ["## Two workers", f"{events:,} events.", *(f"* {x}" for x in lines), surroundings()]
        ),
    )
    merge_results({"scaling": {"ratio": round(ratio, 2), "busy_share": round(busy, 2)}})
    if ratio < RATIO_MIN and not limited:
        raise click.ClickException(f"{ratio:.2f} times is below {RATIO_MIN:g}")


def run(count: int, records: Sequence[Message]) -> Run:
    """Work the load with so many workers."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scaling-")))
        broker = stack.enter_context(Broker.start(folder / "broker"))
        ground = Ground(
            bootstrap=broker.bootstrap, prefix="scaling-", folder=folder, environ=os.environ
        )
        asyncio.run(fill(ground, records))
        ports = [free_port() for _ in range(count)]
        workers = []
        for number, port in enumerate(ports):
            child = spawn(
                OURS.command,
                log_path=folder / f"worker-{number}.log",
                death_signal=signal.SIGKILL,
                environ={
                    **ground.environ,
                    **OURS.environ(ground, port),
                    "CARBONFLOW_INSTANCE": f"bench-{number}",
                    "CARBONFLOW_DATA_DIR": str(folder / f"worker-{number}"),
                },
            )
            stack.callback(end, child, term_s=20.0)
            workers.append(child)
        return _watched(workers, ports, broker.child.pid, len(records), folder)


def _watched(
    workers: Sequence[subprocess.Popen[bytes]],
    ports: Sequence[int],
    broker_pid: int,
    events: int,
    folder: Path,
) -> Run:
    first: tuple[Look, float] | None = None
    while True:
        lines = [metrics(port) for port in ports]
        look = Look(
            time.monotonic(),
            sum(total(each, OURS.counter) for each in lines),
            sum(cpu_s(worker.pid) for worker in workers),
        )
        if first is None and all(begun(OURS, each, 0, events) for each in lines):
            first = look, cpu_s(broker_pid)
        if first is not None and look.events >= DONE_SHARE * events:
            return Run(Measured.between(first[0], look), cpu_s(broker_pid) - first[1])
        for number, worker in enumerate(workers):
            if worker.poll() is not None:
                raise click.ClickException(log_tail(folder / f"worker-{number}.log"))
        Event().wait(LOOK_S)


def said(count: int, runs: Sequence[Run]) -> str:
    """Return a sentence about runs with so many workers."""
    rate = median(run.workers.events_per_s for run in runs)
    cost = median(run.workers.cpu_s / run.workers.events for run in runs) * 1e6
    broker = median(run.broker_cpu_s / run.workers.events for run in runs) * 1e6
    busy = median(run.busy_share for run in runs)
    workers = "one worker" if count == 1 else f"{count} workers"
    return (
        f"{workers}: {rate:,.0f} events/s, {cost:.2f} µs of workers and {broker:.2f} µs of broker "
        f"an event, {busy:.0%} of all processors"
    )


if __name__ == "__main__":
    main()
