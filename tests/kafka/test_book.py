"""A book on real Apache Kafka: what it does where the broker is new, slow, stuck or against it."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import MessageSizeTooLargeError, ProducerFenced
from aiokafka.structs import TopicPartition

from carbon.factors import FactorTable
from producers.factors.release import load_release
from producers.programmes.load import load_programmes
from producers.sample import SampleBatch, sample
from producers.topics import ensure_topics
from schemas.columns import encode
from schemas.raw import Raw
from streams import book
from streams.book import Book, RecordsMissing, TransactionHanging
from streams.breaker import Breaker
from streams.settings import WorkerSettings
from streams.slice import Slice
from streams.step import Rules
from streams.transfers import FactorNames
from tests.kafka.server import KafkaServer, fetch_jars

pytestmark = pytest.mark.kafka

EVENTS = 40


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def within_a_minute() -> None:
        async with asyncio.timeout(60):
            await scenario

    asyncio.run(within_a_minute())


async def made_topics(kafka: KafkaServer) -> WorkerSettings:
    """Make topics of one partition, and return the settings of a worker on them."""
    settings = WorkerSettings(bootstrap=kafka.bootstrap, prefix=f"b{uuid.uuid4().hex[:8]}.")
    await ensure_topics(settings, partitions=1)
    return settings


@asynccontextmanager
async def opened(settings: WorkerSettings) -> AsyncIterator[Book]:
    """Open the book of partition 0, and close it."""
    made = await Book.open(settings, 0, Breaker(0), partitions=1)
    try:
        yield made
    finally:
        await made.close()


def rules() -> Rules:
    """Return the shipped programmes and factors."""
    factors = FactorTable.of(load_release().factors)
    return Rules(load_programmes(), factors, FactorNames.of(factors), partitions=1, dedupe_days=35)


def sessions(count: int = EVENTS) -> Slice:
    """Return the first sessions of the sample as a slice."""
    part = next(part for part in sample(200) if isinstance(part, SampleBatch))
    assert part.record == "charging_session"
    values = encode(part.record, part.batch.slice(0, count))
    offsets = np.arange(count)
    # 2026-10: the sample's last events are from before.
    timestamps_ms = np.full(count, 1_790_000_000_000)
    return Slice(
        "charging-sessions", 0, Raw.of(values), Raw.of([None] * count), offsets, timestamps_ms
    )


@asynccontextmanager
async def open_transaction(settings: WorkerSettings) -> AsyncIterator[AIOKafkaProducer]:
    """Write to the balances in a transaction that nobody ends."""
    stranger = AIOKafkaProducer(
        **settings.client_options(), transactional_id=f"{settings.prefix}stranger"
    )
    await stranger.start()
    try:
        await stranger.begin_transaction()
        topic = settings.topic("account-balances")
        await stranger.send_and_wait(topic, b"undone", key=b"ann", partition=0)
        yield stranger
    finally:
        await stranger.stop()


def test_a_book_opens_on_a_kafka_that_has_never_seen_a_group_and_on_one_just_restarted(
    kafka: KafkaServer, tmp_path: Path
) -> None:
    assert kafka.bootstrap  # Skips where no Kafka can run.

    async def first() -> WorkerSettings:
        settings = await made_topics(fresh)
        async with opened(settings) as mine:
            worked = await mine.work(sessions(), rules())
            assert worked is not None
            assert worked.outcome.booked > 0
        return settings

    async def again(settings: WorkerSettings) -> None:
        async with opened(settings) as mine:
            assert mine.next_offset == {"charging-sessions": EVENTS, "freight-trips": 0}
            assert len(mine.accounts) > 0

    with KafkaServer(tmp_path, fetch_jars()) as fresh:
        settings = asyncio.run(first())
        fresh.stop()
        fresh.start()
        run(again(settings))


def test_a_book_does_not_open_while_a_transaction_hangs_on_its_balances(
    kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book, "SETTLE_WAIT_S_MAX", 1)

    async def scenario() -> None:
        settings = await made_topics(kafka)
        async with open_transaction(settings):
            with pytest.raises(TransactionHanging, match="only 0 can be read"):
                await Book.open(settings, 0, Breaker(0), partitions=1)

    run(scenario())


def test_a_book_waits_for_a_transaction_that_ends(kafka: KafkaServer) -> None:
    async def scenario() -> None:
        settings = await made_topics(kafka)
        async with open_transaction(settings) as stranger:
            opening = asyncio.create_task(Book.open(settings, 0, Breaker(0), partitions=1))
            done, _ = await asyncio.wait([opening], timeout=1)
            assert not done
            await stranger.abort_transaction()
            await (await opening).close()

    run(scenario())


def test_a_batch_that_the_broker_refuses_is_not_committed_without(kafka: KafkaServer) -> None:
    async def scenario() -> None:
        settings = await made_topics(kafka)
        await limit_messages(settings, "transfers", "100")
        mine = await Book.open(settings, 0, Breaker(0), partitions=1)
        with pytest.raises(MessageSizeTooLargeError):
            await mine.work(sessions(), rules())
        assert len(mine.accounts) == 0
        await mine.close()
        async with opened(settings) as again:
            assert again.next_offset["charging-sessions"] == 0
            assert len(again.accounts) == 0

    run(scenario())


def test_a_fenced_book_says_so_changes_nothing_and_closes(kafka: KafkaServer) -> None:
    async def scenario() -> None:
        settings = await made_topics(kafka)
        async with opened(settings) as old, opened(settings) as new:
            with pytest.raises(ProducerFenced):
                await old.work(sessions(), rules())
            assert old.next_offset["charging-sessions"] == 0
            assert len(old.accounts) == 0
            assert await new.work(sessions(), rules()) is not None

    run(scenario())


def test_records_that_expire_before_they_are_worked_stop_the_worker(kafka: KafkaServer) -> None:
    async def scenario() -> None:
        settings = await made_topics(kafka)
        part = sessions()
        topic = settings.topic("charging-sessions")
        async with AIOKafkaProducer(**settings.client_options()) as producer:
            for row in range(len(part)):
                await producer.send_and_wait(topic, part.values[row], partition=0)
        admin = AIOKafkaAdminClient(**settings.client_options())
        await admin.start()
        async with opened(settings) as mine:
            worked = await mine.work(sessions(3), rules())
            assert worked is not None
            kept = RecordsToDelete(before_offset=8)
            await admin.delete_records({TopicPartition(topic, 0): kept})
            await admin.close()
            with pytest.raises(RecordsMissing, match="it is kept from 8 on only"):
                await mine.work(replace(part.since(8), begin=8), rules())

    run(scenario())


async def limit_messages(settings: WorkerSettings, name: str, max_bytes: str) -> None:
    """Let a topic take small batches only."""
    admin = AIOKafkaAdminClient(**settings.client_options())
    await admin.start()
    try:
        limit = {"max.message.bytes": max_bytes}
        resource = ConfigResource(ConfigResourceType.TOPIC, settings.topic(name), limit)
        await admin.alter_configs([resource])
    finally:
        await admin.close()
