"""A deployment of one test: topics under a prefix of its own on a broker, and worker processes.

Nothing waits for time to pass: every wait is for something that the broker or the worker's log
says, and has a deadline.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from carbon.factors import Factor
from embedded.children import spawn
from embedded.monitor import Monitor
from producers.client.columns import CarbonflowProducer
from producers.topics import ensure_topics
from schemas.catalogue import ACTIVITY_TOPICS, LATE_OF
from schemas.partition import partition_of
from schemas.settings import BrokerSettings
from schemas.singles import decode_one
from tests.streams.scene import Event

WAIT_S: Final = 30.0
POLL_S: Final = 0.05
PARTITIONS: Final = 2


@dataclass(slots=True)
class Worker:
    """One worker process and what it says."""

    child: subprocess.Popen[bytes]
    log_path: Path

    def said(self) -> str:
        """Return its log."""
        return self.log_path.read_text()

    async def ended(self) -> int:
        """Wait for its end and return its status."""
        return await asyncio.to_thread(self.child.wait, WAIT_S)

    def kill(self) -> None:
        """End it as kill -9 does."""
        self.child.kill()
        self.child.wait(WAIT_S)

    def check(self) -> None:
        """Fail if it has ended."""
        status = self.child.poll()
        assert status is None, f"the worker ended with {status}:\n{self.said()[-2000:]}"


@dataclass(slots=True)
class Deployment:
    """Topics and workers that no other test sees."""

    settings: BrokerSettings
    folder: Path
    workers: list[Worker] = field(default_factory=list)

    @property
    def group(self) -> str:
        """The group of the workers."""
        return f"{self.settings.prefix}carbonflow"

    async def make_topics(self, partitions: int = PARTITIONS) -> None:
        """Make all topics of the catalogue."""
        await ensure_topics(self.settings, partitions=partitions)

    def start(self, **environ: object) -> Worker:
        """Start a worker; settings as `slice_records_max=50`."""
        given = {
            "bootstrap": self.settings.bootstrap,
            "prefix": self.settings.prefix,
            "instance": "worker-0",
            "data_dir": self.folder / "worker",
            **environ,
        }
        named = {f"CARBONFLOW_{name.upper()}": str(value) for name, value in given.items()}
        log_path = self.folder / f"worker-{len(self.workers)}.log"
        child = spawn(
            (sys.executable, "-m", "cli.main", "worker"),
            log_path=log_path,
            death_signal=signal.SIGKILL,
            environ={**os.environ, **named},
        )
        self.workers.append(Worker(child, log_path))
        return self.workers[-1]

    async def publish(self, factors: Iterable[Factor]) -> None:
        """Publish factors."""
        async with CarbonflowProducer(self.settings) as producer:
            await producer.publish_factors(factors)

    async def send(
        self,
        topic: str,
        events: Iterable[Event],
        partition: int | None = None,
        *,
        timestamp_ms: int | None = None,
    ) -> None:
        """Send events to where their keys belong, or to one partition.

        They get the time of sending, or a given one: topics keep records for ninety days, and a
        broker is quick to drop those that say they are older.
        """
        async with AIOKafkaProducer(**self.settings.client_options(), acks="all") as producer:
            sent = [
                await producer.send(
                    self.settings.topic(topic),
                    key=one.key,
                    value=one.value,
                    partition=self._home(one) if partition is None else partition,
                    timestamp_ms=timestamp_ms,
                )
                for one in events
            ]
            await asyncio.gather(*sent)

    def _home(self, one: Event) -> int:
        return partition_of(one.key or b"", PARTITIONS)

    async def committed(self) -> dict[tuple[str, int], int]:
        """Return the offsets that the workers have committed."""
        topics = [self.settings.topic(name) for name in ACTIVITY_TOPICS]
        async with Monitor(self.settings) as monitor:
            found = await monitor.committed(self.group, topics)
        return {(place.topic, place.partition): offset for place, offset in found.items()}

    async def until_worked(self, worker: Worker) -> None:
        """Wait until every event is worked."""
        topics = [self.settings.topic(name) for name in ACTIVITY_TOPICS]

        # A monitor knows the topics that were there when it was opened.
        async with Monitor(self.settings) as monitor:

            async def level() -> bool:
                return await monitor.is_level(self.group, topics)

            await until(level, worker)

    async def until_shared(self, workers: int, worker: Worker) -> None:
        """Wait until the group has so many members and has shared out its partitions."""
        admin = AIOKafkaAdminClient(**self.settings.client_options())

        async def shared() -> bool:
            (answer,) = await admin.describe_consumer_groups([self.group])
            ((_, _, state, _, _, members, *_),) = answer.groups
            return state == "Stable" and len(members) == workers

        try:
            await admin.start()
            await until(shared, worker)
        finally:
            await admin.close()

    async def until_lanes_worked(self, worker: Worker) -> None:
        """Wait until every event in the late lanes is worked."""
        topics = [self.settings.topic(name) for name in LATE_OF.values()]
        async with Monitor(self.settings) as monitor:

            async def level() -> bool:
                return await monitor.is_level(self.group, topics)

            await until(level, worker)

    async def waiting(self) -> int:
        """Return how many events wait in the late lanes."""
        topics = [self.settings.topic(name) for name in LATE_OF.values()]
        async with Monitor(self.settings) as monitor:
            return await monitor.waiting(self.group, topics)

    async def until_committed(self, offsets: int, worker: Worker) -> None:
        """Wait until so many events are worked."""

        async def reached() -> bool:
            return sum((await self.committed()).values()) >= offsets

        await until(reached, worker)

    async def until_said(self, text: str, worker: Worker) -> None:
        """Wait until a worker has logged something."""

        async def logged() -> bool:
            return text in worker.said()

        await until(logged, worker)

    async def read(self, topic: str) -> list[Any]:
        """Return all committed records of a topic."""
        consumer = AIOKafkaConsumer(
            **self.settings.client_options(),
            group_id=None,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        await consumer.start()
        records: list[Any] = []
        try:
            async with asyncio.timeout(WAIT_S):
                name = self.settings.topic(topic)
                async with Monitor(self.settings) as monitor:
                    places = list(await monitor.ends([name]))
                consumer.assign(places)
                ends = await consumer.end_offsets(places)
                for place in places:
                    while await consumer.position(place) < ends[place]:
                        fetched = await consumer.getmany(timeout_ms=200)
                        records += [one for some in fetched.values() for one in some]
        finally:
            await consumer.stop()
        return records

    async def transfers(self) -> list[dict[str, Any]]:
        """Return all transfers, and fail if one was made twice."""
        found: list[dict[str, Any]] = [
            decode_one(one.value, record="transfer")[1] for one in await self.read("transfers")
        ]
        ids = Counter(one["transfer_id"] for one in found)
        assert set(ids.values()) <= {1}, ids.most_common(3)
        return found

    async def balances(self) -> dict[str, dict[str, Any]]:
        """Return the latest balance of each account."""
        found = [
            decode_one(one.value, record="account_balance")[1]
            for one in await self.read("account-balances")
        ]
        return {str(one["account_id"]): one for one in found}

    def end(self) -> None:
        """End every worker that still runs."""
        for worker in self.workers:
            if worker.child.poll() is None:
                worker.kill()


@asynccontextmanager
async def deployment(bootstrap: str, folder: Path) -> AsyncIterator[Deployment]:
    """Give a deployment with a prefix of its own; its workers end with the context."""
    settings = BrokerSettings(bootstrap=bootstrap, prefix=f"{uuid.uuid4().hex[:8]}.")
    made = Deployment(settings, folder)
    try:
        yield made
    finally:
        made.end()


async def until(true: Callable[[], Awaitable[bool]], worker: Worker) -> None:
    """Wait for a condition, or fail when the worker ends or the deadline passes."""
    try:
        async with asyncio.timeout(WAIT_S):
            while not await true():
                worker.check()
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise AssertionError(f"it did not happen in time:\n{worker.said()[-2000:]}") from None
