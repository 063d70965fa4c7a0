"""The turns of a sink over a consumer and a store that do what a test says, and when."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, cast

import pyarrow as pa
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError
from prometheus_client import CollectorRegistry

from schemas.records import Records
from sinks.connect import Client
from sinks.metrics import SinkMetrics
from sinks.sink import SinkSettings, _Sink
from sinks.writer import ROWS_AT_A_TIME, BrokenRecordError, Writer
from tests.sinks.bench import WAIT_S, run, sessions
from tests.sinks.wire import Record, fetched

HERE = TopicPartition("charging-sessions", 0)
THERE = TopicPartition("charging-sessions", 1)


def lot(place: TopicPartition, first: int, count: int) -> dict[TopicPartition, list[Records]]:
    """Return what a fetch brings: sessions of a partition."""
    values = sessions(range(first, first + count))
    records = [Record(value, place.partition, first + at) for at, value in enumerate(values)]
    return {place: [part.records for part in fetched(records)]}


class Consumer:
    """Hands over one lot after another."""

    def __init__(self) -> None:
        self.coming: deque[dict[TopicPartition, list[Records]]] = deque()
        self.pieces: list[int] = []
        self.commits: list[Mapping[TopicPartition, int]] = []
        self.failure: Exception | None = None
        self._positions: dict[TopicPartition, int] = {}

    async def getmany(
        self, *, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[Records]]:
        assert timeout_ms >= 0
        self.pieces.append(max_records)
        await asyncio.sleep(0)
        came = self.coming.popleft() if self.coming else {}
        for place, pieces in came.items():
            self._positions[place] = int(pieces[-1].offsets[-1]) + 1
        return came

    async def position(self, place: TopicPartition) -> int:
        return self._positions[place]

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        if self.failure is not None:
            raise self.failure
        self.commits.append(dict(offsets))

    def last_stable_offset(self, place: TopicPartition) -> int:
        return self._positions[place]


class Store:
    """Notes inserts, and holds them back while it is shut."""

    def __init__(self) -> None:
        self.inserts: list[list[int]] = []
        self.door = asyncio.Event()
        self.door.set()
        self._loop = asyncio.get_running_loop()

    def insert_arrow(self, _table: str, rows: pa.Table, **_: Any) -> None:
        self.inserts.append(rows.column("_offset").to_pylist())
        opened = asyncio.run_coroutine_threadsafe(self.door.wait(), self._loop)
        opened.result(timeout=WAIT_S)


class Scene:
    """A sink between the two."""

    def __init__(self, threads: ThreadPoolExecutor, **settings: int) -> None:
        self.consumer, self.store = Consumer(), Store()
        self.sink = _Sink(
            SinkSettings(**{"sink_wait_ms_max": 0, **settings}),  # type: ignore[arg-type]
            cast(Any, self.consumer),
            Writer(cast(Client, self.store)),
            SinkMetrics(CollectorRegistry()),
            {"charging-sessions": "charging-sessions"},
            threads,
        )

    async def collected(self) -> None:
        """Return once everything that came has been taken."""
        await until(lambda: not self.consumer.coming)


@asynccontextmanager
async def scene(**settings: int) -> AsyncIterator[Scene]:
    with ThreadPoolExecutor(max_workers=2) as threads:
        made = Scene(threads, **settings)
        yield made
        made.store.door.set()


async def until(happened: Callable[[], bool]) -> None:
    """Let the loop go on until something has happened; it never rests, so nothing is missed."""
    async with asyncio.timeout(WAIT_S):
        while not happened():
            await asyncio.to_thread(int)


def test_what_comes_during_an_insert_is_committed_after_its_own() -> None:
    async def scenario() -> None:
        async with scene() as on:
            on.consumer.coming.append(lot(HERE, 0, 3))
            await on.sink.turn()
            on.store.door.clear()
            on.consumer.coming += [lot(HERE, 3, 2), lot(THERE, 0, 1)]
            turn = asyncio.create_task(on.sink.turn())
            await on.collected()
            assert on.consumer.commits == []
            on.store.door.set()
            await turn
            assert on.consumer.commits == [{HERE: 3}]
            await on.sink.finish()
            assert on.consumer.commits == [{HERE: 3}, {HERE: 5, THERE: 1}]
            assert on.store.inserts == [[0, 1, 2], [3, 4, 0]]

    run(scenario)


def test_what_is_given_up_is_neither_written_nor_committed() -> None:
    async def scenario() -> None:
        async with scene() as on:
            on.consumer.coming.append(lot(HERE, 0, 3))
            await on.sink.turn()
            on.store.door.clear()
            on.consumer.coming.append(lot(HERE, 3, 2))
            turn = asyncio.create_task(on.sink.turn())
            await on.collected()
            revoked = asyncio.create_task(on.sink.on_partitions_revoked([HERE]))
            on.store.door.set()
            await revoked
            assert on.consumer.commits == [{HERE: 3}]
            await turn
            await on.sink.finish()
            assert (on.store.inserts, on.consumer.commits) == ([[0, 1, 2]], [{HERE: 3}])

    run(scenario)


def test_offsets_that_a_rebalance_refuses_take_nothing_held_with_them() -> None:
    """The sink has passed what it holds; it may be committed only once it is stored."""

    async def scenario() -> None:
        async with scene() as on:
            on.consumer.failure = CommitFailedError("rebalancing")
            on.consumer.coming += [lot(HERE, 0, 3)]
            await on.sink.turn()
            on.store.door.clear()
            on.consumer.coming.append(lot(HERE, 3, 2))
            turn = asyncio.create_task(on.sink.turn())
            await on.collected()
            on.store.door.set()
            await turn
            on.consumer.failure = None
            await on.sink.finish()
            assert on.store.inserts == [[0, 1, 2], [3, 4]]
            assert on.consumer.commits == [{HERE: 5}]

    run(scenario)


def test_a_broken_record_stops_the_sink_but_not_the_insert_under_way() -> None:
    async def scenario() -> None:
        async with scene() as on:
            broken = [Record(b"junk", 0, at) for at in range(ROWS_AT_A_TIME)]
            on.sink._names[HERE.topic] = "transfers"
            on.sink._names["refusals"] = "refusals"
            refused = Record(b"x", headers=[("code", b"undecodable"), ("origin", b"worker")])
            place = TopicPartition("refusals", 0)
            on.consumer.coming.append({place: [fetched([refused])[0].records]})
            await on.sink.turn()
            on.store.door.clear()
            on.consumer.coming.append({HERE: [fetched(broken)[0].records]})
            turn = asyncio.create_task(on.sink.turn())
            await on.collected()
            on.store.door.set()
            with pytest.raises(BrokenRecordError, match="transfers 0:0"):
                await turn
            assert on.consumer.commits == [{place: 1}]

    run(scenario)


@pytest.mark.parametrize("limit", [{"sink_rows_max": 5}, {"sink_bytes_max": 200}])
def test_a_sink_that_holds_enough_asks_for_no_more(limit: dict[str, int]) -> None:
    async def scenario() -> None:
        async with scene(**limit) as on:
            on.consumer.coming.append(lot(HERE, 0, 1))
            await on.sink.turn()
            on.store.door.clear()
            on.consumer.coming += [lot(HERE, 1, 3), lot(HERE, 4, 3), lot(HERE, 7, 3)]
            turn = asyncio.create_task(on.sink.turn())
            await until(lambda: len(on.consumer.coming) == 1)
            asked = len(on.consumer.pieces)
            for _ in range(100):
                await asyncio.sleep(0)
            assert (len(on.consumer.coming), len(on.consumer.pieces)) == (1, asked)
            on.store.door.set()
            await turn
            await on.sink.turn()
            await on.sink.finish()
            assert on.store.inserts == [[0], [1, 2, 3, 4, 5, 6], [7, 8, 9]]

    run(scenario)


def test_no_more_is_taken_at_once_than_there_is_room_for() -> None:
    async def scenario() -> None:
        async with scene(sink_rows_max=ROWS_AT_A_TIME + 2) as on:
            on.consumer.coming.append(lot(HERE, 0, 1))
            await on.sink.turn()
            on.store.door.clear()
            on.consumer.coming.append(lot(HERE, 1, 2))
            turn = asyncio.create_task(on.sink.turn())
            await on.collected()
            asked = len(on.consumer.pieces)
            await until(lambda: len(on.consumer.pieces) > asked)
            on.store.door.set()
            await turn
            assert on.consumer.pieces[0] == 2
            assert on.consumer.pieces[-1] == 1

    run(scenario)


def test_records_wait_for_more_only_after_an_insert() -> None:
    async def scenario() -> None:
        async with scene(sink_wait_ms_max=1_000_000, sink_rows_max=3) as on:
            on.consumer.coming.append(lot(HERE, 0, 1))
            await on.sink.turn()  # Returns at once: there was no insert yet.
            on.consumer.coming += [lot(HERE, 1, 1), lot(HERE, 2, 2)]
            await on.sink.turn()  # Returns because there are three.
            await on.sink.finish()
            assert on.store.inserts == [[0], [1, 2, 3]]

    run(scenario)


@pytest.mark.parametrize("name", ["sink_rows_max", "sink_bytes_max"])
def test_a_limit_that_nothing_fits_into_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="at least"):
        SinkSettings(**{name: 0})  # type: ignore[arg-type]
