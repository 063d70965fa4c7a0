"""A run: everything started, events sent at a steady rate, faults injected, and all of it checked.

Nothing here is a stand-in: Apache Kafka, workers and sink as their own processes, the producer
client, ClickHouse's engine behind HTTP.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiokafka.errors import KafkaError

from embedded.monitor import Monitor
from producers.client.columns import CarbonflowProducer
from producers.factors.release import load_release
from producers.topics import ensure_topics
from schemas.settings import BrokerSettings
from sinks.connect import StoreSettings, connect
from sinks.migrate import migrate
from sinks.writer import ROUTES
from tests.chaos.checks import Check, check_verify, checks_of_kafka, checks_of_store
from tests.chaos.faults import Faults
from tests.chaos.oracle import Oracle
from tests.chaos.plan import plan
from tests.chaos.progress import Progress
from tests.chaos.store import Store
from tests.chaos.supervisor import Place, Supervisor
from tests.chaos.traffic import Load, Part, Rows, traffic
from tests.kafka.server import KafkaCluster, fetch_jars

PREFIX: Final = "chaos."
WORKERS: Final = 2
PORTION_S: Final = 0.1
"""Of the rate is sent at once."""
START_S_MAX: Final = 120.0
SETTLE_S_MAX: Final = 300.0
LOOK_S: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run.

    Attributes:
        seconds: How long events are sent.
        events: How many.
        seed: Decides events and faults.
        brokers: One, or three that replicate to each other.
        partitions: Of each topic.
        session_s: After how long a silent worker loses its partitions.
        folder: Takes data and logs.
    """

    seconds: float
    events: int
    seed: int
    brokers: int
    partitions: int
    session_s: int
    folder: Path


@dataclass(slots=True)
class Run:
    """One run, and what came of it."""

    options: Options
    tell: Callable[[str], None]
    oracle: Oracle = field(default_factory=Oracle)
    checks: list[Check] = field(default_factory=list)
    supervisor: Supervisor = field(init=False)
    progress: Progress = field(init=False)

    def __post_init__(self) -> None:
        """Begin with no process."""
        self.supervisor = Supervisor(self.tell)

    async def play(self) -> None:
        """Run from the start of the servers to the last check."""
        options = self.options
        jars = await asyncio.to_thread(fetch_jars)
        cluster = await asyncio.to_thread(
            lambda: KafkaCluster(options.folder, jars, brokers=options.brokers)
        )
        store = Store(options.folder / "store")
        try:
            await asyncio.to_thread(cluster.__enter__)
            await store.start()
            await self._play(cluster, store)
        finally:
            self.supervisor.kill_all()
            store.kill()
            await asyncio.to_thread(cluster.kill)

    async def _play(self, cluster: KafkaCluster, store: Store) -> None:
        options, supervisor = self.options, self.supervisor
        settings = BrokerSettings(bootstrap=cluster.bootstrap, prefix=PREFIX)
        await ensure_topics(settings, partitions=options.partitions, replication=options.brokers)
        async with CarbonflowProducer(settings) as producer:
            await producer.publish_factors(load_release().factors)
        await asyncio.to_thread(lambda: migrate(connect(StoreSettings(clickhouse_url=store.url))))
        progress = self.progress = Progress(settings, partitions=options.partitions)
        async with asyncio.TaskGroup() as tasks:
            beside: list[asyncio.Task[None]] = [tasks.create_task(progress.watch())]

            def add(place: Place) -> None:
                beside.append(tasks.create_task(supervisor.keep(place)))

            def add_worker() -> None:
                workers = [p for p in supervisor.places.values() if p.kind == "worker"]
                add(self._worker(settings, len(workers) + 1))

            faults = Faults(
                cluster=cluster,
                store=store,
                supervisor=supervisor,
                progress=progress,
                add_worker=add_worker,
                chance=random.Random(options.seed),
                tell=self.tell,
            )
            try:
                for number in range(1, WORKERS + 1):
                    add(self._worker(settings, number))
                add(self._sink(settings, store))
                await self._stream(settings, faults)
                await self._settle(settings)
            finally:
                for task in beside:
                    task.cancel()
        self.checks += [
            Check("every fault was injected as planned", tuple(faults.missed)),
            Check("processes ended for known reasons only", tuple(supervisor.unexpected)),
        ]
        await self._check(settings, store)

    async def _stream(self, settings: BrokerSettings, faults: Faults) -> None:
        """Send everything, and inject the faults meanwhile."""
        options, began = self.options, asyncio.Event()

        async def inject() -> None:
            await began.wait()
            started = time.monotonic()
            async with asyncio.TaskGroup() as tasks:
                for fault in plan(
                    options.seed, seconds=options.seconds, session_s=options.session_s
                ):
                    await asyncio.sleep(max(0.0, started + fault.at_s - time.monotonic()))
                    tasks.create_task(faults.inject(fault))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(inject())
            await self._send(settings, faults.progress, began)

    async def _send(
        self, settings: BrokerSettings, progress: Progress, began: asyncio.Event
    ) -> None:
        options = self.options
        portion = max(1, round(options.events / options.seconds * PORTION_S))
        load = Load(events=options.events, portion=portion, seed=options.seed)
        failed: list[str] = []
        acknowledged = 0
        async with CarbonflowProducer(settings) as producer:
            started = time.monotonic()
            for number, parts in enumerate(traffic(load)):
                if number == 1:
                    # The clock runs from when the workers have worked the first events.
                    await _until(lambda: progress.sent() > 0 and progress.lag() == 0, START_S_MAX)
                    started = time.monotonic()
                    began.set()
                due = started + (number - 1) * PORTION_S
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                try:
                    acknowledged += sum(
                        await asyncio.gather(*(_sent(producer, part) for part in parts))
                    )
                except KafkaError as error:
                    failed.append(f"portion {number}: {error!r}")
                for part in parts:
                    self.oracle.add(part)
            took_s = time.monotonic() - started
        if acknowledged != options.events:
            failed.append(f"{acknowledged} of {options.events} events were acknowledged")
        self.checks.append(Check("every event sent was acknowledged", tuple(failed)))
        self.tell(f"sent {acknowledged} events in {took_s:.0f} s")

    async def _settle(self, settings: BrokerSettings) -> None:
        """Wait until everything sent is worked and stored."""
        progress = self.progress
        began = time.monotonic()
        wrong: list[str] = []
        try:
            await _until(
                lambda: progress.sent() == self.options.events and progress.lag() == 0,
                SETTLE_S_MAX,
            )
            async with Monitor(settings) as monitor, asyncio.timeout(SETTLE_S_MAX):
                topics = [settings.topic(name) for name in ROUTES]
                while not await monitor.is_level(progress.sink_group, topics):  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            wrong.append(
                f"{progress.sent()} events in Kafka, {progress.lag()} not worked after "
                f"{time.monotonic() - began:.0f} s"
            )
        else:
            progress.settled()
        self.tell(f"settled after {time.monotonic() - began:.0f} s more")
        self.checks.append(Check("everything is worked and stored in time", tuple(wrong)))
        open_still = [each.what for each in progress.recoveries if each.over_s is None]
        self.checks.append(Check("every fault is over", tuple(open_still)))

    async def _check(self, settings: BrokerSettings, store: Store) -> None:
        oracle, options = self.oracle, self.options
        accounted = oracle.activities + oracle.duplicates + oracle.refused.total()
        wrong = () if accounted == options.events else (f"{accounted} of {options.events}",)
        self.checks.append(Check("the oracle accounts for every event", wrong))
        async for check in checks_of_kafka(settings, options.partitions, oracle):
            self.checks.append(check)
        self.checks += await asyncio.to_thread(lambda: [*checks_of_store(store.url, oracle)])
        self.checks.append(await check_verify(settings, store.url))

    def _worker(self, settings: BrokerSettings, number: int) -> Place:
        name, folder = f"worker-{number}", self.options.folder
        environ = {
            "CARBONFLOW_BOOTSTRAP": settings.bootstrap,
            "CARBONFLOW_PREFIX": settings.prefix,
            "CARBONFLOW_INSTANCE": name,
            "CARBONFLOW_DATA_DIR": str(folder / name),
            "CARBONFLOW_SESSION_TIMEOUT_S": str(self.options.session_s),
            # Accounts of either kind of store are handed to the other as partitions move.
            "CARBONFLOW_STORE": "rocksdb" if number % 2 else "memory",
        }
        return Place(name, "worker", environ, folder / f"{name}.log")

    def _sink(self, settings: BrokerSettings, store: Store) -> Place:
        environ = {
            "CARBONFLOW_BOOTSTRAP": settings.bootstrap,
            "CARBONFLOW_PREFIX": settings.prefix,
            "CARBONFLOW_SINK_INSTANCE_ID": "sink",
            "CARBONFLOW_CLICKHOUSE_URL": store.url,
        }
        return Place("sink", "sink", environ, self.options.folder / "sink.log")


async def _sent(producer: CarbonflowProducer, part: Part) -> int:
    if isinstance(part, Rows):
        return await producer.send_batch(part.record, part.batch)
    return await producer.send_raw(part.topic, [(part.key, part.value)])


async def _until(holds: Callable[[], bool], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - what is waited for are other processes.
            await asyncio.sleep(LOOK_S)
