"""The sink: its own Kafka consumer, which moves all six topics into the store.

    collect   up to `sink_rows_max` records or for `sink_wait_ms_max`; committed transactions only
    write     topic by topic, in the order of `writer.ROUTES`, on a thread of its own
    commit    the offsets, only now

Whatever fails stops the process with its offsets where they were; a supervisor restarts it, and the
rows that come again replace themselves. Only records that cannot be decoded, of topics others
write, are passed over: the worker refuses them with their raw bytes. Several sinks share the
partitions by the group; `sink_instance_id` makes a member static, so that a restart does not move
partitions around.

    SinkError         the topics did not appear in time
    BrokenRecordError a record of ours cannot be read
    KafkaError, StoreError    an outage
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError

from schemas.pacing import pace
from schemas.settings import BrokerSettings
from sinks.connect import Client, database_name
from sinks.metrics import SinkMetrics
from sinks.writer import ROUTES, Writer, Written

_FETCH_BYTES_MAX = 8 * 1024 * 1024
_TOPICS_POLL_S = 0.1

log = logging.getLogger("carbonflow.sink")


class SinkError(Exception):
    """The sink cannot start; the message says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkSettings(BrokerSettings):
    """Settings of the sink, read from `CARBONFLOW_<FIELD>`.

    Attributes:
        database: Database of the tables.
        sink_group: Consumer group, without the prefix.
        sink_instance_id: Name of this member of the group, kept over restarts; empty for none.
        sink_rows_max: Records collected before they are inserted.
        sink_wait_ms_max: How long the first collected record waits for more.
        sink_topics_wait_ms_max: How long to wait at the start for the topics to exist.
        sink_session_ms: After how long without a sign of life the group gives a member up.
    """

    database: str = "carbonflow"
    sink_group: str = "carbonflow-sink"
    sink_instance_id: str = ""
    sink_rows_max: int = 100_000
    sink_wait_ms_max: int = 500
    sink_topics_wait_ms_max: int = 60_000
    sink_session_ms: int = 10_000

    def __post_init__(self) -> None:
        """Refuse what is no name of a database, too."""
        BrokerSettings.__post_init__(self)
        database_name(self.database)

    @property
    def group_id(self) -> str:
        """The consumer group with the deployment's prefix."""
        return self.prefix + self.sink_group


async def run_sink(
    settings: SinkSettings, client: Client, metrics: SinkMetrics, stop: asyncio.Event
) -> None:
    """Run the sink until `stop` is set.

    Args:
        settings: Settings.
        client: Client to the store, whose database is migrated.
        metrics: Where it counts.
        stop: Set it to end; what was collected is inserted and committed first.

    Raises:
        SinkError: The topics did not appear in time.
        Exception: Whatever failed, with the offsets unmoved.
    """
    # Records fetched while the last ones are inserted wait in the consumer; it does no I/O of its
    # own on this thread.
    consumer = AIOKafkaConsumer(
        **settings.client_options(),
        group_id=settings.group_id,
        group_instance_id=settings.sink_instance_id or None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=_FETCH_BYTES_MAX,
        session_timeout_ms=settings.sink_session_ms,
        # A rebalance waits for the insert under way.
        rebalance_timeout_ms=max(60_000, settings.sink_session_ms),
    )
    try:
        await consumer.start()
        pace(consumer)
        names = {settings.prefix + topic: topic for topic in ROUTES}
        await _await_topics(consumer, names, settings.sink_topics_wait_ms_max)
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="sink") as thread:
            writer = Writer(client, database=settings.database)
            sink = _Sink(settings, consumer, writer, metrics, names, thread)
            consumer.subscribe(list(names), listener=sink)
            while not stop.is_set():
                await sink.turn()
            await sink.settle()
    finally:
        await consumer.stop()


async def _await_topics(
    consumer: AIOKafkaConsumer, names: Collection[str], wait_ms_max: int
) -> None:
    deadline = time.monotonic() + wait_ms_max / 1000
    while missing := set(names) - set(await consumer.topics()):
        if time.monotonic() > deadline:
            raise SinkError(f"no such topics after {wait_ms_max} ms: {', '.join(sorted(missing))}")
        await asyncio.sleep(_TOPICS_POLL_S)


class _Sink(ConsumerRebalanceListener):  # type: ignore[misc]
    """What is collected and not yet committed, and the turn that moves it."""

    def __init__(
        self,
        settings: SinkSettings,
        consumer: AIOKafkaConsumer,
        writer: Writer,
        metrics: SinkMetrics,
        names: dict[str, str],
        thread: ThreadPoolExecutor,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._consumer = consumer
        self._writer = writer
        self._metrics = metrics
        self._names = names
        self._thread = thread
        self._now = now
        # Held while rows are written and committed. It must not be held while collecting: getmany
        # waits for a rebalance to end, and the rebalance waits for this lock.
        self._busy = asyncio.Lock()
        self._held: dict[TopicPartition, list[ConsumerRecord]] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._last_timestamp_ms: dict[TopicPartition, int] = {}

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Finish what is being written; forget what isn't, whoever owns it next reads it again."""
        log.info("sink gives up %d partitions", len(revoked))
        async with self._busy:
            self._forget()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Say so."""
        log.info("sink owns %d partitions", len(assigned))

    async def turn(self) -> None:
        """Collect, write, commit."""
        await self._collect()
        await self.settle()

    async def _collect(self) -> None:
        settings = self._settings
        deadline = None
        while True:
            wait_ms = settings.sink_wait_ms_max
            if deadline is not None:
                wait_ms = int((deadline - time.monotonic()) * 1000)
            count = sum(map(len, self._held.values()))
            if wait_ms <= 0 or count >= settings.sink_rows_max:
                return
            fetched = await self._consumer.getmany(
                timeout_ms=wait_ms, max_records=settings.sink_rows_max - count
            )
            if not fetched and not self._held:
                return
            for partition, records in fetched.items():
                self._held.setdefault(partition, []).extend(records)
            deadline = deadline or time.monotonic() + settings.sink_wait_ms_max / 1000

    async def settle(self) -> None:
        """Write and commit what is held."""
        async with self._busy:
            await self._write()
            await self._commit()
            self._held.clear()
            self._measure_lag()

    async def _write(self) -> None:
        by_topic: dict[str, list[ConsumerRecord]] = {}
        for partition, records in self._held.items():
            by_topic.setdefault(self._names[partition.topic], []).extend(records)
        for topic in ROUTES:
            if records := by_topic.get(topic, []):
                started = time.monotonic()
                written = await asyncio.get_running_loop().run_in_executor(
                    self._thread, self._writer.write, topic, records
                )
                self._count(topic, written, records, time.monotonic() - started)

    async def _commit(self) -> None:
        for partition, records in self._held.items():
            self._committed.setdefault(partition, records[0].offset)
            self._last_timestamp_ms[partition] = records[-1].timestamp
        moved = {}
        # The position also passes the marker that ends a transaction, which is never returned as a
        # record.
        for partition, committed in self._committed.items():
            position = await self._consumer.position(partition)
            if position > committed:
                moved[partition] = position
        if not moved:
            return
        try:
            await self._consumer.commit(moved)
        except CommitFailedError:
            # The group was rebalanced meanwhile. The rows are stored; whoever owns the partitions
            # now reads them once more from the last commit, and they replace themselves.
            log.warning("offsets were not committed: the group is being rebalanced")
            self._forget()
        else:
            self._committed |= moved

    def _forget(self) -> None:
        self._held.clear()
        self._committed.clear()
        self._last_timestamp_ms.clear()
        # Another sink reports the lag of what it takes over.
        self._metrics.lag_offsets.clear()
        self._metrics.lag_seconds.clear()

    def _count(
        self, topic: str, written: Written, records: list[ConsumerRecord], seconds: float
    ) -> None:
        metrics = self._metrics
        metrics.rows.labels(written.table).inc(written.rows)
        metrics.insert_seconds.labels(written.table).observe(seconds)
        timestamps_ms = np.fromiter(
            (record.timestamp for record in records), np.int64, len(records)
        )
        metrics.freshness.observe(written.table, self._now() - timestamps_ms / 1000)
        for code, count in written.skipped.items():
            log.warning("skipped %d records of %s: %s", count, topic, code)
            metrics.skipped.labels(topic, code).inc(count)

    def _measure_lag(self) -> None:
        for partition, committed in self._committed.items():
            end = self._consumer.last_stable_offset(partition)
            lag = max(0, end - committed) if end is not None else 0
            labels = (self._names[partition.topic], str(partition.partition))
            self._metrics.lag_offsets.labels(*labels).set(lag)
            age_s = self._now() - self._last_timestamp_ms[partition] / 1000 if lag else 0.0
            self._metrics.lag_seconds.labels(*labels).set(max(0.0, age_s))
