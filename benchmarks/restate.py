"""`python -m benchmarks.restate`: ten million stored sessions, restated on one core.

Fills a chDB store of its own, then reads every session back and rates it again with the methods of
the stream. The clock covers all of that, from the query to the sums. The process is pinned to one
core and the store to one thread. A sample of rows is compared with fractions, the sums with the
store's own integers (`benchmarks.proof`).

Prints sessions per second and writes them to `benchmarks/RESULTS.md` and `benchmarks/results.json`.
Exit status 1 below one million per second on one core. `--quick` takes fewer sessions and only
shows: nothing is written and no bar holds.
"""

import os
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import click
from rich.console import Console

import producers.programmes
from benchmarks import stored
from benchmarks.exactly import Paper
from benchmarks.measure import BenchmarkError
from benchmarks.proof import Sums, check_rows, check_sums, sample, sums_of
from benchmarks.report import merge_results, write_section
from benchmarks.surroundings import machine
from carbon.factors import Factor, FactorTable
from embedded.store import Store
from producers.factors.spec import load_factors
from producers.programmes.load import load_programmes
from sinks.connect import Client
from sinks.stored import stored_activities
from streams.restate import Restated, restate

SESSIONS: Final = 10_000_000
QUICK_SESSIONS: Final = 500_000
SESSIONS_PER_S_MIN: Final = 1_000_000
SAMPLE: Final = 1_000
KEEP_EVERY: Final = 16
"""One block of so many is kept for the sample."""
PACKAGES: Final = ("chdb", "numpy", "pyarrow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One restatement.

    Attributes:
        sums: What all sessions come to.
        wall_s: How long it took, reading included.
        cpu_s: Processor time of all threads meanwhile.
        kept: Some of its blocks.
    """

    sums: Sums
    wall_s: float
    cpu_s: float
    kept: list[Restated]

    @property
    def sessions(self) -> int:
        """How many were restated, or refused again."""
        return self.sums.accepted + self.sums.refused

    @property
    def sessions_per_s(self) -> float:
        """Sessions by the clock on the wall."""
        return self.sessions / self.wall_s


@click.command(help="Restate stored sessions on one core.")
@click.option("--sessions", default=SESSIONS, show_default=True, help="How many are stored.")
@click.option("--quick", is_flag=True, help="Half a million, without a bar: does it run?")
def main(sessions: int, quick: bool) -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # Threads to come inherit it.
    console = Console()
    factors = load_factors("release:2026.1")
    try:
        with (
            tempfile.TemporaryDirectory(prefix="bench-restate-") as folder,
            Store.open(Path(folder)) as store,
        ):
            stored.fill(store.writer, min(sessions, QUICK_SESSIONS) if quick else sessions)
            parts = stored.parts(store.reader)
            store.reader.set_client_setting("max_threads", "1")
            run = measure(store.reader, factors)
            prove(store.reader, run, factors)
    except BenchmarkError as error:
        raise click.ClickException(str(error)) from None
    text = told(run, parts)
    console.print(text, highlight=False)
    if quick:
        return
    merge_results({"restate": results(run)})
    bar = f"The bar is {SESSIONS_PER_S_MIN:,} per second."
    write_section("restate", f"## Restating what is stored\n\n{text}\n\n{bar}")
    if run.sessions_per_s < SESSIONS_PER_S_MIN:
        raise click.ClickException(
            f"{run.sessions_per_s:,.0f} per second is below the bar of {SESSIONS_PER_S_MIN:,}"
        )


def measure(client: Client, factors: list[Factor]) -> Run:
    """Read and rate every stored session."""
    programmes, table = load_programmes(), FactorTable.of(factors)
    totals, kept = [0] * len(Sums._fields), []
    cpu_s, begun = time.process_time(), time.perf_counter()
    blocks = stored_activities(client, "charging_session", database=stored.DATABASE)
    for number, part in enumerate(restate("charging_session", blocks, programmes, table)):
        totals = [total + more for total, more in zip(totals, sums_of(part), strict=True)]
        if number % KEEP_EVERY == 0:
            kept.append(part)
    wall_s = time.perf_counter() - begun
    return Run(sums=Sums(*totals), wall_s=wall_s, cpu_s=time.process_time() - cpu_s, kept=kept)


def prove(client: Client, run: Run, factors: list[Factor]) -> None:
    """Check a sample of a run, and its sums.

    Raises:
        BenchmarkError: Something differs.
    """
    on_paper = paper(factors)
    check_rows(client, stored.DATABASE, sample(run.kept, SAMPLE), on_paper)
    check_sums(client, stored.DATABASE, run.sums, on_paper)


def paper(factors: list[Factor]) -> Paper:
    """Return the shipped programmes, and factors, for fractions."""
    return Paper.of(Path(producers.programmes.__path__[0]), factors)


def told(run: Run, parts: int) -> str:
    """Return what was measured, for people."""
    sums = run.sums
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{run.sessions:,} sessions in {parts} parts of a chDB store, read and rated again on one "
        f"core in {run.wall_s:.2f} s ({run.cpu_s:.2f} s of processor time): "
        f"**{run.sessions_per_s:,.0f} sessions/s**.\n\n"
        f"{sums.accepted:,} came to {sums.emissions:,} mg emitted and {sums.reduction:,} mg saved, "
        f"{sums.refused:,} were refused. {SAMPLE:,} rows equal their fractions, the sums those of "
        f"the store's own integers.\n\n{machine()}, {versions}"
    )


def results(run: Run) -> dict[str, object]:
    """Return what was measured, for programs."""
    return {
        "sessions": run.sessions,
        "sessions_per_s": round(run.sessions_per_s),
        "sessions_per_cpu_s": round(run.sessions / run.cpu_s),
        "sums_mg": run.sums._asdict(),
        "machine": machine(),
        "versions": {name: version(name) for name in PACKAGES},
    }


if __name__ == "__main__":
    main()
