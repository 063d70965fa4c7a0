"""A paced consumer rests between fetches, loses nothing, and closes at once."""

import asyncio
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from producers.topics import ensure_topics
from schemas.pacing import APART_S, pace
from schemas.settings import BrokerSettings

IDLE_S = 0.5


async def consumer_of(settings: BrokerSettings) -> AIOKafkaConsumer:
    consumer = AIOKafkaConsumer(
        settings.topic("refusals"),
        bootstrap_servers=settings.bootstrap,
        group_id=None,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    return consumer


def counted(consumer: AIOKafkaConsumer) -> list[float]:
    """Return a list that grows by a moment for each request the consumer sends."""
    client, asked = consumer._client, []
    send = client.send

    async def counting(*args: object, **options: object) -> object:
        asked.append(time.monotonic())
        return await send(*args, **options)

    client.send = counting
    return asked


def test_an_idle_broker_is_asked_some_dozen_times_a_second_and_not_thousands(broker: str) -> None:
    async def scene() -> int:
        settings = BrokerSettings(bootstrap=broker, prefix="paced-idle-")
        await ensure_topics(settings)
        consumer = await consumer_of(settings)
        asked = counted(consumer)
        pace(consumer)
        pace(consumer)
        await consumer.getmany(timeout_ms=int(IDLE_S * 1000))
        await consumer.stop()
        return len(asked)

    assert 1 <= asyncio.run(scene()) <= 2 * IDLE_S / APART_S


def test_a_message_still_arrives_and_closing_during_a_rest_raises_nothing(broker: str) -> None:
    async def scene() -> list[bytes | None]:
        settings = BrokerSettings(bootstrap=broker, prefix="paced-busy-")
        await ensure_topics(settings)
        consumer = await consumer_of(settings)
        pace(consumer)
        async with AIOKafkaProducer(bootstrap_servers=broker) as producer:
            await producer.send_and_wait(settings.topic("refusals"), b"here")
        found = await consumer.getmany(timeout_ms=10_000)
        await consumer.getmany(timeout_ms=50)
        await consumer.stop()
        return [message.value for messages in found.values() for message in messages]

    assert asyncio.run(scene()) == [b"here"]


def test_records_that_trickle_in_are_fetched_together(broker: str) -> None:
    async def scene() -> tuple[int, int, int]:
        settings = BrokerSettings(bootstrap=broker, prefix="paced-trickle-")
        await ensure_topics(settings)
        consumer = await consumer_of(settings)
        pace(consumer, apart_s=0.25)
        asked, sent, found = counted(consumer), 0, 0
        async with AIOKafkaProducer(bootstrap_servers=broker) as producer:
            began = time.monotonic()
            while time.monotonic() < began + 1.0:
                await producer.send_and_wait(settings.topic("refusals"), b"here")
                sent += 1
                found += sum(map(len, (await consumer.getmany(timeout_ms=5)).values()))
        fetches = len(asked)
        async with asyncio.timeout(30):
            while found < sent:
                found += sum(map(len, (await consumer.getmany(timeout_ms=1000)).values()))
        await consumer.stop()
        return fetches, sent, found

    fetches, sent, found = asyncio.run(scene())
    assert found == sent > 20
    assert fetches <= 6
