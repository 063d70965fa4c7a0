"""The sink on the embedded broker and both stores."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from sinks.metrics import SinkMetrics
from sinks.sink import SinkError, SinkSettings, run_sink
from sinks.writer import BrokenRecordError
from tests.sinks.bench import (
    Bench,
    committed,
    make_bench,
    produce,
    producing,
    run,
    sessions,
    sinking,
    transfers,
    until,
    until_committed,
)
from tests.sinks.facts import Facts


@pytest.fixture
def bench(broker: str, facts: Facts) -> Bench:
    """Topics of its own on the shared broker."""
    return asyncio.run(make_bench(broker, facts))


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
