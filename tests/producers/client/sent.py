"""What the tests of the client share: records to send, and what has arrived."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from producers.client.records import ChargingSession, FreightTrip
from schemas.catalogue import shipped
from schemas.settings import BrokerSettings
from schemas.singles import decode_one
from tests.streams.scene import session, trip

WAIT_S_MAX: Final = 60.0


def charging(**changes: object) -> ChargingSession:
    """Return a session."""
    return ChargingSession(**session(**changes))  # type: ignore[arg-type]


def freight(**changes: object) -> FreightTrip:
    """Return a trip."""
    return FreightTrip(**trip(**changes))  # type: ignore[arg-type]


def arrived(settings: BrokerSettings, topic: str) -> list[ConsumerRecord]:
    """Return all messages of a topic, by partition and offset, up to the end it has now."""
    return asyncio.run(asyncio.wait_for(_arrived(settings, topic), WAIT_S_MAX))


async def _arrived(settings: BrokerSettings, topic: str) -> list[ConsumerRecord]:
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        places = [
            TopicPartition(settings.topic(topic), partition)
            for partition in range(shipped().topics[topic].partitions)
        ]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        messages: list[ConsumerRecord] = []
        while len(messages) < sum(ends.values()):
            for some in (await consumer.getmany(timeout_ms=200)).values():
                messages += some
        return sorted(messages, key=lambda message: (message.partition, message.offset))
    finally:
        await consumer.stop()


def firsts(messages: list[ConsumerRecord]) -> dict[str, list[str]]:
    """Return the ids of sessions by account, each where it is first, as a worker books them."""
    found: dict[str, dict[str, None]] = {}
    for message in messages:
        _, fields = decode_one(message.value)
        assert str(fields["account_id"]).encode() == message.key
        found.setdefault(str(fields["account_id"]), {})[str(fields["session_id"])] = None
    return {account: list(ids) for account, ids in found.items()}


def await_that(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + WAIT_S_MAX
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.01)
