"""`python -m benchmarks.latency`: how long an event takes through the whole stack, at what load.

First the full load of the stack is measured. Then, for each of some rates, a stack of its own
(`carbonflow up`: broker, worker, sink and API on this machine) gets events from a producer in a
process of its own, on a schedule that waits for nobody. Every 50 ms one of them is a probe, in all
partitions in turn, with two latencies, each from the moment it was due:

* worker: until its transfers can be read by a consumer that reads what is committed;
* freshness: until its account's balance, asked over HTTP, counts it.

Prints a table, writes it to `benchmarks/RESULTS.md` and `benchmarks/results.json`, and draws
`docs/latency.svg`. Exit status 1 if freshness at 1,000 events/s or at half of full load is above
its bars. `--quick` takes one small rate and only shows: nothing is written and no bar holds.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from benchmarks.company import Company, warning
from benchmarks.curve import Series, drawn
from benchmarks.full import Full, full_load
from benchmarks.measure import BenchmarkError
from benchmarks.paced import sending
from benchmarks.pacing import LATE_MS_MAX, Quantiles, Schedule
from benchmarks.probes import PacedLoad, ProbeAccounts
from benchmarks.report import merge_results, write_section
from benchmarks.standing import Standing, standing
from benchmarks.surroundings import machine
from benchmarks.watching import Watch, watch_balances, watch_transfers
from schemas.catalogue import TOPICS

PICTURE: Final = Path(__file__).resolve().parents[1] / "docs" / "latency.svg"
PARTITIONS: Final = TOPICS["charging-sessions"].partitions
LOW_PER_S: Final = 1_000
P50_MS_MAX: Final = 250.0
P99_MS_MAX: Final = 1_000.0
WARM_S: Final = 3.0
FULL_EVENTS: Final = 400_000
RATES: Final = (1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 50_000, 75_000, 100_000, 150_000)
KNEE_TIMES: Final = 3.0
HEADINGS: Final = (
    "events/s",
    "worker p50",
    "worker p99",
    "freshness p50",
    "freshness p99",
    "producer late p99",
    "others' cores",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What was measured at one rate.

    Attributes:
        rate_per_s: Events in a second.
        worker: From due to a committed transfer that can be read.
        freshness: From due to an answer of the API that counts the event.
        late: How late the producer sent; part of both.
        others_cores: What others used of the machine meanwhile.
    """

    rate_per_s: int
    worker: Quantiles
    freshness: Quantiles
    late: Quantiles
    others_cores: float


@click.command(help="Measure latency through the whole stack against load, and draw the curve.")
@click.option("--full", type=click.IntRange(min=1_000), help="Full load, not to be measured.")
@click.option("--seconds", default=20.0, show_default=True, help="How long each rate is held.")
@click.option("--bars", is_flag=True, help="Only the two rates that have bars; no picture.")
@click.option("--quick", is_flag=True, help="One small rate, without a bar: does it run?")
def main(full: int | None, seconds: float, bars: bool, quick: bool) -> None:
    console = Console()
    try:
        if quick:
            show([measured(LOW_PER_S, WARM_S + 2.0, console)], console)
            return
        found = full or _full_load(console).per_s
        judged = (LOW_PER_S, found // 2)
        points = [measured(rate, WARM_S + seconds, console) for rate in judged]
        if not bars:
            points += climbed(
                [rate for rate in RATES if rate not in judged],
                lambda rate: measured(rate, WARM_S + seconds, console),
            )
    except BenchmarkError as error:
        raise click.ClickException(str(error)) from None
    points.sort(key=lambda point: point.rate_per_s)
    show(points, console)
    merge_results({"latency": results(points, found)})
    write_section("latency", section(points, found, seconds))
    if not bars:
        PICTURE.write_text(picture(points, found), "utf-8")
    misses = below([point for point in points if point.rate_per_s in judged])
    if misses:
        raise click.ClickException("; ".join(misses))


def measured(rate_per_s: int, seconds: float, console: Console) -> Point:
    """Return what a rate does to a stack of its own.

    Raises:
        BenchmarkError: A part failed.
    """
    load = PacedLoad(
        schedule=Schedule(rate_per_s=rate_per_s, seconds=seconds), partitions=PARTITIONS
    )
    with standing() as stack:
        point = _watched(stack, load)
    console.print(
        f"{rate_per_s:,} events/s: worker {point.worker.shown}; freshness {point.freshness.shown}",
        highlight=False,
        soft_wrap=True,
    )
    if point.late.p99_ms > LATE_MS_MAX:
        console.print(
            f"  the producer was late itself: {point.late.shown}", highlight=False, soft_wrap=True
        )
    if said := warning(point.others_cores):
        console.print(f"  {said}", highlight=False, soft_wrap=True)
    return point


def climbed(rates: Sequence[int], measure: Callable[[int], Point]) -> list[Point]:
    """Measure one rate after another, until one is not kept up with."""
    points: list[Point] = []
    for rate in rates:
        points.append(measure(rate))
        if points[-1].freshness.lost:
            break
    return points


def _watched(stack: Standing, load: PacedLoad) -> Point:
    with sending(stack.bootstrap, load) as producer:
        due_s, accounts = load.probes_due_s(producer.start_s), ProbeAccounts.over(load.partitions)
        worker, freshness = Watch(accounts, due_s), Watch(accounts, due_s)
        before = Company.now()

        async def watch() -> None:
            await asyncio.gather(
                watch_balances(stack.api_url, freshness),
                watch_transfers(stack.bootstrap, load.partitions, worker),
            )

        asyncio.run(watch())
        cores = before.cores_since()
        sent = producer.result()
    return Point(
        rate_per_s=load.schedule.rate_per_s,
        worker=worker.latencies(warm_s=WARM_S),
        freshness=freshness.latencies(warm_s=WARM_S),
        late=sent.late,
        others_cores=cores,
    )


def _full_load(console: Console) -> Full:
    with standing() as stack:
        found = full_load(stack, FULL_EVENTS)
    console.print(
        f"full load: worked {found.worked_per_s:,.0f} events/s, stored {found.stored_per_s:,.0f}",
        highlight=False,
        soft_wrap=True,
    )
    return found


def knee(points: Sequence[Point]) -> int:
    """Return the last rate at which freshness p50 is less than KNEE_TIMES that of the first.

    Args:
        points: By rate, at least one.
    """
    first = points[0].freshness.p50_ms
    before = points[0].rate_per_s
    for point in points:
        if point.freshness.lost or point.freshness.p50_ms > KNEE_TIMES * first:
            return before
        before = point.rate_per_s
    return before


def below(points: Sequence[Point]) -> list[str]:
    """Return a sentence for every freshness that is above its bar, or that has no end."""
    misses = []
    for point in points:
        fresh, rate = point.freshness, f"{point.rate_per_s:,} events/s"
        for name, found, bar in (
            ("p50", fresh.p50_ms, P50_MS_MAX),
            ("p99", fresh.p99_ms, P99_MS_MAX),
        ):
            if found >= bar:
                misses.append(f"freshness {name} at {rate}: {found:,.0f} ms, the bar is {bar:,.0f}")
        if fresh.lost:
            misses.append(f"{fresh.lost} of {fresh.count} probes at {rate} were never seen")
    return misses


def rows(points: Sequence[Point]) -> list[tuple[str, ...]]:
    """Return a row of the table for each point, in the columns of HEADINGS."""
    return [
        (
            f"{point.rate_per_s:,}",
            *(
                f"{'> ' if each.lost else ''}{ms:,.0f} ms"
                for each in (point.worker, point.freshness)
                for ms in (each.p50_ms, each.p99_ms)
            ),
            f"{point.late.p99_ms:,.0f} ms",
            f"{point.others_cores:.2f}",
        )
        for point in points
    ]


def show(points: Sequence[Point], console: Console) -> None:
    """Print the table."""
    table = Table(title="Latency of one event, by load")
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for row in rows(points):
        table.add_row(*row)
    console.print(table)


def section(points: Sequence[Point], full_per_s: int, seconds: float) -> str:
    """Return the section of RESULTS.md, in Markdown."""
    table = (HEADINGS, ("--:",) * len(HEADINGS), *rows(points))
    return "\n\n".join(
        (
            "## Latency by load",
            f"One event through the whole stack on one machine, `carbonflow up`, in an open loop; "
            f"{seconds:.0f} s at each rate, a probe every 50 ms. *Worker*: until its committed "
            "transfers can be read. *Freshness*: until its balance, asked over HTTP, counts it. "
            f"Full load is {full_per_s:,} events/s, the knee {knee(points):,}. The bars for "
            f"freshness, at {LOW_PER_S:,} events/s and at half of full load, are "
            f"{P50_MS_MAX:.0f} ms for p50 and {P99_MS_MAX:,.0f} ms for p99.",
            "\n".join(f"| {' | '.join(row)} |" for row in table),
            f"{machine()}.",
        )
    )


def results(points: Sequence[Point], full_per_s: int) -> dict[str, Any]:
    """Return what was measured, for programs."""
    return {
        "full_per_s": full_per_s,
        "knee_per_s": knee(points),
        "points": [asdict(point) for point in points],
        "machine": machine(),
    }


def picture(points: Sequence[Point], full_per_s: int) -> str:
    """Return the curve of both latencies, as SVG."""
    rates = [point.rate_per_s for point in points]
    return drawn(
        rates,
        [
            Series(
                "freshness over the API",
                tuple((point.freshness.p50_ms, point.freshness.p99_ms) for point in points),
            ),
            Series(
                "worker",
                tuple((point.worker.p50_ms, point.worker.p99_ms) for point in points),
            ),
        ],
        full_per_s=full_per_s,
    )


if __name__ == "__main__":
    main()
