"""Late events on Apache Kafka: none is lost, none booked twice, whoever is away."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.kafka.server import KafkaServer
from tests.streams.deployment import WAIT_S, Deployment, deployment
from tests.streams.late import (
    an_orderly_end_does_not_wait_for_a_store_that_is_away,
    late_events_wait_for_the_store,
)

pytestmark = pytest.mark.kafka


@pytest.mark.parametrize(
    "scenario",
    [late_events_wait_for_the_store, an_orderly_end_does_not_wait_for_a_store_that_is_away],
)
def test_late_events(
    scenario: Callable[[Deployment], Awaitable[None]], kafka: KafkaServer, tmp_path: Path
) -> None:
    async def play() -> None:
        async with asyncio.timeout(4 * WAIT_S), deployment(kafka.bootstrap, tmp_path) as made:
            await scenario(made)

    asyncio.run(play())
