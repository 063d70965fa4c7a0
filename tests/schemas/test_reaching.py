"""Why brokers cannot be used, told apart; tests/kafka has those that ask for more."""

import asyncio
import socket

import pytest
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from schemas.reaching import denied, obstacle
from schemas.settings import BrokerSettings


def test_a_broker_that_is_away_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    settings = BrokerSettings(bootstrap=f"127.0.0.1:{port}")
    assert asyncio.run(obstacle(settings)) == "does not answer"


def test_a_broker_without_tls_is_told(broker: str) -> None:
    settings = BrokerSettings(bootstrap=broker, security_protocol="SSL")
    assert "CARBONFLOW_SECURITY_PROTOCOL" in asyncio.run(obstacle(settings))


def test_what_another_broker_of_the_list_says_is_told(broker: str) -> None:
    settings = BrokerSettings(bootstrap=f"127.0.0.1:9,{broker}", security_protocol="SSL")
    assert "CARBONFLOW_SECURITY_PROTOCOL" in asyncio.run(obstacle(settings))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (TopicAuthorizationFailedError("transfers"), "forbids the use of a topic: transfers; "),
        (TopicAuthorizationFailedError({"a"}), "forbids the use of a topic: {'a'}; "),
        (TopicAuthorizationFailedError(), "forbids the use of a topic: it does not say which; "),
    ],
)
def test_what_is_forbidden_is_named(error: KafkaError, told: str) -> None:
    assert denied(error) == f"{told}docs/security.md has the rights that are needed"


def test_other_errors_forbid_nothing() -> None:
    assert denied(KafkaError("x")) is None
    assert denied(ValueError("x")) is None
