"""Traffic: a made-up sample sent into a running stack, from a thread of its own.

A page driven by Playwright has an event loop in the thread of the test, so that another loop needs
another thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from producers.client.columns import CarbonflowProducer
from producers.sample import SampleRaw, sample
from schemas.settings import BrokerSettings

SEND_S_MAX: Final = 60.0


def send(bootstrap: str, events: int, *, seed: int) -> None:
    """Send a sample, and return when the broker has it."""
    failed: list[BaseException] = []

    def work() -> None:
        try:
            asyncio.run(_send(bootstrap, events, seed))
        except BaseException as error:  # noqa: BLE001 - Raised again below, in the thread of the test.
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(SEND_S_MAX)
    assert not thread.is_alive(), f"{events} events were not sent in {SEND_S_MAX} s"
    if failed:
        raise failed[0]


@contextmanager
def flowing(bootstrap: str, *, per_s: int, seed: int) -> Iterator[None]:
    """Send a sample little by little while the context is entered, one after the other."""
    stop = threading.Event()

    def work() -> None:
        asyncio.run(_flow(bootstrap, per_s, seed, stop))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(SEND_S_MAX)


async def _send(bootstrap: str, events: int, seed: int) -> None:
    async with CarbonflowProducer(BrokerSettings(bootstrap=bootstrap)) as producer:
        await _put(producer, events, seed)


async def _flow(bootstrap: str, per_s: int, seed: int, stop: threading.Event) -> None:
    # Waves, as people are: a chart of a straight line shows nothing.
    waves = (0.8, 1.0, 1.2, 1.1, 0.9, 0.7)
    async with CarbonflowProducer(BrokerSettings(bootstrap=bootstrap)) as producer:
        beat = 0
        while not stop.is_set():
            events = round(per_s * waves[beat // 2 % len(waves)] / 2)
            await _put(producer, events, seed + beat)
            beat += 1
            await asyncio.to_thread(stop.wait, 0.5)


async def _put(producer: CarbonflowProducer, events: int, seed: int) -> None:
    for part in sample(events, seed=seed):
        if isinstance(part, SampleRaw):
            await producer.send_raw(part.topic, part.messages)
        else:
            await producer.send_batch(part.record, part.batch)
