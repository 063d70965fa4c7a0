"""The sink: its own Kafka consumer, which moves all six topics into the store.

    collect   records of committed transactions, as columns, and make rows of them
    write     topic by topic, in the order of `writer.ROUTES`
    commit    the offsets, only now

While one lot is written the next is collected. In quiet times records are written as soon as they
are here, but no sooner than `sink_wait_ms_max` after the last lot, so that the store need not merge
crumbs. When the sink is behind, a lot is what has gathered while the last one was written, up to
`sink_rows_max` and `sink_bytes_max`; then it asks the consumer for no more, and the consumer in
turn the broker.

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
from functools import partial
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError

from schemas.fetching import FETCH_WAIT_MS_MAX, fetch_columns
from schemas.log_events import numbers_of, tell
from schemas.pacing import pace
from schemas.probes import Signs
from schemas.progress import Progress
from schemas.settings import BrokerSettings
from schemas.tracing import Tracing
from sinks.connect import Client, database_name
from sinks.held import Held
from sinks.metrics import SinkMetrics
from sinks.spans import inserting, note_senders
from sinks.writer import ROUTES, ROWS_AT_A_TIME, Rows, Writer

FETCH_BYTES_MAX: Final = 32 * 1024 * 1024
"""Of all partitions; waits in the consumer while the sink is busy."""
PARTITION_BYTES_MAX: Final = 4 * 1024 * 1024
PIECES_MAX: Final = 2
"""Pieces of ROWS_AT_A_TIME taken at once; others on the event loop wait while they are parsed."""
IDLE_MS: Final = 100
"""How long a turn without records takes."""
LOOK_MS: Final = 10
"""How often a sink that waits for records looks whether the store is done."""
_TOPICS_POLL_S: Final = 0.1
SLOW_S: Final = 5.0
"""An insert that takes longer is told about."""

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
        sink_rows_max: Records that are collected while the last ones are written.
        sink_bytes_max: Bytes of keys and values that are.
        sink_wait_ms_max: How long after the beginning of the last insert records wait for more.
        sink_topics_wait_ms_max: How long to wait at the start for the topics to exist.
        sink_session_ms: After how long without a sign of life the group gives a member up.
    """

    database: str = "carbonflow"
    sink_group: str = "carbonflow-sink"
    sink_instance_id: str = ""
    sink_rows_max: int = 100_000
    sink_bytes_max: int = 64 * 1024 * 1024
    sink_wait_ms_max: int = 100
    sink_topics_wait_ms_max: int = 60_000
    sink_session_ms: int = 10_000

    def __post_init__(self) -> None:
        """Refuse what is no name of a database, and limits that nothing fits into, too."""
        BrokerSettings.__post_init__(self)
        database_name(self.database)
        if min(self.sink_rows_max, self.sink_bytes_max) < 1:
            raise ValueError("a sink must be allowed to hold a row and a byte at least")

    @property
    def group_id(self) -> str:
        """The consumer group with the deployment's prefix."""
        return self.prefix + self.sink_group


async def run_sink(
    settings: SinkSettings,
    client: Client,
    metrics: SinkMetrics,
    stop: asyncio.Event,
    signs: Signs | None = None,
    tracing: Tracing | None = None,
) -> None:
    """Run the sink until `stop` is set.

    Args:
        settings: Settings.
        client: Client to the store, whose database is migrated.
        metrics: Where it counts.
        stop: Set it to end; what was collected is inserted and committed first.
        signs: Where it says how it is.
        tracing: Records the spans of inserts; None where traces are off.

    Raises:
        SinkError: The topics did not appear in time.
        Exception: Whatever failed, with the offsets unmoved.
    """
    consumer = AIOKafkaConsumer(
        **settings.client_options(),
        group_id=settings.group_id,
        group_instance_id=settings.sink_instance_id or None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        fetch_max_bytes=FETCH_BYTES_MAX,
        max_partition_fetch_bytes=PARTITION_BYTES_MAX,
        fetch_max_wait_ms=FETCH_WAIT_MS_MAX,
        session_timeout_ms=settings.sink_session_ms,
        # A rebalance waits for the insert under way.
        rebalance_timeout_ms=max(60_000, settings.sink_session_ms),
    )
    signs = signs or Signs()
    alive = asyncio.create_task(signs.keep())
    try:
        await consumer.start()
        pace(consumer)
        fetch_columns(consumer, records_max=lambda: ROWS_AT_A_TIME)
        names = {settings.prefix + topic: topic for topic in ROUTES}
        await _await_topics(consumer, names, settings)
        # One thread makes rows while the other waits for the store.
        with ThreadPoolExecutor(max_workers=2, thread_name_prefix="sink") as threads:
            writer = Writer(client, database=settings.database)
            sink = _Sink(settings, consumer, writer, metrics, names, threads, tracing=tracing)
            signs.waits_for(sink.waits_for)
            consumer.subscribe(list(names), listener=sink)
            while not stop.is_set():
                await sink.turn()
            await sink.finish()
    finally:
        alive.cancel()
        await consumer.stop()


async def _await_topics(
    consumer: AIOKafkaConsumer, names: Collection[str], settings: SinkSettings
) -> None:
    wait_ms_max = settings.sink_topics_wait_ms_max
    deadline = time.monotonic() + wait_ms_max / 1000
    while missing := set(names) - set(await consumer.topics()):
        if time.monotonic() > deadline:
            whom = settings.sasl_username
            seen = f", or none that {whom!r} has a right to see" if whom else ""
            told = ", ".join(sorted(missing))
            raise SinkError(f"no such topics after {wait_ms_max} ms{seen}: {told}")
        await asyncio.sleep(_TOPICS_POLL_S)


class _Sink(ConsumerRebalanceListener):  # type: ignore[misc]
    """What is collected and not yet committed, and the turns that move it."""

    def __init__(
        self,
        settings: SinkSettings,
        consumer: AIOKafkaConsumer,
        writer: Writer,
        metrics: SinkMetrics,
        names: dict[str, str],
        threads: ThreadPoolExecutor,
        now: Callable[[], float] = time.time,
        tracing: Tracing | None = None,
    ) -> None:
        self._tracing = tracing
        self._settings = settings
        self._consumer = consumer
        self._writer = writer
        self._metrics = metrics
        self._names = names
        self._threads = threads
        self._now = now
        # Held while rows are written and committed. It must not be held while collecting: getmany
        # waits for a rebalance to end, and the rebalance waits for this lock.
        self._busy = asyncio.Lock()
        self._held = Held()
        self._decoding: asyncio.Task[None] | None = None
        self._assignment = 0
        self._has_joined = False
        self._due_s = time.monotonic()
        self._committed: dict[TopicPartition, int] = {}
        self._last_ms: dict[TopicPartition, int] = {}
        self._progress = Progress(log)

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Finish what is being written; forget what isn't, whoever owns it next reads it again."""
        tell(log, "partitions_revoked", partitions=numbers_of(revoked))
        self._has_joined = False
        async with self._busy:
            self._forget()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Say so."""
        tell(log, "partitions_assigned", partitions=numbers_of(assigned))
        self._has_joined = True

    def waits_for(self) -> str:
        """Return what it waits for; empty where it stores what comes."""
        return "" if self._has_joined else "the group has not taken it in yet"

    async def turn(self) -> None:
        """Write and commit what is held, and collect what comes next meanwhile."""
        held = await self._taken()
        if held.count:
            self._due_s = time.monotonic() + self._settings.sink_wait_ms_max / 1000
        writing = asyncio.create_task(self._settle(held, self._assignment))
        try:
            await self._collect(writing)
            await self._decoded()
        except asyncio.CancelledError:
            writing.cancel()
            raise
        finally:
            # What is being written is finished, whatever becomes of the rest.
            await writing

    async def finish(self) -> None:
        """Write and commit what is held."""
        held = await self._taken()
        await self._settle(held, self._assignment)

    async def _taken(self) -> Held:
        """Return what is held, with the offsets to go on from, and hold nothing."""
        held = self._held
        # The position also passes the marker that ends a transaction, which is never returned as a
        # record. Nothing is fetched meanwhile, so it belongs to what is held.
        for partition in {*held.begins, *self._committed}:
            held.ends[partition] = await self._consumer.position(partition)
        if self._held is not held:
            return Held()  # It has been given up meanwhile.
        self._held = Held()
        return held

    async def _collect(self, writing: asyncio.Task[None]) -> None:
        """Collect until something is held, is due, and can be written; or nothing comes."""
        while True:
            held = self._held
            if self._is_full(held):
                await asyncio.wait([writing])
                return
            wait_ms = int((self._due_s - time.monotonic()) * 1000)
            if held.count == 0:
                wait_ms = IDLE_MS
            elif not writing.done():
                wait_ms = max(wait_ms, LOOK_MS)
            elif wait_ms <= 0:
                return
            fetched = await self._consumer.getmany(
                timeout_ms=wait_ms, max_records=self._pieces_max(held)
            )
            # Between the fetch and here nothing is awaited, so nothing of it has been revoked.
            for partition, pieces in fetched.items():
                topic = self._names[partition.topic]
                self._held.add(topic, partition, pieces)
                if self._tracing is not None:
                    note_senders(self._held.senders.setdefault(topic, []), pieces)
            if not self._held.count and writing.done():
                return
            if self._held.undecoded >= ROWS_AT_A_TIME:
                await self._decoded()
                # More is fetched meanwhile.
                self._decoding = asyncio.create_task(self._in_thread(self._held.decoding()))

    def _is_full(self, held: Held) -> bool:
        settings = self._settings
        return held.count >= settings.sink_rows_max or held.size_bytes >= settings.sink_bytes_max

    def _pieces_max(self, held: Held) -> int:
        """Return how many pieces may be fetched at once, so that the limits hold by a piece."""
        room = -(-(self._settings.sink_rows_max - held.count) // ROWS_AT_A_TIME)
        return min(PIECES_MAX, room)

    async def _settle(self, held: Held, assignment: int) -> None:
        """Write and commit, unless the partitions have been given up before it began."""
        async with self._busy:
            if assignment == self._assignment:
                await self._write(held)
                await self._commit(held)
                self._measure_lag()

    async def _write(self, held: Held) -> None:
        if held.undecoded:
            await self._in_thread(held.decoding())
        for topic, rows in held.rows().items():
            started = time.monotonic()
            with inserting(self._tracing, rows, held.senders.get(topic, ())):
                await self._in_thread(partial(self._writer.write, rows))
            self._count(topic, rows, time.monotonic() - started)

    async def _decoded(self) -> None:
        """Wait until what is being decoded is.

        Raises:
            BrokenRecordError: A record of ours cannot be read.
        """
        if self._decoding is not None:
            await self._decoding
            self._decoding = None

    async def _in_thread(self, work: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _commit(self, held: Held) -> None:
        self._last_ms |= held.last_ms
        for partition, offset in held.begins.items():
            self._committed.setdefault(partition, offset)
        moved = {
            partition: offset
            for partition, offset in held.ends.items()
            if offset > self._committed[partition]
        }
        if not moved:
            return
        try:
            await self._consumer.commit(moved)
        except CommitFailedError:
            # The group was rebalanced meanwhile. The rows are stored; whoever owns the partitions
            # next reads them once more from the last commit, and they replace themselves. What is
            # held goes with the partitions, and not before: this sink has passed it.
            tell(log, "commit_refused", partitions=numbers_of(moved))
        else:
            self._committed |= moved

    def _forget(self) -> None:
        self._assignment += 1
        self._held = Held()
        self._committed.clear()
        self._last_ms.clear()
        # Another sink reports the lag of what it takes over.
        self._metrics.lag_offsets.clear()
        self._metrics.lag_seconds.clear()

    def _count(self, topic: str, rows: Rows, seconds: float) -> None:
        metrics, table, count = self._metrics, ROUTES[topic].table, rows.table.num_rows
        event = "insert_slow" if seconds >= SLOW_S else "rows_inserted"
        tell(log, event, topic=topic, table=table, rows=count, seconds=seconds)
        self._progress.worked(count)
        metrics.rows.labels(table).inc(count)
        metrics.insert_seconds.labels(table).observe(seconds)
        metrics.freshness.observe(table, int(self._now() * 1000) - rows.timestamps_ms())
        for code, count in rows.skipped.items():
            tell(log, "records_skipped", topic=topic, records=count, code=code)
            metrics.skipped.labels(topic, code).inc(count)

    def _measure_lag(self) -> None:
        behind = 0
        for partition, committed in self._committed.items():
            end = self._consumer.last_stable_offset(partition)
            lag = max(0, end - committed) if end is not None else 0
            labels = (self._names[partition.topic], str(partition.partition))
            self._metrics.lag_offsets.labels(*labels).set(lag)
            age_s = self._now() - self._last_ms[partition] / 1000 if lag else 0.0
            self._metrics.lag_seconds.labels(*labels).set(max(0.0, age_s))
            behind += lag
        self._progress.told(behind)
