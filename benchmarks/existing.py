"""Accounts that exist already: a changelog of balances, and sessions for them, sent by columns.

Each account remembers some events that were recorded shortly before a given instant. Sessions are
recorded when they are sent, so it must be the present: what was recorded long ago would be dropped
with the first session that comes.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition

from benchmarks.generate import CHUNK, Int64s, sessions
from producers.client.columns import CarbonflowProducer
from producers.factors.release import load_release
from producers.topics import ensure_topics
from schemas.batches import column_batches
from schemas.catalogue import ACTIVITY_TOPICS, TOPICS
from schemas.partition import partitions_of
from schemas.settings import BrokerSettings
from streams.memory import Memory
from streams.states import SUMS

PARTITIONS: Final = TOPICS["account-balances"].partitions
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
SKEW: Final = 0.5
"""As in `generate.Load`: the busiest account has some hundred sessions a month."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Existing:
    """Accounts and what they remember.

    Attributes:
        accounts: How many there are.
        now_ms: They were changed in the hour before it [ms since 1970].
        seen: Events that each remembers.
        seed: Another seed, other accounts.
    """

    accounts: int
    now_ms: int
    seen: int = 10
    seed: int = 20_231_101

    def balances(self) -> Iterator[pa.RecordBatch]:
        """Yield the balance of every account, in the fields of account_balance."""
        random = np.random.default_rng(self.seed)
        for first in range(0, self.accounts, CHUNK):
            yield self._balances(np.arange(first, min(first + CHUNK, self.accounts)), random)

    def _balances(self, numbers: Int64s, random: np.random.Generator) -> pa.RecordBatch:
        count = len(numbers)
        at_ms = self.now_ms - random.integers(0, HOUR_MS, count)
        columns: dict[str, pa.Array] = {
            "account_id": pa.array([f"acct-{number:06d}" for number in numbers.tolist()]),
            "programme": pa.array(["cn-charging"] * count),
        }
        for name in SUMS:
            columns[name] = pa.array(random.integers(0, 10**9, count))
        for name in ("last_booked_at", "updated_at"):
            columns[name] = pa.array(at_ms).cast(pa.timestamp("ms"))
        hashes = random.integers(-(2**63), 2**63 - 1, count * self.seen)
        days = np.repeat(at_ms // DAY_MS, self.seen).astype(np.int32)
        memory = Memory(hashes, days, np.arange(count + 1) * self.seen)
        columns["seen"], columns["seen_days"] = memory.packed()
        columns["forgotten_until"] = pa.array(np.zeros(count, dtype=np.int32))
        return pa.RecordBatch.from_pydict(columns)

    def sessions(self, first: int, count: int) -> Iterator[pa.RecordBatch]:
        """Yield sessions of these accounts, some often and most rarely.

        Args:
            first: Number of the first session; the same number is the same session.
            count: How many.
        """
        weights = np.arange(1, self.accounts + 1, dtype=np.float64) ** -SKEW
        cumulated = np.cumsum(weights / weights.sum())
        for start in range(first, first + count, CHUNK):
            random = np.random.default_rng((self.seed, start))
            numbers = np.arange(start, min(start + CHUNK, first + count))
            ranks = np.searchsorted(cumulated, random.random(len(numbers)))
            yield sessions(numbers, np.minimum(ranks, self.accounts - 1), random)


async def found(settings: BrokerSettings, existing: Existing) -> None:
    """Make topics in which accounts exist whose events were worked and are gone.

    Their offsets are committed, because a worker does not begin where there are accounts and none.
    """
    await ensure_topics(settings)
    async with CarbonflowProducer(settings) as client:
        await client.publish_factors(load_release().factors)
    async with _producer(settings) as producer:
        for batch in existing.balances():
            await _send(producer, settings.topic("account-balances"), batch)
    places = [TopicPartition(settings.topic(name), n) for name in ACTIVITY_TOPICS for n in _all()]
    consumer = AIOKafkaConsumer(
        **settings.client_options(), group_id=f"{settings.prefix}carbonflow"
    )
    async with consumer:
        consumer.assign(places)
        await consumer.commit(dict.fromkeys(places, 0))


async def send_sessions(
    settings: BrokerSettings, existing: Existing, first: int, count: int
) -> None:
    """Send sessions; see `Existing.sessions`."""
    async with CarbonflowProducer(settings) as client:
        for batch in existing.sessions(first, count):
            await client.send_batch("charging_session", batch)


async def send_to_each(settings: BrokerSettings, existing: Existing, first: int) -> int:
    """Send a session to each partition, so that a worker opens its books; return how many."""
    (batch,) = existing.sessions(first, 50 * PARTITIONS)
    homes = partitions_of(batch["account_id"], PARTITIONS)
    _, rows = np.unique(homes, return_index=True)
    async with CarbonflowProducer(settings) as client:
        return await client.send_batch("charging_session", batch.take(pa.array(rows)))


def _all() -> range:
    return range(PARTITIONS)


def _producer(settings: BrokerSettings) -> AIOKafkaProducer:
    return AIOKafkaProducer(**settings.client_options(), acks="all", compression_type="snappy")


async def _send(producer: AIOKafkaProducer, topic: str, balances: pa.RecordBatch) -> None:
    """Send every balance to the partition of its account."""
    homes = partitions_of(balances["account_id"], PARTITIONS)
    sent: list[asyncio.Future[object]] = []
    for partition in _all():
        own = balances.filter(pa.array(homes == partition))
        batches = column_batches(
            "account_balance",
            own,
            key="account_id",
            timestamp="updated_at",
            transactional=False,
        )
        sent += [await producer.send_batch(each, topic, partition=partition) for each in batches]
    await asyncio.gather(*sent)
