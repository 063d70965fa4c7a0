"""The transport: a partition that has room again is fetched at once, and slices come in turns."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiokafka.errors import IllegalStateError
from faust.types import TP
from prometheus_client import CollectorRegistry

from producers.programmes.load import load_programmes
from schemas.raw import Raw
from schemas.records import Records
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


def fetched(*offsets: int) -> Records:
    """Return records as a fetch brings them."""
    return Records(
        offsets=np.array(offsets),
        timestamps_ms=np.zeros(len(offsets), np.int64),
        keys=Raw.of([b"anna"] * len(offsets)),
        values=Raw.of([b"x"] * len(offsets)),
        headers_at=np.zeros(len(offsets), np.int64),
    )


@dataclass(slots=True)
class Log:
    """A partition with records at 10, 11 and 12, fetched one by one, and where it is sought."""

    consumer: SliceConsumer
    position: int = 10
    assigned: bool = True
    stops: bool = False
    seeks: list[int] = field(default_factory=list)

    async def fetch(self, **_: object) -> dict[TP, list[Records]]:
        if self.stops:
            self.consumer.stop_flow()
        brought, self.position = self.position, self.position + 1
        return {PLACE: [fetched(brought)]}

    async def seek_wait(self, partitions: dict[TP, int]) -> None:
        (self.position,) = partitions.values()
        self.seeks.append(self.position)
        if not self.assigned:
            raise IllegalStateError(f"No current assignment for partition {PLACE}")

    async def taken(self) -> list[int]:
        """Return the offsets that one turn hands over."""
        return [message.offset async for _, message in self.consumer.getmany(timeout=WAIT_S)]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Log:
    log = Log(flowing_consumer(tmp_path))
    monkeypatch.setattr(log.consumer, "_getmany", log.fetch)
    monkeypatch.setattr(log.consumer, "seek_wait", log.seek_wait)
    monkeypatch.setattr(log.consumer, "highwater", lambda _: 13)
    return log


async def stopped_and_resumed(log: Log) -> None:
    """Let the flow stop during a fetch, as a rebalance does, and go on after it."""
    log.stops = True
    assert await log.taken() == []
    assert log.seeks == []
    log.stops = False
    log.consumer.resume_flow()


def test_what_a_fetch_brings_within_a_rebalance_is_fetched_again(log: Log) -> None:
    async def scenario() -> None:
        await stopped_and_resumed(log)
        assert [await log.taken() for _ in range(3)] == [[], [10], [11]]
        assert log.seeks == [10]

    asyncio.run(scenario())


def test_a_worker_goes_back_no_further_where_faust_has_sought_already(log: Log) -> None:
    async def scenario() -> None:
        await stopped_and_resumed(log)
        log.position = 10
        assert [await log.taken() for _ in range(2)] == [[10], [11]]
        assert log.seeks == []

    asyncio.run(scenario())


def test_a_partition_taken_away_meanwhile_is_left_alone(log: Log) -> None:
    async def scenario() -> None:
        await stopped_and_resumed(log)
        log.assigned = False
        assert await log.taken() == []

    asyncio.run(scenario())


def test_slices_of_partitions_come_in_turns() -> None:
    first, second, third = (TP("t", number) for number in range(3))
    brought = {first: ["a", "b", "c"], second: [], third: ["x", "y"]}
    expected = [(first, "a"), (third, "x"), (first, "b"), (third, "y"), (first, "c")]
    assert list(in_turns(brought)) == expected
