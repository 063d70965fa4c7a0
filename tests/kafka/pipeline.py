"""A pipeline of its own on the test's Kafka: topics, factors, events, and workers as processes.

What a test waits for it asks Kafka about: the offsets the workers have committed. Workers get short
timeouts and small slices, so that a few thousand events are a stream with a middle.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError
from aiokafka.structs import TopicPartition

from embedded.broker import free_port
from embedded.children import end, log_tail, spawn
from producers.client.columns import CarbonflowProducer
from producers.factors.release import load_release
from producers.sample import SampleBatch, SamplePart, sample
from producers.topics import ensure_topics
from schemas.catalogue import ACTIVITY_TOPICS, TOPICS
from schemas.settings import BrokerSettings
from tests.kafka.server import KafkaServer

PARTITIONS: Final = 4
WAIT_S: Final = 45.0
STOP_S: Final = 20.0
SESSION_S: Final = 3
POLL_S: Final = 0.05
EVENTS_MAX: Final = 60_000
PORTION: Final = 100
FLOW_S: Final = 0.15
WRITTEN: Final = ("transfers", "account-balances", "refusals")

Isolation = Literal["read_committed", "read_uncommitted"]


@dataclass(slots=True)
class Worker:
    """One worker process."""

    name: str
    child: subprocess.Popen[bytes]
    log_path: Path
    log_from: int
    metrics_port: int

    def stop(self) -> int:
        """Ask it to end, and return its status."""
        return end(self.child, term_s=STOP_S)

    def kill(self) -> None:
        """End it as kill -9 does."""
        self.child.kill()
        self.child.wait(STOP_S)

    def pause(self) -> None:
        """Let it stand still, wherever it is."""
        self.child.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let it go on."""
        self.child.send_signal(signal.SIGCONT)

    def said(self) -> str:
        """Return what this process has logged so far."""
        with self.log_path.open("rb") as log:
            log.seek(self.log_from)
            return log.read().decode()

    def check(self) -> None:
        """Fail if it has ended."""
        status = self.child.poll()
        assert status is None, f"{self.name} ended with {status}:\n{log_tail(self.log_path)}"


@dataclass(slots=True)
class Pipeline:
    """The topics of one test and the workers on them.

    Attributes:
        settings: How the test itself reaches Kafka.
        folder: For the workers' logs and data.
        admin: Asked for offsets.
        workers: All that were started.
        environ: Further settings of workers.
        sender: Who sends events, if not the test itself.
        sent: How many events were.
        parts: What will be sent.
    """

    settings: BrokerSettings
    folder: Path
    admin: AIOKafkaAdminClient
    workers: list[Worker] = field(default_factory=list)
    environ: Mapping[str, str] = field(default_factory=dict)
    sender: BrokerSettings | None = None
    sent: int = 0
    parts: Iterator[SamplePart] = field(default_factory=lambda: portions(sample(EVENTS_MAX)))

    @property
    def group(self) -> str:
        """The consumer group of the workers."""
        return f"{self.settings.prefix}carbonflow"

    def start(self, name: str) -> Worker:
        """Start a worker that is the static member `name` of the group."""
        log_path = self.folder / f"{name}.log"
        log_from = log_path.stat().st_size if log_path.exists() else 0
        port = free_port()
        environ = {
            **os.environ,
            "CARBONFLOW_BOOTSTRAP": self.settings.bootstrap,
            "CARBONFLOW_PREFIX": self.settings.prefix,
            "CARBONFLOW_INSTANCE": name,
            "CARBONFLOW_METRICS_PORT": str(port),
            "CARBONFLOW_DATA_DIR": str(self.folder / name),
            "CARBONFLOW_SESSION_TIMEOUT_S": str(SESSION_S),
            "CARBONFLOW_SLICE_RECORDS_MAX": "60",
            "CARBONFLOW_SLICE_BYTES_MAX": "16384",
            **self.environ,
        }
        command = (sys.executable, "-m", "cli.main", "worker")
        child = spawn(command, log_path=log_path, death_signal=signal.SIGKILL, environ=environ)
        worker = Worker(name, child, log_path, log_from, port)
        self.workers.append(worker)
        return worker

    def end(self) -> None:
        """End every worker that still runs, the paused ones too."""
        for worker in self.workers:
            if worker.child.poll() is None:
                worker.kill()

    async def send(self, events: int) -> None:
        """Send at least so many sample events, repeats and broken ones among them."""
        last = self.sent + events
        async with CarbonflowProducer(self.sender or self.settings) as producer:
            while self.sent < last:
                await self._send_portion(producer)

    @asynccontextmanager
    async def flowing(self, every_s: float = FLOW_S) -> AsyncIterator[None]:
        """Keep sending events, a portion at a time, until the block ends."""
        ended = asyncio.Event()

        async def flow() -> None:
            async with CarbonflowProducer(self.settings) as producer:
                while not ended.is_set():
                    await self._send_portion(producer)
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(ended.wait(), every_s)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(flow())
            try:
                yield
            finally:
                ended.set()

    async def _send_portion(self, producer: CarbonflowProducer) -> None:
        part = next(self.parts)
        if isinstance(part, SampleBatch):
            self.sent += await producer.send_batch(part.record, part.batch)
        else:
            self.sent += await producer.send_raw(part.topic, part.messages)

    async def done(self) -> int:
        """Return how many events the workers have committed."""
        return sum((await self.committed(self.group, ACTIVITY_TOPICS)).values())

    async def committed(self, group: str, names: Collection[str]) -> dict[TopicPartition, int]:
        """Return what a group has committed on some topics."""
        try:
            found = await self.admin.list_consumer_group_offsets(group)
        except GroupCoordinatorNotAvailableError:
            return {}  # A fresh Kafka first makes the topic of the offsets.
        topics = {self.settings.topic(name) for name in names}
        return {place: at.offset for place, at in found.items() if place.topic in topics}

    async def until_done(self, events: int, *running: Worker) -> None:
        """Wait until the workers have committed so many events."""

        async def reached() -> bool:
            return await self.done() >= events

        await until(reached, *running)

    async def until_settled(self, *running: Worker) -> None:
        """Wait until everything sent is worked and all of its transactions can be read.

        Kafka answers a commit before it has written all of its markers.
        """
        await self.until_done(self.sent, *running)

        async def readable() -> bool:
            written = await self.ends(WRITTEN, "read_uncommitted")
            return await self.ends(WRITTEN, "read_committed") == written

        await until(readable, *running)

    async def ends(self, names: Collection[str], isolation: Isolation) -> dict[TopicPartition, int]:
        """Return the ends of some topics."""
        async with self._consumer(isolation) as consumer:
            found: dict[TopicPartition, int] = await consumer.end_offsets(self._places(names))
            return found

    async def read(self, name: str, isolation: Isolation = "read_committed") -> list[Any]:
        """Return the records of a topic, partition by partition."""
        records: dict[TopicPartition, list[ConsumerRecord]] = {}
        places = self._places([name])
        async with self._consumer(isolation) as consumer, asyncio.timeout(WAIT_S):
            consumer.assign(places)
            for place, last in (await consumer.end_offsets(places)).items():
                while await consumer.position(place) < last:
                    for found, some in (await consumer.getmany(timeout_ms=200)).items():
                        records.setdefault(found, []).extend(some)
        return [record for place in places for record in records.get(place, [])]

    def _places(self, names: Collection[str]) -> list[TopicPartition]:
        counts = {name: 1 if TOPICS[name].partitions == 1 else PARTITIONS for name in names}
        return [
            TopicPartition(self.settings.topic(name), number)
            for name, count in counts.items()
            for number in range(count)
        ]

    @asynccontextmanager
    async def _consumer(self, isolation: Isolation) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            **self.settings.client_options(),
            group_id=None,
            isolation_level=isolation,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()


@asynccontextmanager
async def pipeline(kafka: KafkaServer, folder: Path) -> AsyncIterator[Pipeline]:
    """Make topics, publish the shipped factors, and end all workers afterwards."""
    settings = BrokerSettings(bootstrap=kafka.bootstrap, prefix=f"p{uuid.uuid4().hex[:8]}.")
    await ensure_topics(settings, partitions=PARTITIONS)
    async with CarbonflowProducer(settings) as producer:
        await producer.publish_factors(load_release().factors)
    admin = AIOKafkaAdminClient(**settings.client_options())
    await admin.start()
    made = Pipeline(settings, folder, admin)
    try:
        yield made
    finally:
        made.end()
        await admin.close()


def portions(parts: Iterator[SamplePart]) -> Iterator[SamplePart]:
    """Yield parts again, in portions of at most PORTION events."""
    for part in parts:
        if isinstance(part, SampleBatch):
            for first in range(0, part.batch.num_rows, PORTION):
                yield SampleBatch(part.record, part.batch.slice(first, PORTION))
        else:
            yield part


async def until(holds: Callable[[], Awaitable[bool]], *running: Worker) -> None:
    """Wait for something; fail when time is up or a worker that should run has ended."""
    async with asyncio.timeout(WAIT_S):
        while not await holds():
            for worker in running:
                worker.check()
            await asyncio.sleep(POLL_S)
