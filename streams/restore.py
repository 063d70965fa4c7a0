"""Restoring: the accounts of a partition, as `account-balances` has them.

What is held in memory begins with nothing. A store on disk has most of it already and needs only
what came after its checkpoint, whoever wrote that: this worker before it was killed, or another
that owned the partition meanwhile.

Kafka decides what is true. The record before the checkpoint must still be there, and be what the
store holds of its account. If it is not, the topic was made anew or cut, or compacted while the
store was away for long; then the store is thrown away and everything is restored.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from schemas.columns import decode
from schemas.fetching import fetch_columns
from schemas.log_events import tell
from schemas.partition import partitions_of
from schemas.raw import Raw
from streams.accounts import Accounts
from streams.disk import About, DiskAccounts, FolderInUse
from streams.fold import SUM_MAX
from streams.memory import Memory
from streams.settings import WorkerSettings
from streams.states import NEW, SUMS, AccountStore, states_of

log = logging.getLogger("carbonflow.book")

# One partition after another, in small portions: all at once is slower and takes a multiple of the
# memory, which the allocator does not give back.
FETCH_BYTES: Final = 2 << 20
RECORDS_MAX: Final = 8192
TURNS: Final = WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]()
FOLDER_WAIT_S_MAX = 10
RETRY_S: Final = 0.1
SIGNED: Final = ("reduction_mg",)
"""The sums that may be below zero."""


class PartitionsChanged(RuntimeError):
    """The topics were repartitioned: an account is in a partition that is not its own now."""


class UnreadableBalance(RuntimeError):
    """A balance of our own cannot be decoded: the changelog is damaged or from the future."""


class Stale(Exception):
    """A store does not hold what the topic says; the message says how that shows."""


async def restore(
    settings: WorkerSettings, partition: int, partitions: int
) -> tuple[AccountStore, int]:
    """Return the accounts of a partition, and how many records were read for them.

    Nobody else may be writing its balances.

    Raises:
        PartitionsChanged: An account belongs to another partition.
        UnreadableBalance: A balance cannot be read.
        FolderInUse: Another process has the store on disk open, and does not let go of it.
    """
    store = await _opened(settings, partition, partitions)
    try:
        try:
            count = await _replay(settings, partition, partitions, store)
        except Stale as why:
            store.close()
            store = await _opened(settings, partition, partitions, afresh=str(why))
            count = await _replay(settings, partition, partitions, store)
    except BaseException:
        store.close()
        raise
    return store, count


async def _opened(
    settings: WorkerSettings, partition: int, partitions: int, *, afresh: str | None = None
) -> AccountStore:
    if settings.store == "memory":
        return Accounts()
    folder = settings.accounts_dir(partition)
    about = About(settings.group_id, partition, partitions)
    deadline = time.monotonic() + FOLDER_WAIT_S_MAX
    while True:
        try:
            return DiskAccounts.open(
                folder, about, bytes_max=settings.store_bytes_max, afresh=afresh
            )
        except FolderInUse as error:
            # Its owner has been fenced, and lets go of it when it closes its book or ends.
            if time.monotonic() > deadline:
                raise
            tell(log, "recovery_waits", partition=partition, what="accounts", reason=str(error))
        await asyncio.sleep(RETRY_S)


async def _replay(
    settings: WorkerSettings, partition: int, partitions: int, store: AccountStore
) -> int:
    """Bring a store to the end of `account-balances`, when no other store is; count the records.

    Raises:
        Stale: It holds something else than the topic.
    """
    async with TURNS.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
        return await _replay_now(settings, partition, partitions, store)


async def _replay_now(
    settings: WorkerSettings, partition: int, partitions: int, store: AccountStore
) -> int:
    consumer = AIOKafkaConsumer(
        **settings.client_options(),
        group_id=None,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=FETCH_BYTES,
    )
    await consumer.start()
    count = 0
    try:
        fetch_columns(consumer, records_max=lambda: RECORDS_MAX)
        source = TopicPartition(settings.topic("account-balances"), partition)
        consumer.assign([source])
        end = int((await consumer.end_offsets([source]))[source])
        # A store that holds something is shown its own last record, too.
        last = store.checkpoint - 1
        consumer.seek(source, max(last, 0))
        is_known = last < 0
        while await consumer.position(source) < end:
            fetched = await consumer.getmany(source, timeout_ms=500)
            for records in fetched.get(source, ()):
                balances = balances_of(records.values)
                if not is_known:
                    check_last(store, balances.slice(0, 1), int(records.offsets[0]))
                    is_known = True
                check_at_home(partition, balances.column("account_id"), partitions)
                store.restore(balances, int(records.offsets[-1]) + 1)
                count += len(records)
    finally:
        await consumer.stop()
    if not is_known:
        raise Stale(
            f"its checkpoint is {store.checkpoint}, and from before that the topic has nothing "
            f"to its end, {end}"
        )
    return count


def balances_of(values: Raw) -> pa.RecordBatch:
    """Return the AccountBalance records of some values.

    Raises:
        UnreadableBalance: One of them is none, or says what no account of ours can be.
    """
    decoded = decode("account_balance", values)
    if decoded.refused:
        raise UnreadableBalance(decoded.refused[0].reason)
    balances = decoded.batch
    try:
        Memory.unpacked(balances.column("seen"), balances.column("seen_days"))
    except ValueError as error:
        raise UnreadableBalance(str(error)) from error
    for name in SUMS:
        least = -SUM_MAX if name in SIGNED else 0
        numbers = balances.column(name).to_numpy()
        if ((numbers < least) | (numbers > SUM_MAX)).any():
            raise UnreadableBalance(f"{name} of an account is out of its range")
    return balances


def check_last(store: AccountStore, balance: pa.RecordBatch, offset: int) -> None:
    """Check that a store is of the same topic, by the record before its checkpoint.

    Args:
        store: A store with a checkpoint.
        balance: The first record of the topic that is not before that one, a single row.
        offset: Where it is.

    Raises:
        Stale: It is not that record, or not what the store holds.
    """
    if offset != store.checkpoint - 1:
        raise Stale(
            f"the record before its checkpoint {store.checkpoint} is gone; {offset} is there"
        )
    there = states_of(balance, np.array([NEW]))
    held = store.read(balance.column("account_id"))
    same = np.array_equal(held.numbers, there.numbers) and np.array_equal(
        held.memory.hashes, there.memory.hashes
    )
    if not (held.known().all() and same):
        raise Stale(f"the record before its checkpoint {store.checkpoint} is not what it holds")


def check_at_home(partition: int, names: pa.StringArray, partitions: int) -> None:
    """Refuse accounts that belong to other partitions.

    Raises:
        PartitionsChanged: There are some.
    """
    strangers = int((partitions_of(names, partitions) != partition).sum())
    if strangers:
        raise PartitionsChanged(f"{strangers} accounts of partition {partition} belong to others")
