"""What lies between a book's next offset and a slice: no records, or the worker stops."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from streams.book import Book, RecordsMissing
from streams.breaker import Breaker
from streams.settings import WorkerSettings
from tests.streams.deployment import PARTITIONS, deployment
from tests.streams.scene import SESSIONS, Event, event, part_of, rules, session

PARTITION = 1


async def work_what_was_read_from(
    broker: str, folder: Path, *, before: list[Event], begin: int, aborted: int = 0
) -> int:
    """Work a slice of one record that was read from `begin` on; return how many were booked.

    Before it lie records, and others of a transaction that was aborted.
    """
    async with deployment(broker, folder) as made:
        await made.make_topics()
        await made.send(SESSIONS, before, PARTITION)
        options = made.settings.client_options()
        if aborted:
            async with AIOKafkaProducer(**options, transactional_id=made.group) as stranger:
                await stranger.begin_transaction()
                for _ in range(aborted):
                    topic = made.settings.topic(SESSIONS)
                    await stranger.send_and_wait(topic, b"never", partition=PARTITION)
                await stranger.abort_transaction()
        settings = WorkerSettings(bootstrap=broker, prefix=made.settings.prefix)
        book = await Book.open(settings, PARTITION, Breaker(0), partitions=PARTITIONS)
        try:
            one = part_of([event(session())], partition=PARTITION, first_offset=begin)
            worked = await book.work(replace(one, begin=begin), rules(partitions=1))
            return 0 if worked is None else len(worked.part)
        finally:
            await book.close()


def test_a_record_between_the_next_offset_and_a_slice_stops_the_worker(
    broker: str, tmp_path: Path
) -> None:
    with pytest.raises(RecordsMissing, match="there is a record at 0"):
        asyncio.run(work_what_was_read_from(broker, tmp_path, before=[event(session())], begin=1))


def test_what_was_aborted_may_lie_there(broker: str, tmp_path: Path) -> None:
    # Two records and the marker behind them.
    assert (
        asyncio.run(work_what_was_read_from(broker, tmp_path, before=[], aborted=2, begin=3)) == 1
    )
