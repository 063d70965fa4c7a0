"""Gateways over the embedded broker, each test with topics of its own."""

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from producers.topics import ensure_topics
from schemas.settings import BrokerSettings
from tests.api.gateway.served import Gateway, served

NUMBERS: Final = itertools.count()


@pytest.fixture
def topics(broker: str) -> BrokerSettings:
    """The broker, with topics under a prefix that nobody else has."""
    settings = BrokerSettings(bootstrap=broker, prefix=f"gateway{next(NUMBERS)}.")
    asyncio.run(ensure_topics(settings))
    return settings


@pytest.fixture
def gateway(topics: BrokerSettings, tmp_path: Path) -> Iterator[Gateway]:
    """A gateway."""
    with served(topics, tmp_path) as running:
        yield running
