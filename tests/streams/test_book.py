"""The book refuses to work where something does not fit together."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pyarrow as pa
import pytest
from aiokafka import AIOKafkaProducer

from schemas.partition import partition_of
from streams.accounts import Accounts
from streams.book import Book
from streams.breaker import Breaker
from streams.restore import PartitionsChanged, check_at_home
from streams.settings import WorkerSettings
from streams.slice import Slice
from tests.streams.scene import rules, session, sessions_of

NEXT_OFFSET = 5


async def work_it(part: Slice) -> None:
    producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:9")
    book = Book(
        WorkerSettings(),
        0,
        producer,
        {"charging-sessions": NEXT_OFFSET, "freight-trips": 0},
        Accounts(),
        Breaker(0),
    )
    try:
        assert await book.work(part, rules()) is None
    finally:
        await book.close()


def test_a_slice_that_was_worked_already_leads_to_nothing() -> None:
    asyncio.run(work_it(replace(sessions_of(session(), first_offset=2), begin=2)))


def test_accounts_are_at_home_where_their_keys_belong() -> None:
    home = partition_of(b"anna", 4)
    check_at_home(home, pa.array(["anna"]), 4)
    with pytest.raises(PartitionsChanged, match="1 accounts of partition"):
        check_at_home((home + 1) % 4, pa.array(["anna"]), 4)
