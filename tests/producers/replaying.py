"""What the tests of replay share: topics of their own, refusals put there, what was sent again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from producers.refused import Wanted
from producers.replay import Plan, Totals, replay
from producers.topics import ensure_topics
from schemas.catalogue import shipped
from schemas.settings import BrokerSettings
from schemas.singles import decode_one, encode_one

T = TypeVar("T")

SESSIONS = "charging-sessions"
# Of this hour: a broker drops what says it is older than its topic keeps.
HOUR_MS = 3_600_000
THEN_MS = int(time.time() * 1000) - HOUR_MS
SESSION: dict[str, object] = {
    "session_id": "S1",
    "source": "test",
    "account_id": "anna",
    "programme": "cn-charging",
    "vehicle_class": "car",
    "grid_region": "CN-BJ",
    "started_at": 1_609_459_200_000,
    "ended_at": 1_609_462_800_000,
    "energy_wh": 6_310,
    "meter_side": "grid",
    "current": "ac",
    "operator_id": "o",
    "evse_id": "e",
    "reversal_of": None,
    "revision": 0,
}


@dataclass(frozen=True)
class Refusal:
    """A refusal as a worker or a loader writes it."""

    code: str = "factor_not_found"
    key: bytes | None = b"anna"
    value: bytes | None = b""
    timestamp_ms: int = THEN_MS
    headers: tuple[tuple[str, str], ...] = ()
    origin: str = "worker"

    def told(self) -> list[tuple[str, bytes]]:
        where: tuple[tuple[str, str], ...] = (
            ("topic", SESSIONS),
            ("partition", "2"),
            ("offset", "7"),
            ("timestamp", "1"),
        )
        if self.origin == "loader":
            where = tuple((name, "") for name, _ in where)
        told = (("code", self.code), ("reason", "why"), ("origin", self.origin), *where)
        return [(name, text.encode()) for name, text in (*told, *self.headers)]


def refused(number: int = 1) -> Refusal:
    return Refusal(value=encode_one("charging_session", {**SESSION, "session_id": f"S{number}"}))


@dataclass
class Place:
    """Topics of one test."""

    settings: BrokerSettings

    async def put(self, *refusals: Refusal, partition: int = 0) -> None:
        async with AIOKafkaProducer(**self.settings.client_options()) as producer:
            for each in refusals:
                await producer.send_and_wait(
                    self.settings.topic("refusals"),
                    key=each.key,
                    value=each.value,
                    partition=partition,
                    timestamp_ms=each.timestamp_ms,
                    headers=each.told(),
                )

    async def read(self, topic: str) -> list[ConsumerRecord]:
        """Return all committed messages of a topic."""
        consumer = AIOKafkaConsumer(
            **self.settings.client_options(),
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        await consumer.start()
        try:
            name, count = self.settings.topic(topic), shipped().topics[topic].partitions
            places = [TopicPartition(name, number) for number in range(count)]
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            messages: list[ConsumerRecord] = []
            for place in places:
                while await consumer.position(place) < ends[place]:
                    for some in (await consumer.getmany(timeout_ms=200)).values():
                        messages += some
            return messages
        finally:
            await consumer.stop()

    async def sent(self) -> list[ConsumerRecord]:
        return await self.read(SESSIONS)

    async def replay(self, wanted: Wanted | None = None, **plan: Any) -> Totals:
        totals = Totals()
        await replay(
            self.settings, wanted or Wanted(), Plan(**plan), totals, progress=lambda *_: None
        )
        return totals


def tried(broker: str, test: Callable[[Place], Coroutine[Any, Any, T]]) -> T:
    """Run a test over topics of its own."""
    settings = BrokerSettings(bootstrap=broker, prefix=f"replay-{uuid4().hex[:8]}.")

    async def run() -> T:
        async with asyncio.timeout(90):
            await ensure_topics(settings)
            return await test(Place(settings))

    return asyncio.run(run())


def ids(messages: Sequence[ConsumerRecord]) -> list[str]:
    return sorted(str(decode_one(message.value)[1]["session_id"]) for message in messages)
