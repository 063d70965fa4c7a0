"""The composition root of one machine: broker, store, sink and workers over one folder.

    <data dir>/lock       who owns it
    <data dir>/sample     says that a demo made all of it
    <data dir>/broker/    the broker's data
    <data dir>/store/     chDB
    <data dir>/worker/    Faust's own files
    <data dir>/logs/      what the children say

The broker, the workers and the API are child processes; the sink shares this process with the
store, because chDB has one owner. The API reads it through a door (`embedded.door`). Parts start in
the order of their needs and stop in the reverse. If this process is killed, in any way, its
children end with it, and the next stack over the same folder goes on where it was.

    StackError            a part cannot start or has ended for good; the message says which and why
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry

from embedded.api import Api
from embedded.background import Background
from embedded.broker import Broker
from embedded.children import ready
from embedded.door import open_to_readers
from embedded.faults import StackError, explained
from embedded.folder import clear, mark_real, mark_sample
from embedded.log import logged
from embedded.monitor import Monitor, Reading, Standing
from embedded.ownership import Ownership
from embedded.priority import stand_back
from embedded.store import Store
from embedded.upkeep import empty_store, rewind_sink, store_is_ahead
from embedded.workers import TERM_S, Workers, environ_within
from producers.topics import ensure_topics
from schemas.catalogue import ACTIVITY_TOPICS, LATE_OF
from schemas.settings import BrokerSettings
from sinks.metrics import SinkMetrics
from sinks.migrate import migrate
from sinks.queries import Queries
from sinks.sink import SinkSettings, run_sink
from sinks.verify import Verdict, verify
from sinks.writer import ROUTES

T = TypeVar("T")

GROUP = "carbonflow"
TICK_S = 0.2
STALL_S_MAX = 120.0
_SINK_STOP_S = 60.0
_CLOSE_S = 5.0
_DEATH_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class StackSettings:
    """What a stack is made of.

    Attributes:
        data_dir: Everything it keeps.
        what: Who runs it, for the message to whoever finds the folder in use.
        workers: Worker processes; one for each core that is to be used.
        broker_port: Port of the broker; a free one where None.
        metrics_port: Port of the first worker's metrics, which the others' follow; 0 is none.
        fresh: Forget everything the folder holds.
        spare: Fresh or not, forget nothing but a sample.
        sample: All that is going to be worked is made up.
        niceness: How far all parts but the API stand back, as nice(1) has it: those who ask are
            people, and wait.
        worker_environ: Further settings of the workers, `CARBONFLOW_<FIELD>`.
    """

    data_dir: Path
    what: str = "carbonflow"
    workers: int = 1
    broker_port: int | None = None
    metrics_port: int = 0
    fresh: bool = False
    spare: bool = False
    sample: bool = False
    niceness: int = 0
    worker_environ: Mapping[str, str] = field(default_factory=dict)


class Stack:
    """A running stack, without its workers until `start_workers`; made with `running`."""

    def __init__(
        self, settings: StackSettings, *, tell: Callable[[str], None], parts: ExitStack
    ) -> None:
        """Start everything but the workers.

        Args:
            settings: Settings.
            tell: Is told, in a sentence, what a person should know.
            parts: Gets what has to be stopped; the caller closes it, also when this raises.
        """
        self.settings = settings
        # Before the threads of the store, the sink and the broker's clients are started.
        ready()
        stand_back(settings.niceness)
        self.registry = CollectorRegistry()
        self.metrics = SinkMetrics(self.registry)
        folder = settings.data_dir.resolve()
        self.ownership = Ownership.take(folder, what=settings.what)
        parts.callback(self.ownership.release)
        if settings.fresh:
            clear(folder, only_sample=settings.spare)
        if settings.sample:
            mark_sample(folder)
        logs = folder / "logs"
        logs.mkdir(exist_ok=True)
        parts.enter_context(logged(logs / "stack.log"))
        self.store = parts.enter_context(Store.open(folder / "store"))
        is_new = bool(migrate(self.store.writer))
        self.store.merge_last()
        self.broker = parts.enter_context(
            Broker.start(
                folder / "broker",
                log_path=logs / "broker.log",
                port=settings.broker_port,
                niceness=settings.niceness,
            )
        )
        self._background = Background()
        parts.callback(self._background.close)
        self._background.run(ensure_topics(self.broker_settings))
        self._monitor = Monitor(self.broker_settings)
        self._background.run(self._monitor.open())
        parts.callback(self._end, self._monitor.close())
        self._sink_settings = SinkSettings(
            bootstrap=self.broker.bootstrap, sink_instance_id="embedded"
        )
        self._reconcile(tell, is_new=is_new)
        self._stop_sink = asyncio.Event()
        self._sink = self._background.start(
            run_sink(self._sink_settings, self.store.writer, self.metrics, self._stop_sink)
        )
        parts.callback(self._end_sink)
        self._parts = parts
        self._door = parts.enter_context(open_to_readers(self.store.path, self.registry))
        self._api: Api | None = None
        self._workers = Workers(
            environ={
                # This supervisor is told at once why a worker has ended.
                "CARBONFLOW_BREAKER_HOLD_S": "0",
                **settings.worker_environ,
                **environ_within(self._sink_settings, store_url=self._door),
                "CARBONFLOW_GROUP": GROUP,
                "CARBONFLOW_DATA_DIR": str(folder / "worker"),
            },
            metrics_ports=self.metrics_ports,
            log_dir=logs,
            tell=tell,
            niceness=settings.niceness,
        )
        parts.callback(self._end_workers)

    @property
    def broker_settings(self) -> BrokerSettings:
        """How producers reach the broker."""
        return BrokerSettings(bootstrap=self.broker.bootstrap)

    @property
    def metrics_ports(self) -> tuple[int, ...]:
        """Ports of the workers' metrics."""
        first = self.settings.metrics_port
        return tuple(first + number for number in range(self.settings.workers)) if first else ()

    @property
    def queries(self) -> Queries:
        """Questions to the store."""
        return Queries(self.store.reader)

    def start_workers(self) -> None:
        """Start the worker processes; they take up all published factors, then begin to work."""
        if not self.settings.sample:
            mark_real(self.settings.data_dir)
        self._workers.start(self.settings.workers)

    def start_api(self, port: int, metrics_port: int) -> str:
        """Start the API, and return its URL once it is there.

        Raises:
            StackError: A part has ended for good, or the API is not there in time.
        """
        api = self._api = Api.start(
            port,
            metrics_port,
            environ={
                "CARBONFLOW_BOOTSTRAP": self.broker.bootstrap,
                "CARBONFLOW_GROUP": GROUP,
                "CARBONFLOW_CLICKHOUSE_URL": self._door,
            },
            log_path=self.settings.data_dir.resolve() / "logs" / "api.log",
        )
        self._parts.callback(api.stop)
        with explained():
            api.wait(self.check)
        return api.url

    def check(self) -> None:
        """Start again a worker that has ended.

        Raises:
            StackError: The broker, the sink or the API has ended, or a worker keeps ending.
        """
        with explained():
            self.broker.check()
            self._workers.check()
            if self._sink.done():
                with self._blaming_the_broker():
                    fault = self._sink.exception() or "it stopped"
                    raise StackError(f"the sink ended: {fault!r}")
            if self._api is not None:
                self._api.check()

    def read(self) -> Reading:
        """Look at the stack now."""
        worker, sink = self._ask(self._standings())
        rows = {
            sample.labels["table"]: int(sample.value)
            for metric in self.metrics.rows.collect()
            for sample in metric.samples
            if sample.name.endswith("_total")
        }
        return Reading(worker, sink, rows.get("refusals", 0), sum(rows.values()))

    def run(self, work: Coroutine[Any, Any, T], on_tick: Callable[[Reading], None]) -> T:
        """Run a coroutine to its end and watch over the stack meanwhile.

        Raises:
            StackError: A part has ended for good.
            Exception: What the coroutine raised.
        """
        future = self._background.start(work)
        try:
            while not future.done():
                self.check()
                on_tick(self.read())
                wait([future], TICK_S)
            with explained(), self._blaming_the_broker():
                return future.result()
        finally:
            future.cancel()

    def settle(self, on_tick: Callable[[Reading], None]) -> None:
        """Return once every activity is worked, and everything that came of it stored.

        Raises:
            StackError: A part has ended for good, or nothing has moved for STALL_S_MAX seconds.
        """
        self._wait_level(self._levels, on_tick)

    def settle_sink(self, on_tick: Callable[[Reading], None]) -> None:
        """Return once the sink has stored everything the broker holds; raises as `settle`."""
        self._wait_level(self._sink_level, on_tick)

    def _wait_level(
        self,
        is_level: Callable[[], Coroutine[Any, Any, bool]],
        on_tick: Callable[[Reading], None],
    ) -> None:
        pause = threading.Event()
        moved_at, before = time.monotonic(), None
        while True:
            self.check()
            reading = self.read()
            on_tick(reading)
            if self._ask(is_level()):
                return
            if reading != before:
                moved_at, before = time.monotonic(), reading
            elif time.monotonic() - moved_at > STALL_S_MAX:
                raise StackError(
                    f"nothing has moved for {STALL_S_MAX:.0f} s: {reading.worker.lag} offsets "
                    f"before the workers, {reading.sink.lag} before the sink "
                    f"(logs: {self.settings.data_dir / 'logs'})"
                )
            pause.wait(TICK_S)

    def verify(self) -> Verdict:
        """Compare source, ledger and balances; a settled stack agrees."""
        worked = self._ask(self._monitor.committed(GROUP, ACTIVITY_TOPICS))
        return verify(
            self.store.reader,
            {(place.topic, place.partition): offset for place, offset in worked.items()},
            waiting=self._ask(self._monitor.waiting(GROUP, LATE_OF.values())),
        )

    async def _levels(self) -> bool:
        # In this order: activities move the ends of the late lanes, and what the workers produce
        # last that of what the sink reads.
        for topics in (ACTIVITY_TOPICS, LATE_OF.values()):
            if not await self._monitor.is_level(GROUP, topics):
                return False
        return await self._sink_level()

    async def _sink_level(self) -> bool:
        return await self._monitor.is_level(self._sink_settings.group_id, ROUTES.keys())

    async def _standings(self) -> tuple[Standing, Standing]:
        return (
            await self._monitor.standing(GROUP, ACTIVITY_TOPICS),
            await self._monitor.standing(self._sink_settings.group_id, ROUTES.keys()),
        )

    def _ask(self, work: Coroutine[Any, Any, T]) -> T:
        """Ask the broker something; that it has ended is seen at once, not when clients give up."""
        future = self._background.start(work)
        try:
            with explained(), self._blaming_the_broker():
                while not wait([future], TICK_S).done:
                    self.broker.check()
                return future.result()
        finally:
            future.cancel()

    @contextmanager
    def _blaming_the_broker(self) -> Iterator[None]:
        """Where something fails because the broker has gone, say that instead of what it led to."""
        try:
            yield
        except Exception:
            # Its connections break a moment before its death can be seen.
            with suppress(TimeoutExpired):
                self.broker.child.wait(_DEATH_S)
            self.broker.check()
            raise

    def _reconcile(self, tell: Callable[[str], None], *, is_new: bool) -> None:
        ends = self._background.run(self._monitor.ends(ROUTES.keys()))
        if store_is_ahead(self.store.writer, self._sink_settings, ends):
            tell(
                "the broker was killed and lost its last moments; the store is filled from it again"
            )
            empty_store(self.store.writer, self._sink_settings)
        elif not is_new:
            return
        self._background.run(rewind_sink(self._sink_settings, ends))

    def _end_workers(self) -> None:
        # Without a broker they would only wait for it; what they had not committed is undone.
        alive = self.broker.child.poll() is None
        self._workers.stop(term_s=TERM_S if alive else 0.0)

    def _end_sink(self) -> None:
        # Without a broker the sink cannot finish what it holds.
        alive = self.broker.child.poll() is None
        self._finish(self._sink, self._stop_sink, _SINK_STOP_S if alive else 0.0)

    def _finish(self, work: Future[Any], stop: asyncio.Event, s_max: float) -> None:
        self._background.call(stop.set)
        wait([work], s_max)
        work.cancel()

    def _end(self, work: Coroutine[Any, Any, None]) -> None:
        future = self._background.start(work)
        wait([future], _CLOSE_S)
        future.cancel()


@contextmanager
def running(settings: StackSettings, *, tell: Callable[[str], None]) -> Iterator[Stack]:
    """Run a stack for as long as the context is entered; its workers start with `start_workers`.

    Raises:
        StackError: A part cannot start, the folder is in use, or a port is taken.
    """
    with ExitStack() as parts:
        with explained():
            stack = Stack(settings, tell=tell, parts=parts)
        yield stack
