"""Restoring: a store on disk reads the tail, and everything when Kafka says otherwise."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from producers.topics import ensure_topics
from streams.accounts import Accounts
from streams.restore import restore
from streams.settings import WorkerSettings
from streams.states import AccountStore
from tests.streams.scene import event, held, part_of, session, wire_balances, work

NAMES = [f"account-{n}" for n in range(20)]
PARTITIONS = 1


@dataclass
class Ledger:
    """A topic of balances, and accounts in memory that have booked the same."""

    settings: WorkerSettings
    truth: Accounts
    sessions: int = 0

    async def book(self, names: Iterable[str]) -> None:
        """Book a session of each account and send the balances."""
        events = []
        for name in names:
            self.sessions += 1
            events.append(event(session(session_id=f"S{self.sessions}", account_id=name)))
        values = wire_balances(work(self.truth, part_of(events)))
        async with AIOKafkaProducer(bootstrap_servers=self.settings.bootstrap) as producer:
            for value in values:
                await producer.send_and_wait(
                    self.settings.topic("account-balances"), value, key=b"k", partition=0
                )

    async def empty(self) -> None:
        """Make the topics anew."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.settings.bootstrap)
        await admin.start()
        try:
            await admin.delete_topics([self.settings.topic("account-balances")])
        finally:
            await admin.close()
        await ensure_topics(self.settings, partitions=PARTITIONS)
        self.truth = Accounts()


async def ledger(broker: str, folder: Path, prefix: str) -> Ledger:
    settings = WorkerSettings(
        bootstrap=broker, prefix=prefix, data_dir=folder, store="rocksdb", store_bytes_max=8 << 20
    )
    await ensure_topics(settings, partitions=PARTITIONS)
    return Ledger(settings, Accounts())


async def opened(of: Ledger) -> AccountStore:
    store, _ = await restore(of.settings, 0, PARTITIONS)
    return store


def test_both_stores_restore_what_the_topic_says(broker: str, tmp_path: Path) -> None:
    async def scene() -> None:
        made = await ledger(broker, tmp_path, "restore-both-")
        await made.book(NAMES)
        await made.book(NAMES[:7])
        for kind in ("memory", "rocksdb"):
            store, records = await restore(replace(made.settings, store=kind), 0, PARTITIONS)
            assert records == 27
            assert held(store, NAMES) == held(made.truth, NAMES)
            assert (len(store), store.checkpoint) == (20, 27)
            store.close()

    asyncio.run(scene())


def test_a_warm_store_takes_in_what_others_wrote_meanwhile(broker: str, tmp_path: Path) -> None:
    async def scene() -> None:
        made = await ledger(broker, tmp_path, "restore-warm-")
        await made.book(NAMES[:10])
        (await opened(made)).close()
        await made.book(NAMES[5:])
        store = await opened(made)
        assert held(store, NAMES) == held(made.truth, NAMES)
        assert (len(store), store.checkpoint) == (20, 25)
        store.close()

    asyncio.run(scene())


def test_a_change_without_a_known_checkpoint_is_restored_once_more_and_counts_once(
    broker: str, tmp_path: Path
) -> None:
    async def scene() -> None:
        made = await ledger(broker, tmp_path, "restore-behind-")
        await made.book(NAMES[:3])
        store = await opened(made)
        events = [event(session(session_id="S4", account_id=NAMES[3]))]
        work(store, part_of(events))
        assert store.checkpoint == 3
        store.close()
        await made.book(NAMES[3:4])
        again = await opened(made)
        assert held(again, NAMES) == held(made.truth, NAMES)
        assert (len(again), again.checkpoint) == (4, 4)
        again.close()

    asyncio.run(scene())


@pytest.mark.parametrize("grown", [False, True])
def test_a_store_of_a_topic_that_was_made_anew_is_thrown_away(
    broker: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, grown: bool
) -> None:
    async def scene() -> None:
        made = await ledger(broker, tmp_path, f"restore-anew-{grown}-".lower())
        await made.book(NAMES)
        (await opened(made)).close()
        await made.empty()
        await made.book(NAMES[:2])
        if grown:
            await made.book(NAMES[2:])
            await made.book(NAMES[2:])
        with caplog.at_level(logging.WARNING):
            store = await opened(made)
        assert held(store, NAMES) == held(made.truth, NAMES)
        assert "thrown away" in caplog.text
        store.close()

    asyncio.run(scene())
