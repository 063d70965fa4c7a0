"""Pacing: a consumer does not ask an idle broker again at once.

Kafka holds an empty fetch for `fetch_max_wait_ms`. The embedded broker answers it at once, and
aiokafka then asks thousands of times a second: a core is spent on nothing. A fetch that brought
nothing and took less than PACE_S is therefore followed by a rest. Apache Kafka never notices.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

from aiokafka import AIOKafkaConsumer

PACE_S: Final = 0.02


def pace(consumer: AIOKafkaConsumer) -> None:
    """Pace a started consumer; doing it again changes nothing."""
    fetcher = consumer._fetcher
    if "_proc_fetch_request" in vars(fetcher):
        return
    fetch = fetcher._proc_fetch_request

    async def paced(*args: Any) -> bool:
        loop = asyncio.get_running_loop()
        began = loop.time()
        brought: bool = await fetch(*args)
        if not brought and loop.time() - began < PACE_S:
            # The fetcher cancels its fetches when it closes and takes it for granted that they end
            # without a word, as its own do.
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(PACE_S)
        return brought

    fetcher._proc_fetch_request = paced
