"""The paced producer: everything arrives, in order, and its lateness is told."""

import asyncio
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.measure import BenchmarkError
from benchmarks.paced import TOPIC, sending
from benchmarks.pacing import Schedule
from benchmarks.probes import PacedLoad, paced_messages
from embedded.broker import Broker
from producers.topics import ensure_topics
from schemas.catalogue import TOPICS
from schemas.partition import partition_of
from schemas.settings import BrokerSettings

PARTITIONS = TOPICS[TOPIC].partitions
LOAD = PacedLoad(schedule=Schedule(rate_per_s=1_000, seconds=0.5), partitions=PARTITIONS)


async def read(bootstrap: str, count: int) -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = {number: [] for number in range(PARTITIONS)}
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
    )
    async with consumer:
        consumer.assign([TopicPartition(TOPIC, number) for number in found])
        while sum(map(len, found.values())) < count:
            record = await asyncio.wait_for(consumer.getone(), timeout=20)
            found[record.partition].append(record.value)
    return found


def test_a_load_arrives_whole_in_order_and_not_before_it_is_due(tmp_path: Path) -> None:
    with Broker.start(tmp_path) as broker:

        async def topics() -> None:
            await ensure_topics(BrokerSettings(bootstrap=broker.bootstrap))

        asyncio.run(topics())
        with sending(broker.bootstrap, LOAD) as producer:
            sent = producer.result()
        arrived = asyncio.run(read(broker.bootstrap, LOAD.schedule.events))
    expected: dict[int, list[bytes]] = {number: [] for number in range(PARTITIONS)}
    for key, value in paced_messages(LOAD):
        expected[partition_of(key, PARTITIONS)].append(value)
    assert arrived == expected
    assert producer.start_s + LOAD.schedule.seconds < sent.end_s < time.monotonic()
    assert sent.late.count == LOAD.schedule.events


def test_a_producer_that_finds_no_broker_is_told_of(capfd: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(BenchmarkError, match="the producer ended before its time"),
        sending("127.0.0.1:1", LOAD),
    ):
        pass
    assert "127.0.0.1:1" in capfd.readouterr().err
