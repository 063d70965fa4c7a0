"""Late events on the embedded broker; `tests/kafka` plays them on Apache Kafka, too."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.streams.deployment import WAIT_S, deployment
from tests.streams.late import late_events_wait_for_the_store


def test_late_events_wait_for_the_store_and_are_booked_or_counted_once(
    broker: str, tmp_path: Path
) -> None:
    async def play() -> None:
        async with asyncio.timeout(4 * WAIT_S), deployment(broker, tmp_path) as made:
            await late_events_wait_for_the_store(made)

    asyncio.run(play())
