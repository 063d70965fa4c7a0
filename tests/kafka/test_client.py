"""The client on real Apache Kafka: partitions, TLS and passwords, and a node that is killed."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from uuid import uuid4

import pytest

from producers.client.delivery import State
from producers.client.settings import ClientSettings
from producers.client.sync import Client
from producers.topics import ensure_topics
from schemas.partition import partition_of
from schemas.settings import BrokerSettings
from tests.certificates import make_certificates
from tests.kafka.server import ADMIN, KafkaServer, Security
from tests.producers.client.sent import arrived, await_that, charging, firsts

pytestmark = pytest.mark.kafka

REPORT_S_MAX = 60.0
ACCOUNTS = 9


def send(client: Client, first: int, end: int) -> None:
    for number in range(first, end):
        client.send(charging(session_id=f"{number:05d}", account_id=f"{number % ACCOUNTS}"))


def in_order(count: int) -> dict[str, list[str]]:
    return {
        str(account): [f"{number:05d}" for number in range(account, count, ACCOUNTS)]
        for account in range(ACCOUNTS)
    }


def settings_of(kafka: KafkaServer) -> BrokerSettings:
    settings = kafka.settings(prefix=f"sdk-{uuid4().hex[:8]}.")
    asyncio.run(ensure_topics(settings))
    return settings


def test_each_account_goes_to_the_partition_that_the_workers_expect(kafka: KafkaServer) -> None:
    settings = settings_of(kafka)
    with Client(ClientSettings(broker=settings)) as client:
        send(client, 0, 2_000)
    messages = arrived(settings, "charging-sessions")
    assert firsts(messages) == in_order(2_000)
    assert len(messages) == 2_000
    assert all(each.partition == partition_of(each.key, 4) for each in messages)


def test_a_node_that_was_killed_and_came_back_gets_everything_in_order(
    jars: Path, tmp_path: Path
) -> None:
    with KafkaServer(tmp_path / "kafka", jars) as own:
        settings = settings_of(own)
        spooling = ClientSettings(broker=settings, client_spool=tmp_path / "spool")
        reports: list[int] = []
        with Client(spooling, on_delivered=lambda report: reports.append(report.number)) as client:
            send(client, 0, 2_000)
            await_that(lambda: bool(reports), "the first report")
            own.kill()
            send(client, 2_000, 4_000)
            own.start()
            send(client, 4_000, 6_000)
            client.flush(REPORT_S_MAX)
        assert sorted(set(reports)) == list(range(6_000))
        assert firsts(arrived(settings, "charging-sessions")) == in_order(6_000)


def test_it_speaks_tls_with_a_password_and_comes_in_with_no_other(
    jars: Path, tmp_path: Path
) -> None:
    security = Security({ADMIN: secrets.token_hex(12)}, make_certificates(tmp_path))
    with KafkaServer(tmp_path / "kafka", jars, security) as server:
        settings = server.settings()
        asyncio.run(ensure_topics(settings))
        with Client(ClientSettings(broker=settings)) as client:
            report = client.send(charging()).result(REPORT_S_MAX)
        assert report.state is State.DELIVERED
        wrong = BrokerSettings(
            bootstrap=settings.bootstrap,
            security_protocol="SASL_SSL",
            sasl_mechanism="SCRAM-SHA-512",
            sasl_username=ADMIN,
            sasl_password="no",
            ssl_cafile=settings.ssl_cafile,
        )
        with Client(ClientSettings(broker=wrong, client_delivery_s_max=2.0)) as client:
            delivery = client.send(charging())
            await_that(lambda: delivery.state is not None, "the report")
        assert delivery.report().state is State.FAILED
