"""Late events on Apache Kafka: none is lost, none booked twice, whoever is away."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from embedded.broker import free_port
from sinks.connect import connect
from sinks.migrate import migrate
from streams.lookup import Lookup
from streams.settings import WorkerSettings
from tests.kafka.server import KafkaServer
from tests.streams.deployment import WAIT_S, Deployment, deployment
from tests.streams.late import (
    Store,
    an_orderly_end_does_not_wait_for_a_store_that_is_away,
    late_events_wait_for_the_store,
)
from tests.streams.scene import event, part_of, session

pytestmark = pytest.mark.kafka

ASKED_S = 3
"""Long enough for a question that is asked too early."""


def test_the_store_is_not_asked_before_it_can_hold_all_that_is_written(
    kafka: KafkaServer, tmp_path: Path
) -> None:
    # A commit is answered before its records can be read; an open transaction stands for it.

    async def play() -> None:
        store = Store(tmp_path / "store", free_port())
        async with asyncio.timeout(2 * WAIT_S), deployment(kafka.bootstrap, tmp_path) as made:
            await made.make_topics()
            settings = WorkerSettings(**asdict(made.settings))
            lookup, part = Lookup(settings, store.settings), part_of([event(session())])
            with store.there(), connect(store.settings) as client:
                migrate(client)
                options = made.settings.client_options()
                async with AIOKafkaProducer(**options, transactional_id=made.group) as stranger:
                    await stranger.begin_transaction()
                    topic = made.settings.topic("transfers")
                    await stranger.send_and_wait(topic, b"x", partition=part.partition)
                    with pytest.raises(TimeoutError):
                        await asyncio.wait_for(lookup.stored(part), ASKED_S)
                    await stranger.abort_transaction()
                # What was aborted and its marker are all there is: no sink will ever pass them.
                assert (await lookup.stored(part)).tolist() == [False]
            assert lookup.waiting_s() == 0

    asyncio.run(play())


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
