"""The breaker on Apache Kafka: what it has counted goes with the offsets of each transaction."""

import asyncio
from pathlib import Path

import pytest

from tests.kafka.server import KafkaServer
from tests.streams.deployment import WAIT_S, deployment
from tests.streams.restarts import restarts_let_nothing_more_through
from tests.streams.scene import shipped_factors

pytestmark = pytest.mark.kafka


def test_restarts_let_nothing_more_through(kafka: KafkaServer, tmp_path: Path) -> None:
    async def play() -> None:
        async with asyncio.timeout(4 * WAIT_S), deployment(kafka.bootstrap, tmp_path) as made:
            await made.make_topics()
            await made.publish(shipped_factors().factors)
            await restarts_let_nothing_more_through(made)

    asyncio.run(play())
