"""`python -m benchmarks.run`: the job on Carbonflow and on its peers, in turns, on one broker.

Each round fills a fresh topic with the same records and lets every contestant read that very topic,
one after another, then deletes what the round made: the embedded broker keeps all data in memory
and saves it as it goes, so a late round must not pay for the early ones. Prints medians, spread and
ratios, and writes `benchmarks/results.json`. Exit status 1 if a ratio is below its bar, except with
`--quick`, which only shows that everything runs.
"""

import asyncio
import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Final

import click
from aiokafka.admin import AIOKafkaAdminClient
from rich.console import Console

from benchmarks.contestants import (
    OURS,
    PLAIN_FAUST,
    BenchmarkError,
    Contestant,
    Ground,
    events_per_s,
)
from benchmarks.generate import Load, Message, messages
from benchmarks.report import below, show, summary, write
from embedded.broker import Broker
from producers.client import CarbonflowProducer
from producers.factors.release import load_release
from producers.topics import ensure_topics
from schemas.catalogue import TOPICS
from schemas.settings import BrokerSettings

RESULTS: Final = Path(__file__).resolve().parent / "results.json"
CONTESTANTS: Final = (OURS, PLAIN_FAUST)
QUICK_EVENTS: Final = 60_000


@click.command(help="Measure Carbonflow against plain Faust: same broker, same records.")
@click.option("--events", default=300_000, show_default=True, help="Records of one run.")
@click.option("--rounds", default=3, show_default=True, help="Runs of each contestant.")
@click.option("--skew", default=0.5, show_default=True, help="Zipf exponent of the accounts.")
@click.option("--bootstrap", help="A running Kafka instead of the embedded broker.")
@click.option("--quick", is_flag=True, help="One small round, without a bar: does it run?")
def main(events: int, rounds: int, skew: float, bootstrap: str | None, quick: bool) -> None:
    if quick:
        events, rounds = min(events, QUICK_EVENTS), 1
    console = Console()
    load = Load(events=events, skew=skew)
    records = [message for chunk in messages(load) for message in chunk]
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            name = f"Kafka at {bootstrap}"
            if bootstrap is None:
                bootstrap = stack.enter_context(Broker.start(folder / "broker")).bootstrap
                name = f"noida-db {version('noida-db')}"
            rates: dict[str, list[float]] = {each.name: [] for each in CONTESTANTS}
            for number in range(rounds):
                ground = Ground(
                    bootstrap=bootstrap,
                    prefix=f"bench-{os.getpid()}-{number}-",
                    partitions=TOPICS["charging-sessions"].partitions,
                    folder=folder,
                    environ=os.environ,
                )
                for each, measured in run_round(CONTESTANTS, ground, records):
                    rates[each.name].append(measured)
                    console.print(f"round {number + 1}: {each.name} {measured:,.0f} events/s")
    except BenchmarkError as error:
        raise click.ClickException(str(error)) from None
    results = summary(rates, ours=OURS.name, broker=name, events=events)
    show(results, console)
    write(results, RESULTS)
    if not quick and (misses := below(results)):
        raise click.ClickException("; ".join(misses))


def run_round(
    contestants: Sequence[Contestant], ground: Ground, records: Sequence[Message]
) -> list[tuple[Contestant, float]]:
    """Fill a topic, let every contestant work it, and return each with its events per second."""
    asyncio.run(fill(ground, records))
    try:
        return [(each, events_per_s(each, ground, len(records))) for each in contestants]
    finally:
        asyncio.run(clear(ground))


async def fill(ground: Ground, records: Sequence[Message]) -> None:
    """Make the topics of a round and send the records and the shipped factors."""
    settings = BrokerSettings(bootstrap=ground.bootstrap, prefix=ground.prefix)
    await ensure_topics(settings)
    async with CarbonflowProducer(settings) as producer:
        await producer.publish_factors(load_release().factors)
        await producer.send_raw("charging-sessions", records)


async def clear(ground: Ground) -> None:
    """Delete every topic of a round."""
    admin = AIOKafkaAdminClient(bootstrap_servers=ground.bootstrap)
    await admin.start()
    try:
        topics = [name for name in await admin.list_topics() if name.startswith(ground.prefix)]
        await admin.delete_topics(topics)
    finally:
        await admin.close()


if __name__ == "__main__":
    main()
