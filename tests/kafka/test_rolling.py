"""A new version goes in while events flow: one process after the other, as Kubernetes does it.

Workers are replaced as a StatefulSet replaces them: each is asked to end, started again under its
name, and the next waits until it is ready. So is the sink, which has no lasting name. Of the API a
new process is ready before the old one is asked to end, and a client asks all the time. Afterwards
nothing is lost, nothing is there twice, and nobody was sent away.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest
from aiokafka.structs import TopicPartition

from embedded.broker import free_port
from embedded.children import end, log_tail, spawn
from embedded.monitor import Monitor
from schemas.catalogue import ACTIVITY_TOPICS
from sinks.connect import Client, StoreSettings, connect
from sinks.migrate import migrate
from sinks.verify import verify
from sinks.writer import ROUTES
from tests.chaos.store import Store
from tests.kafka.pipeline import PARTITIONS, Pipeline, pipeline, until
from tests.kafka.server import KafkaServer
from tests.kafka.test_pipeline import check_books

pytestmark = pytest.mark.kafka

SESSION_S: Final = 60
"""Longer than a restart, so that no partition moves, however busy the machine is."""
STOP_S: Final = 20.0
FLOW_S: Final = 0.5
LOOK_S: Final = 0.1
RUN_S_MAX: Final = 280.0
READY_S_MAX: Final = 120.0
STANDING_S_MAX: Final = 60.0
"""A worker that takes longer to come back is lost to its group; some seconds are usual."""

NUMBERS: Final = list(range(PARTITIONS))
AWAY: Final = "carbonflow: the broker "

Kind = Literal["worker", "sink", "api"]


@dataclass(slots=True)
class Part:
    """One part of the deployment, as a process that can be replaced."""

    kind: Kind
    name: str
    environ: Mapping[str, str]
    folder: Path
    port: int = field(default_factory=free_port)
    probes: int = field(default_factory=free_port)
    child: subprocess.Popen[bytes] | None = None

    @property
    def log_path(self) -> Path:
        """Its log, over all its starts."""
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        """Start it."""
        ports = {
            "CARBONFLOW_METRICS_PORT": str(self.probes),
            "CARBONFLOW_API_METRICS_PORT": str(self.probes),
            "CARBONFLOW_API_PORT": str(self.port),
        }
        self.child = spawn(
            (sys.executable, "-m", "cli.main", self.kind),
            log_path=self.log_path,
            death_signal=signal.SIGKILL,
            environ={**os.environ, **self.environ, **ports},
        )

    async def stop(self) -> None:
        """Ask it to end, and see that it ends well."""
        assert self.child is not None
        status = await asyncio.to_thread(end, self.child, term_s=STOP_S)
        assert status == 0, f"{self.name} ended with {status}:\n{log_tail(self.log_path)}"

    async def until_ready(self) -> None:
        """Wait until it says that it works."""

        assert self.child is not None
        async with asyncio.timeout(READY_S_MAX):
            while not await asyncio.to_thread(answers, f"http://127.0.0.1:{self.probes}/readyz"):
                assert self.child.poll() is None, f"{self.name} ended:\n{log_tail(self.log_path)}"
                await asyncio.sleep(LOOK_S)

    def partitions(self) -> set[int]:
        """Return the partitions whose accounts it holds."""
        with urlopen(f"http://127.0.0.1:{self.probes}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        return {int(n) for n in re.findall(r'(?m)^carbonflow_accounts\{partition="(\d+)"', text)}


def answers(url: str) -> bool:
    """Return whether something answers well, and is there at all."""
    try:
        with urlopen(url, timeout=10) as answer:
            return bool(answer.status == 200)
    except HTTPError as error:
        error.close()
        return False
    except (URLError, ConnectionError):
        return False


@dataclass(slots=True)
class Standing:
    """For how long no event of a partition was committed, at the longest."""

    longest_s: dict[int, float] = field(default_factory=lambda: defaultdict(float))

    async def watch(self, made: Pipeline) -> None:
        """Look again and again what the workers have committed."""
        before: Mapping[TopicPartition, int] = {}
        since: dict[int, float] = {}
        while True:
            found, now = await made.committed(made.group, ACTIVITY_TOPICS), time.monotonic()
            for place, offset in found.items():
                number = place.partition
                if offset != before.get(place):
                    since[number] = now
                stood_s = now - since.get(number, now)
                self.longest_s[number] = max(self.longest_s[number], stood_s)
            before = found
            await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def deployed(made: Pipeline, folder: Path) -> AsyncIterator[tuple[Client, list[Part]]]:
    """A store, two workers, a sink, an API and another, these not started."""
    store = Store(folder / "store")
    parts: list[Part] = []
    try:
        await store.start()
        client = await asyncio.to_thread(connect, StoreSettings(clickhouse_url=store.url))
        await asyncio.to_thread(migrate, client)
        shared = {
            "CARBONFLOW_BOOTSTRAP": made.settings.bootstrap,
            "CARBONFLOW_PREFIX": made.settings.prefix,
            "CARBONFLOW_CLICKHOUSE_URL": store.url,
            "CARBONFLOW_SESSION_TIMEOUT_S": str(SESSION_S),
        }
        kinds: tuple[tuple[str, Kind], ...] = (
            *(("worker-0", "worker"), ("worker-1", "worker")),
            *(("sink", "sink"), ("api", "api"), ("api-new", "api")),
        )
        for name, kind in kinds:
            own = {"CARBONFLOW_INSTANCE": name, "CARBONFLOW_DATA_DIR": str(folder / name)}
            parts.append(Part(kind, name, shared | own, folder))
        yield client, parts
    finally:
        for part in parts:
            if part.child is not None and part.child.poll() is None:
                part.child.kill()
                part.child.wait()
        store.kill()


async def replace_one_by_one(parts: Sequence[Part]) -> None:
    """Replace processes, each when the one before is ready again."""
    for part in parts:
        await part.stop()
        part.start()
        await part.until_ready()


async def replace_with_spare(old: Part, new: Part, serving: list[Part]) -> None:
    """Replace a process that is asked: the new one is ready before the old one ends."""
    new.start()
    await new.until_ready()
    serving[:] = [new]
    await old.stop()


async def ask(serving: list[Part], answered: Counter[int]) -> None:
    """Ask for totals all the time, in turn of all that serve."""

    def asked(part: Part) -> int:
        with urlopen(f"http://127.0.0.1:{part.port}/v1/totals", timeout=10) as answer:
            json.load(answer)
            return int(answer.status)

    while True:
        for part in tuple(serving):
            answered[await asyncio.to_thread(asked, part)] += 1
        await asyncio.sleep(LOOK_S)


def test_a_rolling_restart_loses_nothing_and_sends_nobody_away(
    kafka: KafkaServer, tmp_path: Path
) -> None:
    async def play() -> dict[int, float]:
        async with (
            asyncio.timeout(RUN_S_MAX),
            pipeline(kafka, tmp_path) as made,
            deployed(made, tmp_path) as (client, parts),
        ):
            workers, (sink, api, new) = parts[:2], parts[2:]
            for part in (*workers, sink, api):
                part.start()
            async with made.flowing(FLOW_S):
                for part in (*workers, sink, api):
                    await part.until_ready()
                serving, answered, standing = [api], Counter[int](), Standing()
                owned: list[set[int]] = []

                async def shared() -> bool:
                    """The first took all partitions, and has given some to the second."""
                    owned[:] = [await asyncio.to_thread(each.partitions) for each in workers]
                    return all(owned) and sorted(n for each in owned for n in each) == NUMBERS

                await until(shared)
                async with asyncio.TaskGroup() as tasks:
                    beside = [
                        tasks.create_task(standing.watch(made)),
                        tasks.create_task(ask(serving, answered)),
                    ]
                    await replace_one_by_one(workers)
                    await made.until_done(made.sent)
                    stood_s = dict(standing.longest_s)
                    await asyncio.gather(
                        replace_one_by_one([sink]), replace_with_spare(api, new, serving)
                    )
                    for task in beside:
                        task.cancel()
            await made.until_settled()
            async with Monitor(made.settings) as monitor:

                async def stored() -> bool:
                    topics = [made.settings.topic(name) for name in ROUTES]
                    return await monitor.is_level(f"{made.settings.prefix}carbonflow-sink", topics)

                await until(stored)
            await check_books(made)
            worked = await made.committed(made.group, ACTIVITY_TOPICS)
            places = {(place.topic, place.partition): offset for place, offset in worked.items()}
            verdict = await asyncio.to_thread(lambda: verify(client, places))
            assert verdict.drift == ()
            assert verdict.ok
            assert answered.keys() == {200}
            assert answered.total() > 20
            # Whose a partition is has not changed.
            assert [worker.partitions() for worker in workers] == owned
            return stood_s

    stood_s = asyncio.run(play())
    told = {number: round(seconds, 1) for number, seconds in sorted(stood_s.items())}
    print(f"partitions stood still for at most {told} s")  # noqa: T201 - it is written down.
    assert max(stood_s.values()) < STANDING_S_MAX
