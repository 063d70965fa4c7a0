"""A deployment behind locked doors: Kafka and ClickHouse that demand TLS, a user and rights.

Each part of it is the process of production, under a prefix of one test. What each of them says is
searched for passwords, and so is every command line of this machine while they run.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final
from urllib.error import HTTPError
from urllib.request import urlopen
from uuid import uuid4

import psutil  # type: ignore[import-untyped]
from aiokafka.admin import AIOKafkaAdminClient

from embedded.children import end
from producers.client.columns import CarbonflowProducer
from producers.factors.release import load_release
from producers.topics import ensure_topics
from schemas.catalogue import ACTIVITY_TOPICS
from schemas.partition import partition_of
from schemas.settings import BrokerSettings
from schemas.singles import encode_one
from sinks.connect import StoreSettings, connect
from sinks.migrate import migrate
from sinks.writer import ROUTES
from streams.states import SUMS
from tests import clickhouse_server
from tests.certificates import Certificates
from tests.clickhouse_access import USERS_SQL, granted
from tests.clickhouse_server import User
from tests.kafka.pipeline import PARTITIONS, STOP_S, Pipeline, until
from tests.kafka.rights import Right, allow, documented
from tests.kafka.server import KafkaServer
from tests.sinks.bench import plain
from tests.sinks.facts import session, trip
from tests.streams import scene
from tests.streams.scene import DAY_MS

RIGHTS: Final = documented()
USERS: Final = tuple(dict.fromkeys(right.user for right in RIGHTS))
EVENTS: Final = 1_500
STRAYS: Final = 2
"""So many of the events that are sent lie in a partition that is not their account's."""
SOME: Final = 300
ENDS_S: Final = 40.0
STORE_USERS: Final = {
    "migrate": "carbonflow_migrator",
    "sink": "carbonflow_writer",
    "api": "carbonflow_reader",
    "verify": "carbonflow_reader",
    "worker": "carbonflow_reader",
}
TIMES: Final = {
    "charging-sessions": ("started_at", "ended_at"),
    "freight-trips": ("departed_at", "arrived_at"),
}
ASKING: Final = {"LATE_EVENTS": "ask", "DEDUPE_DAYS": "1"}


@dataclass(frozen=True)
class Deployment:
    """Kafka with its door locked, and everybody's password in a file."""

    kafka: KafkaServer
    certificates: Certificates
    passwords: Mapping[str, str]
    folder: Path

    def environ(self, user: str, prefix: str) -> dict[str, str]:
        """Return the variables of a process that is a user of Kafka."""
        return {
            "BOOTSTRAP": self.kafka.bootstrap,
            "PREFIX": prefix,
            "SECURITY_PROTOCOL": "SASL_SSL",
            "SASL_MECHANISM": "SCRAM-SHA-256" if user == "operator" else "SCRAM-SHA-512",
            "SASL_USERNAME": user,
            "SASL_PASSWORD_FILE": str(self.folder / user),
            "SSL_CAFILE": str(self.certificates.authority),
            "STARTUP_WAIT_S_MAX": "4",
            "SINK_TOPICS_WAIT_MS_MAX": "1000",
            "SINK_WAIT_MS_MAX": "50",
            "API_PORT": "0",
        }

    @contextmanager
    def store(self, folder: Path) -> Iterator[str]:
        """Run a ClickHouse whose door is locked, too, with its tables; give its URL."""
        grants = granted(USERS_SQL.read_text("utf-8"))
        with clickhouse_server.start(
            folder / "data",
            users={user: User(self.passwords[user], held) for user, held in grants.items()},
            certificate=self.certificates.server,
        ) as url:
            with connect(
                StoreSettings(
                    clickhouse_url=url,
                    clickhouse_user="carbonflow_migrator",
                    clickhouse_password=self.passwords["carbonflow_migrator"],
                    clickhouse_cafile=self.certificates.authority,
                )
            ) as migrator:
                migrate(migrator)
            yield url

    def check_silence(self, *texts: str) -> None:
        """Fail if a text has a password, or a command line of this machine has."""
        lines = command_lines()
        for user, password in self.passwords.items():
            assert not any(password in text for text in texts), f"a text has {user}'s password"
            assert not any(password in line for line in lines), f"a process shows {user}'s password"


def command_lines() -> list[str]:
    """Return how every process of this machine was started."""
    lines = [process.info["cmdline"] or () for process in psutil.process_iter(["cmdline"])]
    return [" ".join(line) for line in lines]


@dataclass
class Part:
    """A process of ours, and all that it says."""

    child: subprocess.Popen[bytes]
    said_path: Path

    def said(self) -> str:
        return self.said_path.read_text()

    def check(self) -> None:
        """Fail if it has ended."""
        assert self.child.poll() is None, self.said()

    def stop(self) -> int:
        """Ask it to end, and return its status."""
        return end(self.child, term_s=STOP_S)


@dataclass
class Place:
    """A prefix of one test: its topics with their rights, and the processes on it."""

    deployment: Deployment
    prefix: str
    folder: Path
    pipeline: Pipeline
    clickhouse: str
    parts: list[Part] = field(default_factory=list)

    def start(self, command: str, user: str, **changes: str) -> Part:
        """Start a command as a user of Kafka, and as its user of ClickHouse."""
        store_user, *_ = (STORE_USERS.get(word) for word in command.split())
        ours = {
            **self.deployment.environ(user, self.prefix),
            "INSTANCE": "a",
            "API_METRICS_PORT": "0",
            "DATA_DIR": str(self.folder / "worker"),
        }
        if store_user is not None:
            ours |= {
                "CLICKHOUSE_URL": self.clickhouse,
                "CLICKHOUSE_USER": store_user,
                "CLICKHOUSE_PASSWORD_FILE": str(self.deployment.folder / store_user),
                "CLICKHOUSE_CAFILE": str(self.deployment.certificates.authority),
            }
        given = {f"CARBONFLOW_{name}": value for name, value in (ours | changes).items()}
        environ = {**os.environ, **given}
        said_path = self.folder / f"{len(self.parts)}.log"
        words = [sys.executable, "-m", "cli.main", *command.split()]
        with said_path.open("wb") as said:
            child = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=environ
            )
        part = Part(child, said_path)
        self.parts.append(part)
        return part

    async def ended(self, part: Part) -> tuple[int, str]:
        """Wait for the end of a process; return its status and all it said, without passwords."""
        async with asyncio.timeout(ENDS_S):
            while part.child.poll() is None:
                self.deployment.check_silence(part.said())
                await asyncio.sleep(0.2)
        self.deployment.check_silence(part.said())
        return part.child.returncode, part.said()

    async def done(self, command: str, user: str, **changes: str) -> str:
        """Run a command to its end, which must be a good one; return what it said."""
        status, said = await self.ended(self.start(command, user, **changes))
        assert status == 0, said
        return said

    def settings(self, user: str) -> BrokerSettings:
        return self.deployment.kafka.settings(user, prefix=self.prefix)


@asynccontextmanager
async def place(
    deployment: Deployment, folder: Path, rights: Collection[Right], url: str, *, bare: bool
) -> AsyncIterator[Place]:
    """Give some rights on a prefix; unless it is to be bare, make topics and publish factors."""
    prefix = f"s{uuid4().hex[:8]}."
    settings = deployment.kafka.settings(prefix=prefix)
    admin = AIOKafkaAdminClient(**settings.client_options())
    await admin.start()
    made = Place(deployment, prefix, folder, Pipeline(settings, folder, admin), url)
    made.pipeline.sender = made.settings("producer")
    try:
        await allow(settings, rights)
        if not bare:
            await ensure_topics(settings, partitions=PARTITIONS)
            async with CarbonflowProducer(settings) as producer:
                await producer.publish_factors(load_release().factors)
        yield made
    finally:
        for part in made.parts:
            if part.child.poll() is None:
                part.child.kill()
                part.child.wait(STOP_S)
        await admin.close()


async def send(at: Place) -> None:
    """Send sample events, and one of each kind into a partition that is not its account's."""
    await at.pipeline.send(SOME)
    async with CarbonflowProducer(at.settings("producer")) as producer:
        for topic, record, row in (
            ("charging-sessions", "charging_session", session(1, programme="cn-charging")),
            ("freight-trips", "freight_trip", trip(1, programme="cn-freight")),
        ):
            key = row["account_id"].encode()
            wrong = (partition_of(key, PARTITIONS) + 1) % PARTITIONS
            client = producer._producer
            assert client is not None
            await client.send_and_wait(
                at.settings("producer").topic(topic),
                encode_one(record, plain(row)),
                key=key,
                partition=wrong,
            )


async def forget(at: Place, worker: Part, topic: str = "charging-sessions") -> None:
    """Let an account book 1 and 2, and a worker that asks forget 1: what is older may be a repeat.

    An account of sessions is anna, one of trips is bert.
    """
    now_ms = int(time.time() * 1000)
    begins, ends = TIMES[topic]
    await send_one(at, topic, "1", sent_ms=now_ms - 3 * DAY_MS)
    await until(partial(_has_worked, at, worker, topic, 1))
    await send_one(at, topic, "2", sent_ms=now_ms, **{begins: now_ms - 1000, ends: now_ms})
    await until(partial(_has_worked, at, worker, topic, 2))


async def send_one(
    at: Place, topic: str, name: str, *, sent_ms: int | None = None, **changes: int
) -> None:
    """Send a session or a trip of 2023, unless changed."""
    made: Mapping[str, object] = {**scene.SESSION, "session_id": name, **changes}
    if topic == "freight-trips":
        made = {**scene.TRIP, "trip_id": name, **changes}
    one = scene.event(made)
    async with CarbonflowProducer(at.settings("producer")) as producer:
        assert producer._producer is not None
        await producer._producer.send_and_wait(
            at.settings("producer").topic(topic), one.value, key=one.key, timestamp_ms=sent_ms
        )


async def _has_worked(at: Place, worker: Part, topic: str, events: int) -> bool:
    worker.check()
    return sum((await at.pipeline.committed(at.pipeline.group, [topic])).values()) >= events


async def moved(at: Place) -> dict[str, int]:
    """Return how far worker and sink have come."""
    groups = {"worker": "carbonflow", "sink": "carbonflow-sink"}
    return {
        who: sum((await at.pipeline.committed(at.prefix + group, ROUTES)).values())
        for who, group in groups.items()
    }


def balance_of(api: Part, account: str) -> dict[str, int] | None:
    """Return an account's sums as the API has them, None while it is not ready."""
    told = (line for line in api.said().splitlines() if line.startswith("http"))
    url = next(told, None)
    if url is None:
        return None
    try:
        with urlopen(f"{url}/v1/accounts/{account}/balance", timeout=10) as answer:
            found = json.load(answer)
    except HTTPError as error:
        if error.code in {404, 503}:
            return None
        raise
    return {name: found[name] for name in SUMS}


async def all_is_worked(at: Place, worker: Part) -> bool:
    worker.check()
    ends = await at.pipeline.ends(ACTIVITY_TOPICS, "read_committed")
    worked = await at.pipeline.committed(at.pipeline.group, ACTIVITY_TOPICS)
    # Markers of transactions stand at the end of partitions that got a copy.
    return sum(worked.values()) >= sum(ends.values()) - PARTITIONS
