"""The monitor knows a group that is level from one that is not, markers or no markers."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from embedded.monitor import Monitor, Standing
from schemas.settings import BrokerSettings


@pytest.fixture
def topic(broker: str) -> str:
    """A new topic of two partitions."""
    name = f"monitor-{uuid.uuid4()}"

    async def create() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker)
        await admin.start()
        await admin.create_topics([NewTopic(name, num_partitions=2, replication_factor=1)])
        await admin.close()

    asyncio.run(create())
    return name


async def commit(bootstrap: str, group: str, offsets: dict[TopicPartition, int]) -> None:
    """Commit as a group without members."""
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group) as consumer:
        consumer.assign(list(offsets))
        await consumer.commit(offsets)


def test_a_group_that_never_came_is_level_with_empty_topics(broker: str, topic: str) -> None:
    async def ask() -> bool:
        async with Monitor(BrokerSettings(bootstrap=broker)) as monitor:
            return await monitor.is_level(f"g-{topic}", [topic])

    assert asyncio.run(ask())


def test_records_not_committed_are_behind(broker: str, topic: str) -> None:
    async def ask() -> tuple[bool, Standing]:
        async with AIOKafkaProducer(bootstrap_servers=broker) as producer:
            for _ in range(3):
                await producer.send_and_wait(topic, b"x", partition=1)
        await commit(broker, f"g-{topic}", {TopicPartition(topic, 1): 1})
        async with Monitor(BrokerSettings(bootstrap=broker)) as monitor:
            group = f"g-{topic}"
            return await monitor.is_level(group, [topic]), await monitor.standing(group, [topic])

    assert asyncio.run(ask()) == (False, Standing(done=1, lag=2))


def test_markers_alone_are_not_behind(broker: str, topic: str) -> None:
    async def ask() -> tuple[bool, Standing]:
        group = f"g-{topic}"
        async with AIOKafkaProducer(bootstrap_servers=broker, transactional_id=topic) as producer:
            await producer.begin_transaction()
            await producer.send(topic, b"x", partition=0)
            await producer.commit_transaction()
        await commit(broker, group, {TopicPartition(topic, 0): 1})
        async with Monitor(BrokerSettings(bootstrap=broker)) as monitor:
            return await monitor.is_level(group, [topic]), await monitor.standing(group, [topic])

    assert asyncio.run(ask()) == (True, Standing(done=1, lag=1))


def test_an_open_transaction_is_behind(broker: str, topic: str) -> None:
    async def ask() -> bool:
        async with AIOKafkaProducer(bootstrap_servers=broker, transactional_id=topic) as producer:
            await producer.begin_transaction()
            await producer.send_and_wait(topic, b"x", partition=0)
            async with Monitor(BrokerSettings(bootstrap=broker)) as monitor:
                level = await monitor.is_level(f"g-{topic}", [topic])
            await producer.abort_transaction()
            return level

    assert not asyncio.run(ask())


def test_a_topic_that_does_not_exist_has_no_end(broker: str) -> None:
    async def ask() -> dict[TopicPartition, int]:
        async with Monitor(BrokerSettings(bootstrap=broker)) as monitor:
            return await monitor.ends([f"none-{uuid.uuid4()}"])

    assert asyncio.run(ask()) == {}
