"""Producers in Java, Node and Go send what our own client sends: to the byte, to the partition, and
to the balance."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from producers.client.columns import CarbonflowProducer
from producers.factors.release import load_release
from schemas.catalogue import schema_id, shipped
from schemas.framing import FRAME_BYTES, frame
from schemas.partition import partition_of
from schemas.singles import encode_one
from tests.kafka.languages import LANGUAGES, run
from tests.kafka.server import KafkaServer
from tests.streams.deployment import Deployment, deployment
from tests.streams.scene import DAY_MS, HOUR_MS, NOW_MS, SESSIONS, session

pytestmark = pytest.mark.kafka

PARTITIONS: Final = 4
ACCOUNTS: Final = 40
EVENTS: Final = 200
BOUNDED_S: Final = 120

Fields = dict[str, object]
Balances = dict[str, dict[str, Any]]

WHEN_IT_CAME: Final = ("updated_at", "seen_days")
"""Fields of a balance that say when its records were sent."""


def account(number: int) -> str:
    """Return an account: of any length modulo four, some of them not ASCII."""
    return f"{('driver', '司机', 'é', '🚗')[number % 4]}-{'x' * (number % 7)}{number}"


def sent_sessions() -> list[Fields]:
    """Return 200 sessions of 40 accounts; some are repeats, some will be refused, some take the
    defaults of the schema."""
    sessions = [
        session(
            session_id=f"S{number}",
            account_id=account(number % ACCOUNTS),
            started_at=NOW_MS - 30 * DAY_MS + number * HOUR_MS,
            ended_at=NOW_MS - 30 * DAY_MS + (number + 2) * HOUR_MS,
            energy_wh=1_000 + 977 * number,
            meter_side=("grid", "dispenser")[number % 2],
            current=("ac", "dc")[number // 2 % 2],
        )
        for number in range(EVENTS - 3)
    ]
    for each in sessions[::3]:
        del each["reversal_of"], each["revision"]
    reversal = session(session_id="R", account_id=account(1), reversal_of="S1", revision=1)
    refused = session(session_id="B", account_id=account(2), energy_wh=-1)
    return [*sessions, sessions[3], reversal, refused]


SENT: Final = sent_sessions()
LINES: Final = [json.dumps(each, ensure_ascii=False) for each in SENT]


WRONG: Final[tuple[Fields, ...]] = (
    {"energy_kwh": 20},
    {"energy_wh": 20.5},
    {"energy_wh": 2**63},
    {"current": "AC"},
)
"""What makes no session of one."""


@dataclass(frozen=True, slots=True)
class Worked:
    """What came of the sessions.

    Attributes:
        records: Partition, key and value of each record, in the order of each partition.
        balances: The balance of each account, without when its records came.
        refused: The codes of what was refused, sorted.
    """

    records: list[tuple[int, bytes, bytes]]
    balances: Balances
    refused: list[str]


@asynccontextmanager
async def made(kafka: KafkaServer, folder: Path) -> AsyncIterator[Deployment]:
    """Give topics of four partitions."""
    async with asyncio.timeout(BOUNDED_S), deployment(kafka.bootstrap, folder) as here:
        await here.make_topics(PARTITIONS)
        yield here


def environ(here: Deployment) -> dict[str, str]:
    """Return what a producer is told of a deployment."""
    settings = here.settings
    return {"CARBONFLOW_BOOTSTRAP": settings.bootstrap, "CARBONFLOW_PREFIX": settings.prefix}


async def records_of(here: Deployment) -> list[tuple[int, bytes, bytes]]:
    """Return partition, key and value of the sessions that came."""
    records = [(one.partition, one.key, one.value) for one in await here.read(SESSIONS)]
    return sorted(records, key=lambda one: one[0])


async def make_limited(here: Deployment, *, bytes_max: int) -> None:
    """Make a topic of sessions that takes no batch above a size."""
    limits = {"max.message.bytes": str(bytes_max)}
    topic = NewTopic(here.settings.topic(SESSIONS), PARTITIONS, 1, topic_configs=limits)
    admin = AIOKafkaAdminClient(**here.settings.client_options())
    try:
        await admin.start()
        await admin.create_topics([topic])
    finally:
        await admin.close()


async def worked(here: Deployment) -> Worked:
    """Let a worker work all that was sent."""
    await here.publish(load_release().factors)
    worker = here.start()
    await here.until_said(" open: ", worker)  # Before, a new broker knows of no groups.
    await here.until_worked(worker)
    balances = {
        name: {field: value for field, value in each.items() if field not in WHEN_IT_CAME}
        for name, each in (await here.balances()).items()
    }
    refused = [dict(one.headers)["code"].decode() for one in await here.read("refusals")]
    return Worked(await records_of(here), balances, sorted(refused))


@pytest.fixture(scope="module")
def ours(kafka: KafkaServer, tmp_path_factory: pytest.TempPathFactory) -> Worked:
    """What comes of the sessions when our own client sends them."""

    async def send() -> Worked:
        async with made(kafka, tmp_path_factory.mktemp("ours")) as here:
            async with CarbonflowProducer(here.settings) as producer:
                messages = [
                    (str(each["account_id"]).encode(), encode_one("charging_session", each))
                    for each in SENT
                ]
                await producer.send_raw("charging-sessions", messages)
            return await worked(here)

    return asyncio.run(send())


@pytest.fixture(scope="module", params=LANGUAGES)
def command(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The command of each producer, built."""
    return LANGUAGES[request.param]()


def test_our_own_client_books_repeats_and_refuses_as_meant(ours: Worked) -> None:
    assert len(ours.balances) == ACCOUNTS
    assert {partition for partition, _, _ in ours.records} == set(range(PARTITIONS))
    assert sum(each["session_count"] for each in ours.balances.values()) == EVENTS - 3
    assert sum(each["duplicate_count"] for each in ours.balances.values()) == 1
    assert ours.refused == ["energy_out_of_range", "original_unknown"]


def test_records_and_balances_are_those_of_our_own_client(
    kafka: KafkaServer, ours: Worked, command: tuple[str, ...], tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with made(kafka, tmp_path) as here:
            done = await asyncio.to_thread(run, command, LINES, **environ(here))
            assert done.acknowledged == EVENTS, done
            records = await records_of(here)
            assert [partition for partition, _, _ in records] == [
                partition_of(key, PARTITIONS) for _, key, _ in records
            ]
            assert await worked(here) == ours

    asyncio.run(scenario())


def test_a_registry_that_is_named_is_asked_for_the_id(
    kafka: KafkaServer, registry_url: str, command: tuple[str, ...], tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with made(kafka, tmp_path) as here:
            subject = f"{here.settings.topic(SESSIONS)}-value"
            with SchemaRegistryClient({"url": registry_url}) as client:
                # Ids are given in turn: the first ones are ours by chance.
                client.register_schema(subject, Schema('"string"', "AVRO"))
                client.register_schema(subject, Schema(shipped().newest("transfer").text, "AVRO"))
                text = shipped().newest("charging_session").text
                number = client.register_schema(subject, Schema(text, "AVRO"))
            assert number != schema_id("charging_session"), "the id proves nothing"
            asked = {**environ(here), "CARBONFLOW_SCHEMA_REGISTRY_URL": registry_url}
            done = await asyncio.to_thread(run, command, LINES[:2], **asked)
            assert done.acknowledged == 2, done
            values = [value for _, _, value in await records_of(here)]
            expected = [encode_one("charging_session", each) for each in SENT[:2]]
            assert sorted(values) == sorted(frame(number) + each[FRAME_BYTES:] for each in expected)

    asyncio.run(scenario())


def test_nothing_is_sent_of_a_schema_that_the_registry_does_not_know(
    kafka: KafkaServer, registry_url: str, command: tuple[str, ...], tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with made(kafka, tmp_path) as here:
            subject = f"{here.settings.topic(SESSIONS)}-value"
            with SchemaRegistryClient({"url": registry_url}) as client:
                text = shipped().newest("freight_trip").text
                client.register_schema(subject, Schema(text, "AVRO"))
            asked = {**environ(here), "CARBONFLOW_SCHEMA_REGISTRY_URL": registry_url}
            done = await asyncio.to_thread(run, command, LINES[:2], **asked)
            assert (done.status, done.stdout) == (1, "0 records acknowledged\n")
            assert "404" in done.stderr
            assert await records_of(here) == []

    asyncio.run(scenario())


def test_a_line_that_is_no_session_is_named_and_not_sent(
    kafka: KafkaServer, command: tuple[str, ...], tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with made(kafka, tmp_path) as here:
            for changes in WRONG:
                lines = [LINES[0], json.dumps({**SENT[1], **changes}), LINES[2]]
                done = await asyncio.to_thread(run, command, lines, **environ(here))
                assert (done.status, done.stdout) == (1, "1 records acknowledged\n"), changes
                # A client may have logged that it had to try again.
                (told,) = (one for one in done.stderr.splitlines() if one.startswith("line 2: "))
                assert next(iter(changes)) in told, changes
            keys = [key for _, key, _ in await records_of(here)]
            assert keys == [account(0).encode()] * len(WRONG)

    asyncio.run(scenario())


def test_a_record_that_the_broker_refuses_is_not_counted(
    kafka: KafkaServer, command: tuple[str, ...], tmp_path: Path
) -> None:
    noise = random.Random(7).randbytes(4_000).hex()
    large = json.dumps(session(operator_id=noise))

    async def scenario() -> None:
        async with asyncio.timeout(BOUNDED_S), deployment(kafka.bootstrap, tmp_path) as here:
            await make_limited(here, bytes_max=2_000)
            done = await asyncio.to_thread(run, command, [large], **environ(here))
            assert (done.status, done.stdout) == (1, "0 records acknowledged\n")
            assert "larger than" in done.stderr.lower() or "too large" in done.stderr.lower()
            assert await records_of(here) == []

    asyncio.run(scenario())
