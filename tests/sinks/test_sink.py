"""The sink on a real broker and both stores."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from prometheus_client import CollectorRegistry

from schemas.singles import encode_one
from sinks.metrics import SinkMetrics
from sinks.sink import SinkError, SinkSettings, run_sink
from sinks.writer import ROUTES, BrokenRecordError
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


@pytest.fixture
def bench(broker: str, facts: Facts) -> Bench:
    """Topics of its own on the shared broker."""
    prefix = f"sink{next(_prefixes)}."
    settings = SinkSettings(
        bootstrap=broker,
        prefix=prefix,
        database=facts.database,
        sink_group=f"{prefix}group",
        sink_wait_ms_max=50,
        sink_topics_wait_ms_max=5_000,
    )

    async def create() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(prefix + name, PARTITIONS, 1) for name in ROUTES])
        finally:
            await admin.close()

    asyncio.run(create())
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
        group_id=bench.settings.sink_group,
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


def test_records_of_all_partitions_reach_their_tables(bench: Bench) -> None:
    async def scenario() -> None:
        await produce(bench, "charging-sessions", sessions(range(20)), partition=0)
        await produce(bench, "charging-sessions", sessions(range(20, 30)), partition=1)
        await produce(bench, "transfers", transfers(range(30)))
        async with sinking(bench) as sink:
            await until(lambda: bench.rows("sessions") == bench.rows("ledger") == 30, sink)
        assert await committed(bench, "charging-sessions", 0) == 20
        assert await committed(bench, "charging-sessions", 1) == 10
        assert await committed(bench, "transfers") == 30

    run(scenario)


def test_only_committed_transactions_are_stored(bench: Bench) -> None:
    async def scenario() -> None:
        async with producing(bench, transactional_id=f"{bench.settings.prefix}t") as producer:
            async with producer.transaction():
                for value in transfers(range(5)):
                    await producer.send(bench.topic("transfers"), value, partition=0)
            await producer.begin_transaction()
            for value in transfers(range(5, 9)):
                await producer.send(bench.topic("transfers"), value, partition=0)
            await producer.flush()
            await producer.abort_transaction()
            async with producer.transaction():
                await producer.send(bench.topic("transfers"), transfers([9])[0], partition=0)
        async with sinking(bench) as sink:
            await until(lambda: bench.rows("ledger") == 6, sink)
        rows = bench.facts.client.query(f"SELECT source_offset FROM {bench.facts.database}.ledger")
        assert sorted(offset for (offset,) in rows.result_rows) == [0, 1, 2, 3, 4, 9]

    run(scenario)


def test_the_marker_that_ends_a_transaction_is_passed(bench: Bench) -> None:
    """Or else the sink would look as if it lagged for ever."""

    async def scenario() -> None:
        async with (
            producing(bench, transactional_id=f"{bench.settings.prefix}t") as producer,
            sinking(bench) as sink,
        ):
            async with producer.transaction():
                await producer.send(bench.topic("transfers"), transfers([1])[0], partition=0)
            await until(lambda: bench.rows("ledger") == 1, sink)
            await until_committed(bench, "transfers", 2)

    run(scenario)


def test_a_restarted_sink_goes_on_where_it_was(bench: Bench) -> None:
    async def scenario() -> None:
        await produce(bench, "charging-sessions", sessions(range(10)))
        async with sinking(bench) as sink:
            await until(lambda: bench.rows("sessions") == 10, sink)
        await produce(bench, "charging-sessions", sessions(range(10, 15)))
        registry = CollectorRegistry()
        async with sinking(bench, registry) as sink:
            await until(lambda: bench.rows("sessions") == 15, sink)
        labels = {"table": "charging_sessions"}
        assert registry.get_sample_value("carbonflow_sink_rows_total", labels) == 5

    run(scenario)


def test_a_broken_activity_is_passed_over(bench: Bench) -> None:
    async def scenario() -> None:
        first, second = sessions([0, 1])
        await produce(bench, "charging-sessions", [first, b"junk", second])
        registry = CollectorRegistry()
        async with sinking(bench, registry) as sink:
            await until(lambda: bench.rows("sessions") == 2, sink)
        assert await committed(bench, "charging-sessions") == 3
        labels = {"topic": "charging-sessions", "code": "not_framed"}
        assert registry.get_sample_value("carbonflow_sink_skipped_total", labels) == 1

    run(scenario)


def test_a_broken_transfer_stops_the_sink_with_its_offsets_unmoved(bench: Bench) -> None:
    async def scenario() -> None:
        await produce(bench, "transfers", [*transfers(range(3)), b"junk"])
        with pytest.raises(BrokenRecordError, match="transfers 0:3"):
            await run_sink(
                bench.settings,
                bench.facts.client,
                SinkMetrics(CollectorRegistry()),
                asyncio.Event(),
            )
        assert await committed(bench, "transfers") in (None, -1)

    run(scenario)


def test_a_store_that_fails_stops_the_sink_and_nothing_is_lost(bench: Bench) -> None:
    async def scenario() -> None:
        client, database = bench.facts.client, bench.facts.database
        await produce(bench, "charging-sessions", sessions(range(3)))
        client.command(f"RENAME TABLE {database}.charging_sessions TO {database}.away")
        with pytest.raises(Exception, match="charging_sessions"):
            await run_sink(
                bench.settings, client, SinkMetrics(CollectorRegistry()), asyncio.Event()
            )
        assert await committed(bench, "charging-sessions") in (None, -1)
        client.command(f"RENAME TABLE {database}.away TO {database}.charging_sessions")
        async with sinking(bench) as sink:
            await until(lambda: bench.rows("sessions") == 3, sink)

    run(scenario)


def test_topics_that_do_not_exist_are_waited_for(broker: str, facts: Facts) -> None:
    settings = SinkSettings(
        bootstrap=broker, prefix="nowhere.", database=facts.database, sink_topics_wait_ms_max=300
    )

    async def scenario() -> None:
        with pytest.raises(SinkError, match=r"no such topics after 300 ms: nowhere\.account"):
            await run_sink(
                settings, facts.client, SinkMetrics(CollectorRegistry()), asyncio.Event()
            )

    run(scenario)


def test_two_sinks_share_the_partitions(bench: Bench) -> None:
    # Static members, and the second comes back: the embedded broker loses a group whose dynamic
    # leader joins anew, and never expels a static member.
    first, second = (
        replace(bench, settings=replace(bench.settings, sink_instance_id=name)) for name in "ab"
    )

    async def scenario() -> None:
        async with sinking(first) as remaining:
            for last in (20, 40):
                async with sinking(second):
                    for number in range(last - 20, last):
                        place = number % PARTITIONS
                        await produce(bench, "transfers", transfers([number]), place)
                    stored = partial(bench.has, "ledger", last)
                    await until(stored, remaining)
        assert await committed(bench, "transfers", 0) == 20
        assert await committed(bench, "transfers", 1) == 20

    run(scenario)


def test_freshness_and_lag_are_measured(bench: Bench) -> None:
    async def scenario() -> None:
        await produce(bench, "transfers", transfers(range(4)))
        registry = CollectorRegistry()
        async with sinking(bench, registry) as sink:
            await until(lambda: bench.rows("ledger") == 4, sink)
            labels = {"table": "transfers", "le": "+Inf"}
            await until(
                lambda: (
                    registry.get_sample_value("carbonflow_sink_freshness_seconds_bucket", labels)
                    == 4
                ),
                sink,
            )
            place = {"topic": "transfers", "partition": "0"}
            await until(
                lambda: registry.get_sample_value("carbonflow_sink_lag_offsets", place) == 0, sink
            )

    run(scenario)
