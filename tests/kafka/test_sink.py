"""Several sinks on real Apache Kafka: members come and go while records arrive, and all are stored.

The embedded broker is no judge of this: it loses a group whose leader joins anew.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import clickhouse_connect
import pytest

from sinks.migrate import migrate
from tests.kafka.server import KafkaServer
from tests.sinks.bench import (
    PARTITIONS,
    Bench,
    committed,
    make_bench,
    producing,
    run,
    sinking,
    transfers,
    until,
)
from tests.sinks.facts import Facts

pytestmark = pytest.mark.kafka


@pytest.fixture
def bench(kafka: KafkaServer, tmp_path: Path) -> Iterator[Bench]:
    """Topics of its own, and an empty chDB store."""
    path = str(tmp_path / "store")
    with clickhouse_connect.get_client(interface="chdb", path=path) as client:
        migrate(client)
        yield asyncio.run(make_bench(kafka.bootstrap, Facts(client, "carbonflow")))


def test_sinks_hand_partitions_over_without_losing_a_record(bench: Bench) -> None:
    async def scenario() -> None:
        sent = 0

        async def send_until(reached: int) -> None:
            nonlocal sent
            async with producing(bench) as producer:
                while sent < reached:
                    (value,) = transfers([sent])
                    partition = sent % PARTITIONS
                    await producer.send_and_wait(
                        bench.topic("transfers"), value, partition=partition
                    )
                    sent += 1

        async with sinking(bench) as remaining:
            await send_until(100)
            await until(lambda: bench.has("ledger", sent), remaining)
            for _ in range(2):
                async with sinking(bench) as passing:
                    await send_until(sent + 1_000)
                    await until(lambda: bench.has("ledger", sent), passing)
            await send_until(sent + 100)
            await until(lambda: bench.has("ledger", sent), remaining)
        ends = [await committed(bench, "transfers", partition) for partition in range(PARTITIONS)]
        assert ends == [sent // 2, sent // 2]

    run(scenario)
