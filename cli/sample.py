"""The command `sample`: made-up events into a running stack or any Kafka, at a steady rate."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.broker import broker_settings
from cli.outages import broker_at
from cli.parsing import data_dir_option, events_option, json_option, seed_option

if TYPE_CHECKING:
    from producers.client.columns import CarbonflowProducer
    from producers.sample import SamplePart
    from schemas.settings import BrokerSettings

PORTION_S = 0.2
"""What is due within so long is sent together."""


@click.command(
    epilog="\b\nExamples:\n  carbonflow sample --rate 200\n"
    "  carbonflow sample --events 10000 --rate 1000 --bootstrap kafka:9092"
)
@events_option(1_000_000)
@click.option(
    "--rate",
    type=click.IntRange(1, 1_000_000),
    default=20,
    show_default=True,
    help="Events a second.",
)
@seed_option
@click.option(
    "--bootstrap",
    metavar="HOST:PORT",
    help="Kafka to send to [default: a running `carbonflow up`, else CARBONFLOW_BOOTSTRAP].",
)
@data_dir_option
@json_option
def sample(
    events: int, rate: int, seed: int, bootstrap: str | None, data_dir: Path, as_json: bool
) -> None:
    """Send a made-up sample at a steady rate, as `demo` works it: something to look at.

    The sample is the same for the same seed and number of events, and sent again it counts once.
    SIGTERM and Ctrl-C end it after the portion it is sending.
    """
    settings = broker_settings(bootstrap, data_dir)
    with broker_at(settings):
        sent = asyncio.run(_send(settings, events, rate, seed))
    print(json.dumps({"sent": sent}) if as_json else f"sent {sent:,} events")


async def _send(settings: BrokerSettings, events: int, rate: int, seed: int) -> int:
    from producers.client.columns import CarbonflowProducer

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    sent = 0
    async with CarbonflowProducer(settings) as producer:
        began = time.monotonic()
        async for part in _portions(events, seed, max(1, int(rate * PORTION_S))):
            try:
                wait_s = began + sent / rate - time.monotonic()
                await asyncio.wait_for(stop.wait(), max(0.0, wait_s))
                break
            except TimeoutError:
                sent += await _send_one(producer, part)
    return sent


async def _send_one(producer: CarbonflowProducer, part: SamplePart) -> int:
    from producers.sample import SampleRaw

    if isinstance(part, SampleRaw):
        return await producer.send_raw(part.topic, part.messages)
    return await producer.send_batch(part.record, part.batch)


async def _portions(events: int, seed: int, size: int) -> AsyncIterator[SamplePart]:
    """Yield the sample in portions of at most `size` events; it is made beside the event loop."""
    from producers.sample import SampleBatch, SampleRaw
    from producers.sample import sample as made

    def cut() -> Iterator[SamplePart]:
        for part in made(events, seed=seed):
            if isinstance(part, SampleRaw):
                for first in range(0, len(part.messages), size):
                    yield SampleRaw(part.topic, part.messages[first : first + size])
            else:
                for first in range(0, part.batch.num_rows, size):
                    yield SampleBatch(part.record, part.batch.slice(first, size))

    portions = cut()
    while (portion := await asyncio.to_thread(next, portions, None)) is not None:
        yield portion
