"""A workbench for the sink: topics of one test on a real broker, its store, and a sink to run."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from prometheus_client import CollectorRegistry

from schemas.singles import encode_one
from sinks.metrics import SinkMetrics
from sinks.sink import SinkSettings, run_sink
from sinks.writer import ROUTES
from tests.sinks.facts import Facts, session, transfer

WAIT_S = 30.0
PARTITIONS = 2
_prefixes = count()


@dataclass(frozen=True)
class Bench:
    """A broker with the topics of one test, and its store."""

    facts: Facts
    settings: SinkSettings

    def topic(self, name: str) -> str:
        """Return a topic's full name."""
        return self.settings.prefix + name

    def rows(self, view: str) -> int:
        """Return how many rows a view shows."""
        ((rows,),) = self.facts.client.query(
            f"SELECT count() FROM {self.facts.database}.{view}"
        ).result_rows
        return int(rows)

    def has(self, view: str, rows: int) -> bool:
        """Return whether a view shows so many rows."""
        return self.rows(view) == rows


async def make_bench(bootstrap: str, facts: Facts) -> Bench:
    """Return a bench with topics of its own."""
    prefix = f"sink{next(_prefixes)}."
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(prefix + name, PARTITIONS, 1) for name in ROUTES])
    finally:
        await admin.close()
    settings = SinkSettings(
        bootstrap=bootstrap,
        prefix=prefix,
        database=facts.database,
        sink_group=f"{prefix}group",
        sink_wait_ms_max=50,
        sink_topics_wait_ms_max=5_000,
    )
    return Bench(facts, settings)


def sessions(numbers: Iterable[int]) -> list[bytes]:
    """Return framed sessions."""
    return [encode_one("charging_session", plain(session(number))) for number in numbers]


def transfers(numbers: Iterable[int]) -> list[bytes]:
    """Return framed transfers."""
    rows = [transfer(session(number), "emission", 5_000) for number in numbers]
    return [encode_one("transfer", plain(row)) for row in rows]


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without the place of its message."""
    return {name: value for name, value in row.items() if not name.startswith("_")}


@asynccontextmanager
async def producing(bench: Bench, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    """Run a producer."""
    producer = AIOKafkaProducer(bootstrap_servers=bench.settings.bootstrap, **options)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def produce(bench: Bench, topic: str, values: list[bytes], partition: int = 0) -> None:
    """Produce values to a partition, outside any transaction."""
    async with producing(bench) as producer:
        for value in values:
            await producer.send(bench.topic(topic), value, key=b"ann", partition=partition)


async def committed(bench: Bench, topic: str, partition: int = 0) -> int | None:
    """Return what the sink's group has committed."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bench.settings.bootstrap,
        group_id=bench.settings.group_id,
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        place = TopicPartition(bench.topic(topic), partition)
        consumer.assign([place])
        offset: int | None = await consumer.committed(place)
        return offset
    finally:
        await consumer.stop()


async def until(happened: Callable[[], bool], sink: asyncio.Task[None]) -> None:
    """Wait for something the sink does, unless it ends first."""
    async with asyncio.timeout(WAIT_S):
        while not await asyncio.to_thread(happened):
            if sink.done():
                await sink
                raise AssertionError("the sink ended before it happened")
            await asyncio.sleep(0.02)


async def until_committed(bench: Bench, topic: str, offset: int) -> None:
    """Wait for the sink's group to commit an offset of partition 0."""
    async with asyncio.timeout(WAIT_S):
        while True:
            if await committed(bench, topic) == offset:
                return
            await asyncio.sleep(0.05)


@asynccontextmanager
async def sinking(
    bench: Bench, registry: CollectorRegistry | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    """Run a sink, and stop it in good order."""
    stop = asyncio.Event()
    metrics = SinkMetrics(registry or CollectorRegistry())
    sink = asyncio.create_task(run_sink(bench.settings, bench.facts.client, metrics, stop))
    try:
        yield sink
    finally:
        stop.set()
    async with asyncio.timeout(WAIT_S):
        await sink


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario."""

    async def bounded() -> None:
        async with asyncio.timeout(3 * WAIT_S):
            await scenario()

    asyncio.run(bounded())
