"""The transport: a partition that has room again is fetched at once, and slices come in turns."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import IllegalStateError
from faust.types import TP
from prometheus_client import CollectorRegistry

from producers.programmes.load import load_programmes
from streams.metrics import WorkerMetrics
from streams.settings import WorkerSettings
from streams.transport import SliceConsumer, in_turns
from streams.worker import build_app

WAIT_S = 60.0
DEADLINE_S = 10.0
DROP_S = 0.05
PLACE = TP("charging-sessions", 0)


def flowing_consumer(folder: Path) -> SliceConsumer:
    """Return a consumer of one partition whose flow is on; it has no broker."""
    settings = WorkerSettings(data_dir=folder, fetch_wait_ms_max=int(WAIT_S * 1000))
    app = build_app(settings, load_programmes(), 1, WorkerMetrics(CollectorRegistry()))
    consumer = app.consumer
    assert isinstance(consumer, SliceConsumer)
    consumer._set_active_tps({PLACE})
    consumer.resume_flow()
    return consumer


async def asked_after_a_drop(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[set[TP]]:
    """Let a partition of a consumer whose buffers are full have room; return what is asked for."""
    consumer = flowing_consumer(folder)
    consumer.on_buffer_full(PLACE)
    asked: list[set[TP]] = []

    async def fetch(active_partitions: set[TP], **_: object) -> dict[TP, Any]:
        asked.append(set(active_partitions))
        return {}

    monkeypatch.setattr(consumer, "_getmany", fetch)
    asyncio.get_running_loop().call_later(DROP_S, consumer.on_buffer_drop, PLACE)
    async with asyncio.timeout(DEADLINE_S):
        assert [message async for message in consumer.getmany(timeout=WAIT_S)] == []
    return asked


def test_a_partition_with_room_again_ends_the_wait_of_a_worker_that_was_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asyncio.run(asked_after_a_drop(tmp_path, monkeypatch)) == [{PLACE}]


async def brought_while_the_flow_stops(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Any], list[Any]]:
    """Stop the flow during a fetch, as a rebalance does; return the messages and the seeks."""
    consumer = flowing_consumer(folder)
    seeks = []

    async def fetch(**_: object) -> dict[TP, Any]:
        consumer.stop_flow()
        return {PLACE: ["never looked at"]}

    async def seek_to_committed() -> dict[TP, int]:
        seeks.append(PLACE)
        raise IllegalStateError(f"No current assignment for partition {PLACE}")

    monkeypatch.setattr(consumer, "_getmany", fetch)
    monkeypatch.setattr(consumer, "seek_to_committed", seek_to_committed)
    return [message async for message in consumer.getmany(timeout=WAIT_S)], seeks


def test_a_fetch_that_ends_within_a_rebalance_brings_nothing_and_seeks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asyncio.run(brought_while_the_flow_stops(tmp_path, monkeypatch)) == ([], [])


def test_slices_of_partitions_come_in_turns() -> None:
    first, second, third = (TP("t", number) for number in range(3))
    fetched = {first: ["a", "b", "c"], second: [], third: ["x", "y"]}
    expected = [(first, "a"), (third, "x"), (first, "b"), (third, "y"), (first, "c")]
    assert list(in_turns(fetched)) == expected
