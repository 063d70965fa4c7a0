"""The gateway on real Apache Kafka: a node that is killed takes nothing that was accepted along."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from uuid import uuid4

import pytest

from producers.topics import ensure_topics
from schemas.partition import partition_of
from tests.api.gateway.served import Gateway, served
from tests.kafka.server import KafkaServer
from tests.producers.client.sent import await_that
from tests.streams.scene import session

pytestmark = pytest.mark.kafka

PATH = "/v1/charging-sessions"
NDJSON = {"Content-Type": "application/x-ndjson"}


def batch(name: str, count: int = 50) -> list[dict[str, object]]:
    return [
        session(session_id=f"{name}-{number}", account_id=f"{number % 9}")
        for number in range(count)
    ]


def send(gateway: Gateway, documents: list[dict[str, object]]) -> int:
    """Send documents a line each; return the status of the answer."""
    lines = "\n".join(map(json.dumps, documents))
    return gateway.ask("acme", "POST", PATH, headers=NDJSON, content=lines).status_code


def test_what_is_accepted_is_where_the_workers_expect_it(
    kafka: KafkaServer, tmp_path: Path
) -> None:
    settings = kafka.settings(prefix=f"gateway-{uuid4().hex[:8]}.")
    asyncio.run(ensure_topics(settings))
    with served(settings, tmp_path) as gateway:
        assert send(gateway, batch("lines")) == 202
        assert gateway.ask("acme", "POST", PATH, json=batch("array")).status_code == 202
        messages = gateway.messages()
    assert len(messages) == 100
    assert all(each.partition == partition_of(each.key, 4) for each in messages)


def test_a_node_that_was_killed_takes_nothing_with_it_that_was_accepted(
    jars: Path, tmp_path: Path
) -> None:
    (tmp_path / "gateway").mkdir()
    with KafkaServer(tmp_path / "kafka", jars) as own:
        settings = own.settings()
        asyncio.run(ensure_topics(settings))
        with served(settings, tmp_path / "gateway", gateway_ack_s_max=2.0) as gateway:
            assert send(gateway, batch("before")) == 202
            own.kill()
            assert send(gateway, batch("away")) == 503
            own.start()
            await_that(lambda: send(gateway, batch("away")) == 202, "the node")
            assert send(gateway, batch("after")) == 202
            found = {record["session_id"] for record in gateway.arrived()}
    wanted = [record for name in ("before", "away", "after") for record in batch(name)]
    assert found == {record["session_id"] for record in wanted}
