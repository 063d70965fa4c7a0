"""`sample` sends what `demo` works, at the rate it is told, and ends well when it is asked to."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
import uuid
from typing import Final

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from producers.topics import ensure_topics
from schemas.catalogue import ACTIVITY_TOPICS
from schemas.settings import BrokerSettings
from tests.cli.test_wrong_use import call

PARTITIONS: Final = 2
STOP_S_MAX: Final = 30.0


@pytest.fixture
def settings(broker: str, monkeypatch: pytest.MonkeyPatch) -> BrokerSettings:
    """Topics of its own on the broker, which the command is told of."""
    settings = BrokerSettings(bootstrap=broker, prefix=f"p{uuid.uuid4().hex}.")
    monkeypatch.setenv("CARBONFLOW_BOOTSTRAP", broker)
    monkeypatch.setenv("CARBONFLOW_PREFIX", settings.prefix)
    asyncio.run(ensure_topics(settings, partitions=PARTITIONS))
    return settings


async def arrived(settings: BrokerSettings) -> int:
    """Return how many events the topics have."""
    places = [
        TopicPartition(settings.topic(name), number)
        for name in ACTIVITY_TOPICS
        for number in range(PARTITIONS)
    ]
    consumer = AIOKafkaConsumer(**settings.client_options(), group_id=None)
    await consumer.start()
    try:
        ends: dict[TopicPartition, int] = await consumer.end_offsets(places)
        return sum(ends.values())
    finally:
        await consumer.stop()


def test_it_sends_every_event_and_no_faster_than_it_is_told(settings: BrokerSettings) -> None:
    began = time.monotonic()
    done = call("sample", "--events", "900", "--rate", "600", "--json")
    took_s = time.monotonic() - began
    assert (done.returncode, json.loads(done.stdout)) == (0, {"sent": 900})
    assert asyncio.run(arrived(settings)) == 900
    # The last portion of 120 is sent when all before it were due.
    assert took_s >= 780 / 600


def test_asked_to_stop_it_says_what_it_has_sent(settings: BrokerSettings) -> None:
    words = (sys.executable, "-m", "cli.main", "sample", "--rate", "100", "--json")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        while not asyncio.run(arrived(settings)):
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=STOP_S_MAX)
    assert process.returncode == 0
    sent = json.loads(said)["sent"]
    assert sent == asyncio.run(arrived(settings)) < 1_000_000
