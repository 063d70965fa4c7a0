"""The book of a partition: its accounts, its transactional producer and the offsets it has reached.

Its life has an order that must not change:

1. *open*: `init_transactions` fences the former owner and returns once that one's last
   transaction is settled, which is then checked; then the group's committed offsets are read; then
   the accounts are restored from `account-balances`, read_committed, up to its end (`restore`).
2. *work*: drop records below the next offset (slices buffered before a rebalance come again);
   step; one transaction; only then change the accounts and advance the next offset.
3. *close*, when the partition is revoked. Any failure ends the process; the next owner opens
   afresh.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupLoadInProgressError, KafkaError, ProducerFenced
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from schemas.batches import BATCH_BYTES_MAX
from schemas.between import LOOK_RECORDS, first_between
from schemas.fetching import fetch_columns
from schemas.log_events import tell
from schemas.pieces import send_in_pieces
from streams.breaker import Breaker
from streams.delivery import deliver
from streams.read import ReadSlice, read
from streams.recall import beside_offset
from streams.restore import RETRY_S, restore
from streams.settings import WorkerSettings
from streams.slice import Slice
from streams.states import AccountStore
from streams.step import Outcome, Rules, step
from streams.threads import on_thread

log = logging.getLogger("carbonflow.book")

CLOSE_WAIT_S_MAX = 5
SETTLE_WAIT_S_MAX = 10
ANSWER_WAIT_S_MAX = 30
OFFSETS_WAIT_S_MAX = 3


class OffsetsLost(RuntimeError):
    """There are accounts but no committed offsets: starting over would book old events again."""


class RecordsMissing(RuntimeError):
    """Records that were never worked are not there to be worked: expired, truncated or skipped."""


class TransactionHanging(RuntimeError):
    """A transaction on our balances never ends: what lies behind it can be neither read nor known.

    Kafka can leave one behind when a node dies at once after a commit; an operator ends it with
    `kafka-transactions.sh find-hanging` and `abort`.
    """


@dataclass(frozen=True, slots=True)
class Worked:
    """What a book did with a slice: its new records, what came of them, the time of each stage."""

    part: Slice
    outcome: Outcome
    seconds: Mapping[str, float]


class Book:
    """One owned partition, open until it is closed."""

    def __init__(
        self,
        settings: WorkerSettings,
        partition: int,
        producer: AIOKafkaProducer,
        next_offset: dict[str, int],
        accounts: AccountStore,
        breaker: Breaker,
    ) -> None:
        self.partition = partition
        self.accounts = accounts
        self.next_offset = next_offset
        # Kafka timestamp of the last record worked, by topic; until there is one, the opening.
        self.reached_ms = dict.fromkeys(next_offset, time.time() * 1000)
        self._settings = settings
        self._producer = producer
        self._breaker = breaker
        self._lock = asyncio.Lock()
        self._closed = False

    @classmethod
    async def open(
        cls, settings: WorkerSettings, partition: int, breaker: Breaker, *, partitions: int
    ) -> Book:
        """Fence the former owner, read the offsets, restore the accounts.

        Raises:
            RuntimeError: What is on the broker does not fit together; each says why.
        """
        began = time.monotonic()
        tell(log, "recovery_began", partition=partition)
        producer = AIOKafkaProducer(
            **settings.client_options(),
            transactional_id=f"{settings.group_id}-{partition}",
            transaction_timeout_ms=settings.transaction_timeout_ms,
            max_batch_size=BATCH_BYTES_MAX,
            linger_ms=0,
            compression_type="snappy",
        )
        accounts: AccountStore | None = None
        try:
            await producer.start()
            send_in_pieces(producer)
            await _settled(settings, partition)
            committed = await _committed(settings, partition)
            accounts, records = await restore(settings, partition, partitions)
            if len(accounts) and not any(offset >= 0 for offset in committed.values()):
                await _check_still_lost(settings, partition, len(accounts))
            await _check_kept(settings, partition, committed)
        except BaseException:
            await producer.stop()
            if accounts is not None:
                accounts.close()
            raise
        next_offset = {topic: max(offset, 0) for topic, offset in committed.items()}
        tell(
            log,
            "recovery_ended",
            partition=partition,
            accounts=len(accounts),
            records=records,
            seconds=time.monotonic() - began,
            next_offsets=next_offset,
        )
        return cls(settings, partition, producer, next_offset, accounts, breaker)

    async def work(
        self, part: Slice, rules: Rules, traceparent: str | None = None
    ) -> Worked | None:
        """Work a slice, in its span; return None if nothing of it was new."""
        async with self._lock:
            fresh = part.since(self.next_offset[part.topic])
            if self._closed or not len(fresh):
                return None
            if fresh.begin is not None and fresh.begin > self.next_offset[part.topic]:
                await _check_left_out(
                    self._settings, part, self.next_offset[part.topic], fresh.begin
                )
            began = time.monotonic()
            # On a thread: the loop has the broker to talk to for other slices.
            taken, was_read, outcome = await on_thread(
                len(fresh), _stepped, fresh, self.accounts, rules
            )
            self._breaker.check(taken, outcome)
            account = self._breaker.kept(int(time.time() * 1_000_000))
            del taken  # Its columns would be kept until all is delivered.
            stepped = time.monotonic()
            checkpoint = await deliver(
                self._producer,
                self._settings,
                self._settings.group_id,
                fresh,
                outcome,
                rules.partitions,
                beside=beside_offset(rules.partitions, account),
                pack_balances=self._settings.store == "rocksdb",
                traceparent=traceparent,
            )
            delivered = time.monotonic()
            self.accounts.apply(outcome.change, checkpoint)
            self.next_offset[part.topic] = fresh.next_offset
            self.reached_ms[part.topic] = float(fresh.timestamps_ms[-1])
            seconds = {
                "read": was_read - began,
                "step": stepped - was_read,
                "deliver": delivered - stepped,
                "apply": time.monotonic() - delivered,
            }
            return Worked(fresh, outcome, seconds)

    async def close(self) -> None:
        """Let the slice under way end, then give up the accounts and the producer."""
        async with self._lock:
            self._closed = True
            try:
                self.accounts.close()
            finally:
                await asyncio.wait_for(self._producer.stop(), CLOSE_WAIT_S_MAX)


def _stepped(part: Slice, accounts: AccountStore, rules: Rules) -> tuple[ReadSlice, float, Outcome]:
    """Return a slice as it was read, when that was done, and what comes of it."""
    taken = read(part)
    return taken, time.monotonic(), step(taken, accounts, rules)


async def _settled(settings: WorkerSettings, partition: int) -> None:
    """Wait until everything written to the balances is committed or aborted.

    Only books of this partition write there, and the last of them has been fenced.
    """
    place = TopicPartition(settings.topic("account-balances"), partition)
    # A later owner may have been killed within a transaction, which then ends with its time.
    wait_s_max = settings.transaction_timeout_ms / 1000 + SETTLE_WAIT_S_MAX
    deadline = time.monotonic() + wait_s_max
    written = await _end(settings, place, isolation="read_uncommitted")
    while (stable := await _end(settings, place, isolation="read_committed")) < written:
        if time.monotonic() > deadline:
            raise TransactionHanging(
                f"a transaction on {place.topic} {partition} does not end: {written} offsets are "
                f"written, and after {wait_s_max:.0f} s only {stable} can be read"
            )
        await asyncio.sleep(RETRY_S)


async def _end(settings: WorkerSettings, place: TopicPartition, *, isolation: str) -> int:
    consumer = AIOKafkaConsumer(
        **settings.client_options(), group_id=None, isolation_level=isolation
    )
    await consumer.start()
    try:
        return int((await consumer.end_offsets([place]))[place])
    finally:
        await consumer.stop()


async def _committed(settings: WorkerSettings, partition: int) -> dict[str, int]:
    """Return the group's next offsets, -1 where it has none; wait for a coordinator to say so."""
    deadline = time.monotonic() + ANSWER_WAIT_S_MAX
    while True:
        try:
            return await _committed_now(settings, partition)
        except KafkaError as error:
            if not error.retriable or time.monotonic() > deadline:
                raise
            tell(log, "recovery_waits", partition=partition, what="offsets", reason=repr(error))
        await asyncio.sleep(RETRY_S)


async def _committed_now(settings: WorkerSettings, partition: int) -> dict[str, int]:
    admin = AIOKafkaAdminClient(**settings.client_options())
    try:
        await admin.start()
        sources = {t: TopicPartition(settings.topic(t), partition) for t in settings.source_topics}
        committed: Mapping[TopicPartition, OffsetAndMetadata]
        committed = await admin.list_consumer_group_offsets(
            settings.group_id, partitions=list(sources.values())
        )
    finally:
        await admin.close()
    if missing := set(sources.values()) - set(committed):
        # A coordinator that is still loading says so in a field that aiokafka does not look at.
        raise GroupLoadInProgressError(f"no answer about {sorted(missing)}")
    return {topic: int(committed[place].offset) for topic, place in sources.items()}


async def _check_left_out(settings: WorkerSettings, part: Slice, first: int, begin: int) -> None:
    """Check that no records lie between the next offset of a book and a slice.

    Markers do, and records of aborted transactions, where a fetch brought nothing else.

    Raises:
        RecordsMissing: There are some.
    """
    place = TopicPartition(settings.topic(part.topic), part.partition)
    consumer = AIOKafkaConsumer(
        **settings.client_options(),
        group_id=None,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        fetch_columns(consumer, records_max=lambda: LOOK_RECORDS)
        found = await first_between(consumer, place, first, begin)
        kept = (await consumer.beginning_offsets([place]))[place]
    finally:
        await consumer.stop()
    # A group that has worked nothing yet begins where the topic does.
    if 0 < first < kept:
        why = f"it is kept from {kept} on only"
    elif found is not None:
        why = f"there is a record at {found}"
    else:
        return
    raise RecordsMissing(
        f"{part.topic} {part.partition}: the next offset is {first}, but a slice begins at "
        f"{begin}, and {why}"
    )


async def _check_still_lost(settings: WorkerSettings, partition: int, accounts: int) -> None:
    """Say which it is, where there are accounts and were no offsets a moment ago.

    Raises:
        ProducerFenced: There are some now: somebody has taken over and committed its first slice.
        OffsetsLost: There are still none.
    """
    deadline = time.monotonic() + OFFSETS_WAIT_S_MAX
    while time.monotonic() < deadline:
        if max((await _committed(settings, partition)).values()) >= 0:
            raise ProducerFenced
        await asyncio.sleep(RETRY_S)
    raise OffsetsLost(
        f"partition {partition} has {accounts} accounts, but group {settings.group_id} has no "
        "committed offsets: restore them before going on"
    )


async def _check_kept(
    settings: WorkerSettings, partition: int, committed: Mapping[str, int]
) -> None:
    consumer = AIOKafkaConsumer(**settings.client_options(), group_id=None)
    await consumer.start()
    try:
        sources = {TopicPartition(settings.topic(t), partition): t for t in settings.source_topics}
        kept = await consumer.beginning_offsets(list(sources))
    finally:
        await consumer.stop()
    for source, topic in sources.items():
        if 0 <= committed[topic] < kept[source]:
            raise RecordsMissing(
                f"{source.topic} {partition} is kept from {kept[source]} on, but only those below "
                f"{committed[topic]} were worked; set the offset of {settings.group_id} to go on"
            )
