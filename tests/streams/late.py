"""Late events over a real broker, worker process, sink and store; the store goes away and returns.

An account forgets its first session after a day. What may be a repeat of it then waits for the
store: the repeat must be counted, the session that only looks like one be booked, each once,
whatever happens to store and worker meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry

from embedded.broker import free_port
from embedded.monitor import Monitor
from sinks.connect import StoreSettings, connect
from sinks.metrics import SinkMetrics
from sinks.migrate import migrate
from sinks.sink import SinkSettings, run_sink
from sinks.verify import Verdict, verify
from sinks.writer import ROUTES
from tests import clickhouse_server
from tests.streams.deployment import Deployment, Worker, until
from tests.streams.scene import DAY_MS, SESSIONS, event, session, shipped_factors

WAIT = "late events wait, all others go on"
AWAY = f"{WAIT}: the store is away"
BACK = "late events go on after"


@dataclass(slots=True)
class Store:
    """A server that comes and goes at one address."""

    folder: Path
    port: int

    @property
    def settings(self) -> StoreSettings:
        """Where it is, when it is there."""
        return StoreSettings(clickhouse_url=f"http://127.0.0.1:{self.port}")

    @contextmanager
    def there(self) -> Iterator[None]:
        """Let it be there."""
        with clickhouse_server.start(self.folder, port=self.port):
            yield


@asynccontextmanager
async def sinking(made: Deployment, store: Store) -> AsyncIterator[None]:
    """Run a sink into the store, which is there."""
    with connect(store.settings) as client:
        migrate(client)
        stop = asyncio.Event()
        settings = SinkSettings(
            bootstrap=made.settings.bootstrap, prefix=made.settings.prefix, sink_wait_ms_max=20
        )
        sink = run_sink(settings, client, SinkMetrics(CollectorRegistry()), stop)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(sink)
            yield
            stop.set()


def start(made: Deployment, store: Store, **settings: object) -> Worker:
    """Start a worker that remembers events for a day."""
    url = store.settings.clickhouse_url
    return made.start(dedupe_days=1, late_events="ask", clickhouse_url=url, **settings)


async def forget(made: Deployment, worker: Worker) -> int:
    """Let anna book S1 and S2, and forget S1; return the time now."""
    now_ms = int(time.time() * 1000)
    await made.publish(shipped_factors().factors)
    await made.send(SESSIONS, [event(session())], timestamp_ms=now_ms - 3 * DAY_MS)
    await made.until_worked(worker)
    fresh = session(session_id="S2", started_at=now_ms - 1000, ended_at=now_ms)
    await made.send(SESSIONS, [event(fresh)], timestamp_ms=now_ms)
    await made.until_worked(worker)
    return now_ms


async def verdict(made: Deployment, store: Store, worker: Worker) -> Verdict:
    """Verify once everything committed is stored."""
    names = [made.settings.topic(name) for name in ROUTES]
    async with Monitor(made.settings) as monitor:

        async def stored() -> bool:
            return await monitor.is_level(f"{made.settings.prefix}carbonflow-sink", names)

        await until(stored, worker)
    with connect(store.settings) as client:
        return verify(client, await made.committed(), waiting=await made.waiting())


async def late_events_wait_for_the_store(made: Deployment) -> None:
    """Play it all: asked, store away, worker killed while it waits, store back."""
    await made.make_topics()
    store = Store(made.folder / "store", free_port())
    worker = start(made, store)
    with store.there():
        async with sinking(made, store):
            now_ms = await forget(made, worker)
            # With the store there both are told apart at once.
            await made.send(SESSIONS, [event(session()), event(session(session_id="S3"))])
            await made.until_worked(worker)
            await made.until_lanes_worked(worker)
            assert await sums(made) == (3, 1)
            assert (await verdict(made, store, worker)) == Verdict(ok=True, drift=())
    late = [session(), session(session_id="S4"), session(session_id="S4")]
    await made.send(SESSIONS, [event(one) for one in late])
    await made.until_said(AWAY, worker)
    assert await made.waiting() == 3
    worker.kill()
    worker = start(made, store)
    # Its first slice is of the lane: the book opens for it, and fresh events are worked meanwhile.
    await made.until_said(WAIT, worker)
    fresh = [session(session_id=f"F{n}", started_at=now_ms, ended_at=now_ms) for n in range(20)]
    await made.send(SESSIONS, [event(one) for one in fresh])
    await made.until_worked(worker)
    assert (await sums(made), await made.waiting()) == ((23, 1), 3)
    with store.there():
        # The store is back, the sink is not: what was booked meanwhile is not stored yet.
        assert await made.waiting() == 3
        async with sinking(made, store):
            await made.until_said(BACK, worker)
            await made.until_lanes_worked(worker)
            assert await sums(made) == (24, 3)
            assert (await verdict(made, store, worker)) == Verdict(ok=True, drift=())
    booked = [one["activity_id"] for one in await made.transfers() if one["quantity"] == "emission"]
    assert sorted(booked) == sorted(["S1", "S2", "S3", "S4", *(f"F{n}" for n in range(20))])
    assert await made.read("refusals") == []


async def sums(made: Deployment) -> tuple[int, int]:
    """Return how many sessions anna has booked, and how many repeats were recognised."""
    anna = (await made.balances())["anna"]
    return anna["session_count"], anna["duplicate_count"]


async def an_orderly_end_does_not_wait_for_a_store_that_is_away(made: Deployment) -> None:
    """End a worker, and another takes its partitions, while late events wait."""
    await made.make_topics()
    store = Store(made.folder / "store", free_port())
    worker = start(made, store)
    await forget(made, worker)
    await made.send(SESSIONS, [event(session(session_id="S3"))])
    await made.until_said(WAIT, worker)
    worker.child.terminate()
    assert await worker.ended() == 0
    heir = start(made, store, instance="heir")
    await made.until_said(WAIT, heir)
    assert await made.waiting() == 1
    # A third makes the group share the partitions anew: whoever waits has to let go.
    third = start(made, store, instance="third")
    await made.until_shared(2, third)
    with store.there():
        async with sinking(made, store):
            await made.until_lanes_worked(heir)
            third.check()
            assert await sums(made) == (3, 0)
            assert (await verdict(made, store, heir)).ok
