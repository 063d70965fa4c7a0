"""Topics that get more partitions while nobody looks: no account begins anew."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from schemas.catalogue import shipped
from schemas.partition import partition_of
from tests.kafka.server import KafkaServer
from tests.streams.deployment import PARTITIONS, POLL_S, WAIT_S, Deployment, deployment
from tests.streams.scene import SESSIONS, Event, event, session, shipped_factors

pytestmark = pytest.mark.kafka


def session_of(account: str, number: int) -> Event:
    return event(session(session_id=f"{account}-{number}", account_id=account))


async def add_partitions(here: Deployment, total: int) -> None:
    """Give every topic of several partitions so many."""
    admin = AIOKafkaAdminClient(**here.settings.client_options())
    names = [
        here.settings.topic(topic.name)
        for topic in shipped().topics.values()
        if topic.partitions > 1
    ]

    async def are_there() -> bool:
        found = await admin.describe_topics(names)
        return all(len(topic["partitions"]) == total for topic in found)

    try:
        await admin.start()
        await admin.create_partitions({name: NewPartitions(total) for name in names})
        async with asyncio.timeout(WAIT_S):
            # The node tells of them a little later.
            while not await are_there():  # noqa: ASYNC110 - another process has no event.
                await asyncio.sleep(POLL_S)
    finally:
        await admin.close()


def test_a_worker_that_has_only_new_partitions_books_nothing(
    kafka: KafkaServer, tmp_path: Path
) -> None:
    total = 2 * PARTITIONS
    accounts = [f"driver-{number}" for number in range(20)]
    moved = [name for name in accounts if partition_of(name.encode(), total) >= PARTITIONS]
    assert moved, "no account would move"

    async def scenario(here: Deployment) -> None:
        await here.make_topics()
        await here.publish(shipped_factors().factors)
        await here.send(SESSIONS, [session_of(name, 1) for name in accounts])
        worker = here.start(session_timeout_s=3)
        await here.until_said(" open: ", worker)
        await here.until_worked(worker)
        worker.child.terminate()
        assert await worker.ended() == 0
        before = await here.balances()
        await add_partitions(here, total)
        for name in moved:
            home = partition_of(name.encode(), total)
            await here.send(SESSIONS, [session_of(name, 2)], partition=home)
        again = here.start(instance="worker-1", session_timeout_s=3)
        assert await again.ended() == 1
        assert f"has {total} partitions now and had {PARTITIONS}" in again.said()
        assert await here.balances() == before

    async def bounded() -> None:
        async with asyncio.timeout(4 * WAIT_S), deployment(kafka.bootstrap, tmp_path) as here:
            await scenario(here)

    asyncio.run(bounded())
