"""The fixture `kafka`: one real Apache Kafka node for the tests of this folder.

Where Java or Maven is missing the tests skip and say why. Under CI=true that is a failure: there
nobody would notice that nothing was tested.
"""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kafka.registry import registry
from tests.kafka.server import KafkaServer, fetch_jars, missing


@pytest.fixture(scope="session")
def jars() -> Path:
    """The jars of Kafka."""
    reason = missing()
    if reason is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}; CI must run these tests")
        pytest.skip(reason)
    return fetch_jars()


@pytest.fixture(scope="session")
def kafka(jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    with KafkaServer(tmp_path_factory.mktemp("kafka"), jars) as server:
        yield server


@pytest.fixture(scope="session")
def registry_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A schema registry that all tests share: each has subjects under a prefix of its own."""
    with registry(tmp_path_factory.mktemp("registry")) as url:
        yield url


@pytest.fixture(autouse=True)
def garbage_is_collected_between_tests() -> Iterator[None]:
    """Let futures that aiokafka forgot in a fenced producer complain here.

    Their complaint formats a traceback, which parses source; CPython 3.11 fails with "AST
    constructor recursion depth mismatch" if that happens while pytest is parsing, too.
    """
    yield
    gc.collect()
