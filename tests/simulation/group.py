"""A consumer group, simulated: static members, eager rebalances; and the member in each worker.

The member stands for Faust with the transport: it fetches slices of assigned partitions into a
short buffer, hands them to `Owned` one after another, and when the group rebalances clears the
buffer, has the books closed and joins again. It leaves a late lane alone until what was fetched of
it is worked.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Final

from aiokafka.structs import TopicPartition
from faust.types import TP

from streams.owned import Owned
from streams.slice import Slice
from streams.stop import stop_process_on_failure
from tests.simulation.process import Process

BEAT_S: Final = 0.8
QUIET_S: Final = 0.4
BUFFER_SLICES: Final = 3
RECORDS_MAX: Final = 8
STOP_SHARE: Final = 0.5
"""Share of the slices after which the rest of a fetch is fetched again."""


class Group:
    """The coordinator of a group: who is in it, and who has which partitions."""

    def __init__(self, group_id: str, places: Sequence[TP], session_s: float) -> None:
        self.group_id = group_id
        self.generation = 0
        self.assigned: dict[str, set[TP]] = {}
        self._places = places
        self._session_s = session_s
        self._seen_s: dict[str, float] = {}
        self._joined: set[str] = set()
        self._is_settled = True

    def join(self, name: str) -> None:
        """Take a member in; one that was restarted in time takes its own place again."""
        self._expire()
        if not (name in self._seen_s and self._is_settled):
            self._is_settled = False
            self._joined.add(name)
        self._seen_s[name] = self._now_s()
        self._settle()

    def leave(self, name: str) -> None:
        """Let a member go at once."""
        if self._seen_s.pop(name, None) is not None:
            self._is_settled = False
            self._settle()

    def answer(self, name: str) -> tuple[int, set[TP]] | None:
        """Return generation and partitions of a member that has joined, when they are known.

        One whose session ended while it waited joins anew.
        """
        self._expire()
        self._is_settled &= name in self._seen_s
        self._seen_s[name] = self._now_s()
        if not self._is_settled:
            self._joined.add(name)
            self._settle()
        return (self.generation, set(self.assigned[name])) if self._is_settled else None

    def beat(self, name: str, generation: int) -> bool:
        """Hear a member; return whether its generation still holds."""
        self._expire()
        if name not in self._seen_s:
            return False
        self._seen_s[name] = self._now_s()
        self._settle()
        return self._is_settled and generation == self.generation

    def _expire(self) -> None:
        limit = self._now_s() - self._session_s
        for name in [name for name, seen in self._seen_s.items() if seen < limit]:
            del self._seen_s[name]
            self._is_settled = False

    def _settle(self) -> None:
        self._joined &= set(self._seen_s)
        if not self._is_settled and self._seen_s and self._joined == set(self._seen_s):
            self.generation += 1
            self._is_settled = True
            self._joined.clear()
            names = sorted(self._seen_s)
            # Topics are co-partitioned: a partition number has one owner.
            self.assigned = {
                name: {tp for tp in self._places if tp.partition % len(names) == turn}
                for turn, name in enumerate(names)
            }

    @staticmethod
    def _now_s() -> float:
        return asyncio.get_running_loop().time()


class Member:
    """What feeds the books of one worker.

    Attributes:
        assignment: What the worker believes to own.
    """

    def __init__(self, process: Process, group: Group, chance: random.Random) -> None:
        self.assignment: set[TP] = set()
        self._process = process
        self._group = group
        self._chance = chance
        self._buffer: asyncio.Queue[tuple[Slice, TP]] = asyncio.Queue(BUFFER_SLICES)
        self._held: set[TP] = set()

    async def run(self, owned: Owned) -> None:
        """Join, work, and join again, until the process ends."""
        agent = asyncio.create_task(self._agent(owned))
        async with stop_process_on_failure():
            while True:
                generation = await self._join()
                fetching = asyncio.create_task(self._fetch())
                while await self._process.ask(
                    lambda: self._group.beat(self._process.name, generation)  # noqa: B023
                ):
                    await self._process.rest(BEAT_S)
                    assert not agent.done(), "the agent ends with the process only"
                fetching.cancel()
                while not self._buffer.empty():
                    self._buffer.get_nowait()
                await owned.revoke({tp.partition for tp in self.assignment})

    def release(self, tp: TP) -> None:
        """Fetch from a late lane again."""
        self._held.discard(tp)

    async def _join(self) -> int:
        name = self._process.name
        await self._process.ask(lambda: self._group.join(name))
        while (answer := await self._process.ask(lambda: self._group.answer(name))) is None:
            await self._process.rest(BEAT_S)
        generation, self.assignment = answer
        self._held.clear()
        return generation

    @stop_process_on_failure()
    async def _fetch(self) -> None:
        broker, group_id = self._process.broker, self._group.group_id
        mine = sorted(self.assignment)
        positions = await self._process.ask(
            lambda: {tp: broker.committed.get((group_id, TopicPartition(*tp)), 0) for tp in mine}
        )
        while True:
            found = 0
            fetched = await self._process.ask(
                lambda: {
                    tp: log.read(
                        positions[tp], records_max=lambda: self._chance.randint(1, RECORDS_MAX)
                    )
                    for tp in self._chance.sample(mine, len(mine))
                    if tp not in self._held
                    and (log := broker.logs[TopicPartition(*tp)]).stable_end > positions[tp]
                }
            )
            for tp, columns in fetched.items():
                for records in columns:
                    part = Slice.of(tp.topic, tp.partition, records)
                    if part.late_from is not None:
                        self._held.add(tp)
                    await self._buffer.put((part, tp))
                    found += 1
                    if self._chance.random() < STOP_SHARE:
                        break
                positions[tp] = columns.next_fetch_offset
            if not found:
                await self._process.rest(QUIET_S)

    @stop_process_on_failure()
    async def _agent(self, owned: Owned) -> None:
        while True:
            part, tp = await self._buffer.get()
            await owned.take(part, tp)
