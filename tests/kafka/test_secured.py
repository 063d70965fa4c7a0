"""Kafka that demands TLS, a password and rights: each part comes in as its own user, or not at all.

The rights are those of the table in docs/security.md, applied as they stand there. Each part is the
process of production (`tests.kafka.secured`).
"""

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

from embedded.broker import free_port
from producers.topics import ensure_topics
from schemas.catalogue import ACTIVITY_TOPICS
from sinks.writer import ROUTES
from tests.certificates import make_certificates
from tests.clickhouse_access import USERS_SQL, granted
from tests.kafka.pipeline import PARTITIONS, WAIT_S, until
from tests.kafka.rights import Right
from tests.kafka.secured import (
    ASKING,
    EVENTS,
    RIGHTS,
    STRAYS,
    USERS,
    Deployment,
    Place,
    all_is_worked,
    balance_of,
    forget,
    moved,
    place,
    send,
    send_one,
)
from tests.kafka.server import ADMIN, KafkaServer, Security
from tests.kafka.test_pipeline import check_books

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def deployment(jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Start Kafka."""
    folder = tmp_path_factory.mktemp("secured")
    certificates = make_certificates(folder)
    grants = granted(USERS_SQL.read_text("utf-8"))
    passwords = {user: secrets.token_hex(12) for user in (ADMIN, *USERS, *grants)}
    for user, password in passwords.items():
        (folder / user).write_text(password + "\n")
    security = Security({user: passwords[user] for user in (ADMIN, *USERS)}, certificates)
    with KafkaServer(folder / "kafka", jars, security) as server:
        yield Deployment(server, certificates, passwords, folder)


Scenario = Callable[[Place], Awaitable[None]]


@pytest.fixture
def play(deployment: Deployment, tmp_path: Path) -> Callable[..., None]:
    """Play a scenario at a place of its own, with all rights or with some."""

    def run(scenario: Scenario, rights: Collection[Right] = RIGHTS, *, bare: bool = False) -> None:
        async def bounded(url: str) -> None:
            async with (
                asyncio.timeout(4 * WAIT_S),
                place(deployment, tmp_path, rights, url, bare=bare) as made,
            ):
                await scenario(made)

        with deployment.store(tmp_path) as url:
            asyncio.run(bounded(url))

    return run


def test_every_part_works_over_tls_as_its_own_user(play: Callable[..., None]) -> None:
    async def scenario(at: Place) -> None:
        assert "made, 4 partitions" in await at.done("topics", "operator")
        assert "published 222 factors" in await at.done("factors load", "factors")
        assert await at.done("migrate", "operator") == "up to date\n"
        ports = {name: str(free_port()) for name in ("worker", "sink", "api", "verify")}
        worker = at.start("worker", "worker", METRICS_PORT=ports["worker"])
        sink = at.start("sink", "sink", METRICS_PORT=ports["sink"])
        api = at.start("api", "reader", API_METRICS_PORT=ports["api"])
        made = at.pipeline
        await made.send(EVENTS)

        async def settled() -> bool:
            for part in (worker, sink, api):
                part.check()
            ends = await made.ends(ROUTES, "read_uncommitted")
            stored = await made.committed(f"{at.prefix}carbonflow-sink", ROUTES)
            return await made.done() >= made.sent and stored == {
                place: end for place, end in ends.items() if end
            }

        await until(settled)
        books = await check_books(made)
        account = next(iter(books.sums))

        async def answered() -> bool:
            api.check()
            return await asyncio.to_thread(balance_of, api, account) == dict(books.sums[account])

        await until(answered)
        at.deployment.check_silence(*(part.said() for part in at.parts))
        told = await at.done(f"verify --clickhouse {at.clickhouse}", "verifier")
        assert told == "verify: ok\n"
        every = f"verify --clickhouse {at.clickhouse} --every 1"
        watching = at.start(every, "verifier", METRICS_PORT=ports["verify"])

        async def compared() -> bool:
            watching.check()
            return metrics_of(ports["verify"]).get(COMPARED, 0) > 0

        await until(compared)
        trusted = {name: trusted_by(ports[name]) for name in ("worker", "sink", "api")}
        assert trusted == {"worker": BROKERS, "sink": BROKERS | STORES, "api": BROKERS | STORES}
        assert watching.stop() == 0
        assert [worker.stop(), sink.stop(), api.stop()] == [0, 0, 0]
        at.deployment.check_silence(*(part.said() for part in at.parts))

    play(scenario, bare=True)


COMPARED: Final = 'carbonflow_verify_rounds_total{outcome="ok"}'
BROKERS: Final = frozenset({"CARBONFLOW_SSL_CAFILE"})
STORES: Final = frozenset({"CARBONFLOW_CLICKHOUSE_CAFILE"})


def metrics_of(port: str) -> dict[str, float]:
    """Return what a process measures, nothing while it does not answer yet."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
    except URLError:
        return {}
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {series: float(value) for series, value in pairs}


def trusted_by(port: str) -> frozenset[str]:
    """Return the settings whose certificates a process tells the end of, all of them ahead."""
    found = {
        series: end_s
        for series, end_s in metrics_of(port).items()
        if series.startswith("carbonflow_certificate_not_after_timestamp_seconds{")
    }
    assert all(end_s > time.time() for end_s in found.values())
    return frozenset(re.findall(r'setting="(\w+)"', " ".join(found)))


COMMANDS: Final = (("worker", "worker"), ("sink", "sink"), ("api", "reader"))


@pytest.mark.parametrize(("command", "user"), COMMANDS)
def test_a_wrong_password_ends_a_process(
    command: str, user: str, play: Callable[..., None], tmp_path: Path
) -> None:
    async def scenario(at: Place) -> None:
        await at.pipeline.send(100)
        wrong = tmp_path / "wrong"
        wrong.write_text("not-the-password")
        status, said = await at.ended(at.start(command, user, SASL_PASSWORD_FILE=str(wrong)))
        assert status == 1
        assert f"the broker {at.deployment.kafka.bootstrap} does not let {user!r} in: wrong" in said
        assert "not-the-password" not in said
        assert await moved(at) == {"worker": 0, "sink": 0}

    play(scenario)


@pytest.mark.parametrize(("command", "user"), COMMANDS)
def test_an_unknown_certificate_ends_a_process(
    command: str, user: str, play: Callable[..., None], tmp_path: Path
) -> None:
    async def scenario(at: Place) -> None:
        await at.pipeline.send(100)
        (tmp_path / "other").mkdir()
        other = make_certificates(tmp_path / "other").authority
        status, said = await at.ended(at.start(command, user, SSL_CAFILE=str(other)))
        assert status == 1
        assert "shows a certificate that is not trusted (CARBONFLOW_SSL_CAFILE)" in said
        assert await moved(at) == {"worker": 0, "sink": 0}

    play(scenario)


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL", "SASL_PLAINTEXT"])
def test_another_way_of_speaking_ends_a_process(protocol: str, play: Callable[..., None]) -> None:
    async def scenario(at: Place) -> None:
        changes = {"SECURITY_PROTOCOL": protocol}
        if not protocol.startswith("SASL"):
            changes |= {"SASL_MECHANISM": "", "SASL_USERNAME": "", "SASL_PASSWORD_FILE": ""}
        if not protocol.endswith("SSL"):
            changes |= {"SSL_CAFILE": ""}
        status, said = await at.ended(at.start("sink", "sink", **changes))
        assert status == 1
        assert "CARBONFLOW_SECURITY_PROTOCOL" in said

    play(scenario)


@pytest.mark.parametrize("right", [right for right in RIGHTS if right.user == "worker"], ids=str)
def test_a_worker_needs_each_of_its_rights(right: Right, play: Callable[..., None]) -> None:
    async def scenario(at: Place) -> None:
        await send(at)
        if (right.name, right.operation) == ("account-balances", "Read"):
            # There must be something to read.
            admins = at.start("worker", ADMIN)
            await until(partial(all_is_worked, at, admins))
            assert admins.stop() == 0
            await send(at)
        before = await moved(at)
        status, said = await at.ended(at.start("worker", "worker"))
        assert status == 1, said
        whole = at.prefix + right.name.removesuffix("*")
        thing = "consumer group" if right.thing == "group" else right.thing
        seen = f"{whole} 0" in said and "what 'worker' has no right to see counts as 0" in said
        used = f"the broker forbids the use of a {thing}: " in said and whole in said
        assert seen or used, said
        if right.name in ACTIVITY_TOPICS:
            ends = await at.pipeline.ends([right.name], "read_committed")
            worked = await at.pipeline.committed(at.pipeline.group, [right.name])
            assert sum(worked.values()) < sum(ends.values())
        else:
            # A slice of nothing but a stray leads to no transfer and no balance.
            after = await moved(at)
            assert after["sink"] == before["sink"]
            assert after["worker"] - before["worker"] <= STRAYS

    play(scenario, [each for each in RIGHTS if each != right])


def test_a_worker_that_asks_is_a_reader_of_the_store(play: Callable[..., None]) -> None:
    async def scenario(at: Place) -> None:
        worker, sink = at.start("worker", "asker", **ASKING), at.start("sink", "sink")
        api = at.start("api", "reader")
        await forget(at, worker)
        await send_one(at, "charging-sessions", "1")
        await send_one(at, "charging-sessions", "3")

        async def told_apart() -> bool:
            for part in (worker, sink, api):
                part.check()
            anna = await asyncio.to_thread(balance_of, api, "anna") or {}
            return (anna.get("session_count"), anna.get("duplicate_count")) == (3, 1)

        await until(told_apart)
        assert "late events wait" not in worker.said()
        at.deployment.check_silence(*(part.said() for part in at.parts))
        assert [worker.stop(), sink.stop(), api.stop()] == [0, 0, 0]

    play(scenario)


OF_A_WORKER: Final = {replace(right, user="asker") for right in RIGHTS if right.user == "worker"}
OF_ASKING: Final = [right for right in RIGHTS if right.user == "asker" and right not in OF_A_WORKER]


def test_a_worker_that_asks_has_each_right_of_one_that_does_not() -> None:
    assert set(RIGHTS) >= OF_A_WORKER
    assert len(OF_ASKING) == 5


@pytest.mark.parametrize("right", OF_ASKING, ids=str)
def test_a_worker_that_asks_needs_each_of_its_rights(
    right: Right, play: Callable[..., None]
) -> None:
    async def scenario(at: Place) -> None:
        topic = "freight-trips" if right.name == "late-freight-trips" else "charging-sessions"
        admins = at.start("worker", ADMIN, **ASKING)
        await forget(at, admins, topic)
        assert admins.stop() == 0
        await send_one(at, topic, "3")
        status, said = await at.ended(at.start("worker", "asker", **ASKING))
        assert status == 1, said
        thing = "consumer group" if right.thing == "group" else right.thing
        assert f"the broker forbids the use of a {thing}: " in said, said
        assert at.prefix + right.name in said, said
        # What cannot be put into its lane is left where it was.
        worked = await at.pipeline.committed(at.pipeline.group, [topic])
        assert sum(worked.values()) == 2 or right.operation != "Write"

    play(scenario, [each for each in RIGHTS if each != right])


@pytest.mark.parametrize("right", [right for right in RIGHTS if right.user == "sink"], ids=str)
def test_a_sink_needs_each_of_its_rights(right: Right, play: Callable[..., None]) -> None:
    async def scenario(at: Place) -> None:
        await send(at)
        status, said = await at.ended(at.start("sink", "sink"))
        assert status == 1, said
        told = (
            f"no such topics after 1000 ms, or none that 'sink' has a right to see: {at.prefix}"
            if right.thing == "topic"
            else f"forbids the use of a consumer group: {at.prefix}"
        )
        assert told + right.name in said, said
        assert await moved(at) == {"worker": 0, "sink": 0}

    play(scenario, [each for each in RIGHTS if each != right])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("right", "Not enough privileges"),
        ("password", "Authentication failed"),
        ("certificate", "its certificate is not trusted (CARBONFLOW_CLICKHOUSE_CAFILE)"),
    ],
)
def test_a_sink_that_the_store_turns_away_ends(
    wrong: str, told: str, play: Callable[..., None], tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = make_certificates(tmp_path / "other").authority

    async def scenario(at: Place) -> None:
        readers = str(at.deployment.folder / "carbonflow_reader")
        changes = {
            "right": {
                "CLICKHOUSE_USER": "carbonflow_reader",
                "CLICKHOUSE_PASSWORD_FILE": readers,
            },
            "password": {"CLICKHOUSE_PASSWORD_FILE": readers},
            "certificate": {"CLICKHOUSE_CAFILE": str(other)},
        }
        status, said = await at.ended(at.start("sink", "sink", **changes[wrong]))
        assert status == 1, said
        assert f"ClickHouse at {at.clickhouse}: " in said
        assert told in said, said
        assert (await moved(at))["sink"] == 0

    play(scenario)


def test_an_api_that_may_not_read_balances_says_so(play: Callable[..., None]) -> None:
    async def scenario(at: Place) -> None:
        port = free_port()
        api = at.start("api", "reader", API_METRICS_PORT=str(port))

        async def says_so() -> bool:
            api.check()
            topic = f"{at.prefix}account-balances"
            return f"waiting for the topic {topic}: there is none, or 'reader' has" in api.said()

        await until(says_so)
        with pytest.raises(HTTPError) as caught:
            await asyncio.to_thread(urlopen, f"http://127.0.0.1:{port}/readyz", timeout=10)
        assert caught.value.code == 503
        caught.value.close()
        assert api.stop() == 0

    play(scenario, [right for right in RIGHTS if right.user != "reader"])


@pytest.mark.parametrize(
    ("command", "user", "name", "operation", "told"),
    [
        ("topics", "operator", "transfers", "Create", "did not create the topic"),
        ("factors load", "factors", "emission-factors", "Read", "there is no topic"),
        ("factors load", "factors", "emission-factors", "Write", "forbids the use of a topic"),
        ("verify --clickhouse", "verifier", "carbonflow", "Describe", "the use of a consumer gr"),
    ],
)
def test_a_command_without_a_right_says_which(
    command: str, user: str, name: str, operation: str, told: str, play: Callable[..., None]
) -> None:
    rights = [
        right
        for right in RIGHTS
        if (right.user, right.name, right.operation) != (user, name, operation)
    ]
    if operation == "Read":
        rights = [right for right in rights if right.user != user]

    async def scenario(at: Place) -> None:
        if command != "topics":
            await ensure_topics(at.pipeline.settings, partitions=PARTITIONS)
        words = f"{command} {at.clickhouse}" if "clickhouse" in command else command
        status, said = await at.ended(at.start(words, user))
        assert status == 1, said
        assert told in said, said
        assert at.prefix + name in said, said

    play(scenario, rights, bare=True)
