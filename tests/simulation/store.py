"""The store, simulated: a sink that fills it with committed transfers, and who asks it.

The sink inserts what it has read some time later, and commits its offsets some time after that, so
it is now ahead of them and always behind the broker. The store may be away: nothing is inserted
then, and nobody gets an answer.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

import pyarrow as pa
from aiokafka.structs import TopicPartition

from schemas.singles import decode_one
from sinks.connect import StoreError, StoreSettings
from tests.simulation.broker import Broker
from tests.simulation.load import PARTITIONS

COLLECT_S: Final = (0.2, 1.0, 6.0)
INSERT_S: Final = 0.5


class Store:
    """What the sink has stored, and whether anybody can reach it.

    Args:
        broker: Where the transfers are.
        chance: Decides how long the sink takes.
        sink_group: The consumer group of the sink.

    Attributes:
        asked: How many late events it was asked about, and answered.
    """

    def __init__(self, broker: Broker, chance: random.Random, sink_group: str) -> None:
        self.asked = 0
        self._broker = broker
        self._chance = chance
        self._sink_group = sink_group
        self._transfers: defaultdict[str, list[bytes]] = defaultdict(list)
        self._there = asyncio.Event()
        self._there.set()

    @property
    def is_away(self) -> bool:
        """Whether it answers nobody."""
        return not self._there.is_set()

    def go_away(self) -> None:
        """Answer nobody."""
        self._there.clear()

    def come_back(self) -> None:
        """Be there again."""
        self._there.set()

    async def fill(self) -> None:
        """Be the sink, for ever: read, insert, commit."""
        places = [TopicPartition("transfers", number) for number in range(PARTITIONS)]
        while True:
            await asyncio.sleep(self._chance.choice(COLLECT_S) * self._chance.random())
            for place in places:
                await self._move(place)

    async def _move(self, place: TopicPartition) -> None:
        log = self._broker.logs[place]
        position = self._broker.committed.get((self._sink_group, place), 0)
        if log.stable_end <= position:
            return
        columns = log.read(position, records_max=lambda: 1 << 30)
        found = [
            (records.keys[row] or b"", records.values[row] or b"")
            for records in columns
            for row in range(len(records))
        ]
        if not found:
            return  # As a sink does, which commits where it stored something.
        await asyncio.sleep(INSERT_S * self._chance.random())
        await self._there.wait()
        for key, value in found:
            self._transfers[key.decode()].append(value)
        await asyncio.sleep(INSERT_S * self._chance.random())
        self._broker.committed[self._sink_group, place] = columns.next_fetch_offset

    def connect(self, _settings: StoreSettings, **_options: object) -> Client:
        """Return a client, as `sinks.connect.connect` does.

        Raises:
            StoreError: It is away.
        """
        self.check()
        return Client(self)

    def check(self) -> None:
        """Raise StoreError if it is away."""
        if self.is_away:
            raise StoreError("the simulated store is away")

    def holds(self, account: str, transfer_id: str) -> bool:
        """Return whether an account has a transfer."""
        self.asked += 1
        there = (decode_one(value)[1]["transfer_id"] for value in self._transfers.get(account, ()))
        return transfer_id in there


class Client:
    """The part of a ClickHouse client that the question about late events uses."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def query(self, _sql: str, *, external_data: Any, **_options: object) -> SimpleNamespace:
        """Return the numbers of those that are booked, of a table sent along.

        Raises:
            StoreError: The store is away.
        """
        self._store.check()
        asked = pa.ipc.open_file(external_data.files[0].data).read_all().to_pylist()
        numbers = [one["number"] for one in asked if self._store.holds(one["account"], one["id"])]
        return SimpleNamespace(result_columns=[numbers] if numbers else [])


class Threads:
    """What stands for the module `threading`: its threads run on the loop, some time later."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def Thread(  # noqa: N802 (its name in `threading`)
        self, *, target: Callable[[], None], name: str, daemon: bool
    ) -> SimpleNamespace:
        """Return a thread that can be started."""
        assert daemon, f"nobody waits for {name}"
        return SimpleNamespace(start=lambda: self._loop.run_in_executor(None, target))
