"""The benchmark of the client sends what it says, and tells what it measured beside the bar."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks.client import BAR_PER_S, Sent, measured, section, send, sentences, session
from embedded.broker import Broker
from producers.client.settings import ClientSettings
from producers.topics import ensure_topics
from schemas.settings import BrokerSettings
from tests.producers.client.sent import arrived


@pytest.mark.parametrize("spooled", [False, True])
def test_a_process_is_measured_until_the_broker_has_everything(
    tmp_path: Path, spooled: bool
) -> None:
    found = measured(tmp_path, 2_000, spooled=spooled)
    assert found.records == 2_000
    assert found.wall_s > 0
    assert found.cpu_s > 0
    assert found.rss_bytes > 10_000_000


def test_what_is_measured_has_arrived(tmp_path: Path) -> None:
    with Broker.start(tmp_path / "broker") as broker:
        settings = BrokerSettings(bootstrap=broker.bootstrap)
        asyncio.run(ensure_topics(settings))
        send(ClientSettings(broker=settings), 500)
        keys = sorted(message.key.decode() for message in arrived(settings, "charging-sessions"))
    assert keys == sorted(session(number).account_id for number in (0, *range(500)))


def test_the_bar_stands_beside_what_was_measured() -> None:
    sent = Sent(records=1_000_000, wall_s=8.0, cpu_s=7.5, rss_bytes=120_000_000)
    said = sentences(sent, sent)
    assert f"125,000 records/s (bar {BAR_PER_S:,}), 133,333 a second" in said[0]
    assert "| direct | 1,000,000 | 125,000 | 133,333 |" in section(sent, sent)
