"""`python -m benchmarks.queries`: how fast a balance is answered while events flow in.

A stack on this machine (`carbonflow up`) gets events at a steady rate, and its API requests for
single balances at another, both on schedules that wait for nobody. A latency counts from the moment
a request was due to the last byte of its answer; whatever is not the balance counts as never
answered.

Prints the quantiles and writes them to `benchmarks/RESULTS.md` and `benchmarks/results.json`. Exit
status 1 if p99 is above its bar. `--quick` takes few seconds and only shows: nothing is written
and no bar holds.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Final

import click
from rich.console import Console

from benchmarks.asking import Answers, ask_balances
from benchmarks.company import Company, warning
from benchmarks.measure import BenchmarkError
from benchmarks.paced import sending
from benchmarks.pacing import Quantiles, Schedule
from benchmarks.probes import PacedLoad, paced_messages
from benchmarks.report import merge_results, write_section
from benchmarks.standing import Standing, standing
from benchmarks.surroundings import machine
from schemas.catalogue import TOPICS
from schemas.columns import decode

PARTITIONS: Final = TOPICS["charging-sessions"].partitions
P99_MS_MAX: Final = 20.0
AHEAD_S: Final = 5.0
WARM_S: Final = 2.0
ACCOUNTS: Final = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured.

    Attributes:
        requests_per_s: Requests in a second.
        events_per_s: Events that flowed in meanwhile.
        balance: Latency of a request.
        faults: Answers that were no balance, by what they were instead.
        late: How late the producer sent.
        others_cores: What others used of the machine meanwhile.
    """

    requests_per_s: int
    events_per_s: int
    balance: Quantiles
    faults: dict[str, int]
    late: Quantiles
    others_cores: float


@click.command(help="Measure balance queries over the API while events flow in.")
@click.option("--rate", default=200, show_default=True, help="Requests a second.")
@click.option("--events", default=20_000, show_default=True, help="Events a second.")
@click.option("--seconds", default=30.0, show_default=True, help="How long requests count.")
@click.option("--quick", is_flag=True, help="A few seconds, without a bar: does it run?")
def main(rate: int, events: int, seconds: float, quick: bool) -> None:
    if quick:
        events, seconds = min(events, 2_000), min(seconds, 2.0)
    console = Console()
    try:
        with standing() as stack:
            found = measured(stack, rate, events, seconds)
    except BenchmarkError as error:
        raise click.ClickException(str(error)) from None
    console.print(sentence(found), highlight=False, soft_wrap=True)
    if said := warning(found.others_cores):
        console.print(said, highlight=False, soft_wrap=True)
    if quick:
        return
    merge_results({"queries": results(found)})
    write_section("queries", section(found))
    misses = below(found)
    if misses:
        raise click.ClickException("; ".join(misses))


def measured(stack: Standing, rate: int, events_per_s: int, seconds: float) -> Measured:
    """Ask a primed stack for balances while events flow in.

    Raises:
        BenchmarkError: The producer failed.
    """
    asking_s = WARM_S + seconds
    load = PacedLoad(
        schedule=Schedule(rate_per_s=events_per_s, seconds=AHEAD_S + asking_s + 1.0),
        partitions=PARTITIONS,
    )
    accounts = known_accounts(load)
    with sending(stack.bootstrap, load) as producer:
        # By then the accounts of the first second are there to be asked for.
        time.sleep(max(0.0, producer.start_s + AHEAD_S - time.monotonic()))
        before = Company.now()
        schedule = Schedule(rate_per_s=rate, seconds=asking_s)
        answers: Answers = asyncio.run(ask_balances(stack.api_url, schedule, accounts))
        cores = before.cores_since()
        sent = producer.result()
    return Measured(
        requests_per_s=rate,
        events_per_s=events_per_s,
        balance=answers.latencies(warm_s=WARM_S),
        faults=dict(answers.faults),
        late=sent.late,
        others_cores=cores,
    )


def known_accounts(load: PacedLoad) -> Sequence[str]:
    """Return accounts that have a sound event in the first second of a load, in its order."""
    values = [value for _, value in islice(paced_messages(load), load.schedule.rate_per_s)]
    sound = decode("charging_session", values).batch["account_id"].to_pylist()
    return list(dict.fromkeys(sound))[:ACCOUNTS]


def below(found: Measured) -> list[str]:
    """Return a sentence if p99 is above its bar, and one if requests were not answered."""
    misses = []
    if found.balance.p99_ms >= P99_MS_MAX:
        misses.append(f"p99 is {found.balance.p99_ms:,.1f} ms, the bar is {P99_MS_MAX:.0f}")
    if found.balance.lost:
        misses.append(f"{found.balance.lost} of {found.balance.count} requests got no balance")
    return misses


def sentence(found: Measured) -> str:
    """Return what was measured, for people."""
    faults = "".join(f", {count} x {what}" for what, count in found.faults.items())
    return (
        f"{found.requests_per_s:,} balances/s while {found.events_per_s:,} events/s flow in: "
        f"{found.balance.shown}, at most {found.balance.max_ms:,.1f} ms{faults}"
    )


def section(found: Measured) -> str:
    """Return the section of RESULTS.md, in Markdown."""
    return "\n\n".join(
        (
            "## Balances while events flow in",
            f"{sentence(found)}. {found.balance.count:,} requests in an open loop against "
            f"`carbonflow up` on one machine; the bar for p99 is {P99_MS_MAX:.0f} ms. Others used "
            f"{found.others_cores:.2f} cores meanwhile.",
            f"{machine()}.",
        )
    )


def results(found: Measured) -> dict[str, Any]:
    """Return what was measured, for programs."""
    return {**asdict(found), "machine": machine()}


if __name__ == "__main__":
    main()
