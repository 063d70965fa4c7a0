"""A paced consumer on real Apache Kafka asks at once for what it knows to be there."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from producers.topics import ensure_topics
from schemas.pacing import pace
from schemas.settings import BrokerSettings
from tests.kafka.server import KafkaServer

pytestmark = pytest.mark.kafka

RECORDS = 200
RECORD_BYTES = 10_000
FETCH_BYTES = 50_000
APART_S = 600.0


@pytest.mark.parametrize("isolation", ["read_uncommitted", "read_committed"])
def test_a_backlog_is_fetched_without_a_rest(kafka: KafkaServer, isolation: str) -> None:
    async def scene() -> int:
        settings = BrokerSettings(bootstrap=kafka.bootstrap, prefix=f"paced-{isolation}-")
        await ensure_topics(settings)
        topic = settings.topic("refusals")
        async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
            for number in range(RECORDS):
                await producer.send(topic, bytes(RECORD_BYTES), partition=number % 2)
        consumer = AIOKafkaConsumer(
            topic,
            bootstrap_servers=kafka.bootstrap,
            group_id=None,
            auto_offset_reset="earliest",
            isolation_level=isolation,
            max_partition_fetch_bytes=FETCH_BYTES,
        )
        async with consumer:
            pace(consumer, apart_s=APART_S)
            count = 0
            # If any fetch but the first rested, this would take ten minutes.
            async with asyncio.timeout(30):
                while count < RECORDS:
                    fetched = await consumer.getmany(timeout_ms=1000)
                    count += sum(map(len, fetched.values()))
        return count

    assert asyncio.run(scene()) == RECORDS
