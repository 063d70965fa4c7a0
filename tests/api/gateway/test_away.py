"""While the broker is away nothing is called accepted, and senders are told to come again.

Each test has a broker of its own, stopped and started again over the same folder and port.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.api.gateway.served import served
from tests.producers.client.sent import await_that
from tests.producers.client.test_away import OwnBroker
from tests.streams.scene import session

SESSIONS = "/v1/charging-sessions"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnBroker]:
    """A broker that can go away and come back."""
    (tmp_path / "broker").mkdir()
    broker = OwnBroker(tmp_path / "broker")
    yield broker
    broker.go()


def test_a_broker_away_is_503_and_what_is_sent_again_is_there_once_it_is_back(
    own: OwnBroker, tmp_path: Path
) -> None:
    with served(own.settings, tmp_path, gateway_ack_s_max=1.0) as gateway:
        assert gateway.ask("acme", "POST", SESSIONS, json=session()).status_code == 202
        assert gateway.client.get(f"{gateway.service_url}/readyz").status_code == 200
        own.go()
        answer = gateway.ask("acme", "POST", SESSIONS, json=session(session_id="b"))
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["retry-after"]) >= 1
        problem = answer.json()
        assert problem["type"] == "urn:carbonflow:problem:not-acknowledged"
        assert [result["status"] for result in problem["results"]] == ["unacknowledged"]
        assert gateway.client.get(f"{gateway.service_url}/readyz").status_code == 503
        own.come()

        def is_accepted() -> bool:
            again = gateway.ask("acme", "POST", SESSIONS, json=session(session_id="b"))
            return again.status_code == 202

        await_that(is_accepted, "the broker")
        ids = [record["session_id"] for record in gateway.arrived()]
        assert set(ids) == {"S1", "b"}


def test_too_many_that_wait_are_refused_at_once(own: OwnBroker, tmp_path: Path) -> None:
    limits: dict[str, Any] = {
        "gateway_ack_s_max": 20.0,
        "gateway_buffer_records_max": 10,
        "gateway_records_max": 10,
    }
    with (
        served(own.settings, tmp_path, **limits) as gateway,
        ThreadPoolExecutor(1) as threads,
    ):
        assert gateway.ask("acme", "POST", SESSIONS, json=session()).status_code == 202
        own.go()
        first = [session(session_id=f"first-{number}") for number in range(8)]
        waits = threads.submit(gateway.ask, "acme", "POST", SESSIONS, json=first)

        def is_full() -> bool:
            return gateway.registry.get_sample_value("carbonflow_gateway_waiting") == 8

        await_that(is_full, "the first batch")
        more = [session(session_id=f"more-{number}") for number in range(3)]
        answer = gateway.ask("acme", "POST", SESSIONS, json=more)
        assert (answer.status_code, answer.json()["type"]) == (
            503,
            "urn:carbonflow:problem:broker-away",
        )
        assert int(answer.headers["retry-after"]) >= 1
        own.come()
        assert waits.result().status_code == 202
        ids = {record["session_id"] for record in gateway.arrived()}
        assert ids == {"S1", *(each["session_id"] for each in first)}
