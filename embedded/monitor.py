"""How far the consumers of the stack are behind, asked of the broker itself.

The end of a partition counts commit markers, which no consumer ever sees: a group that has read
everything may stand one or more offsets before the end. So "behind" is not a difference of two
numbers. Where they differ, the monitor reads what lies between as the group would; if nothing
comes and its own position reaches the end, only markers are left.

Records of a transaction under way count as written: a broker may show the offsets that a
transaction commits before it shows its records.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from schemas.between import LOOK_RECORDS, first_between
from schemas.fetching import fetch_columns
from schemas.pacing import pace
from schemas.settings import BrokerSettings

COUNTED_AT_A_TIME = 16_384
_PEEK_S = 0.5


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a group stands on its topics.

    Attributes:
        done: Offsets passed since the beginning, over all partitions.
        lag: Offsets to the end, over all partitions; counts markers, so it may stay above 0.
    """

    done: int
    lag: int


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at a running stack.

    Attributes:
        worker: Where the workers stand on the activities.
        sink: Where the sink stands on everything.
        refused: Refusals stored since the stack started.
        sink_rows: Rows stored since then.
    """

    worker: Standing
    sink: Standing
    refused: int
    sink_rows: int


class Monitor:
    """Asks one broker; used from one event loop."""

    def __init__(self, settings: BrokerSettings) -> None:
        """Remember where the broker is; `open` connects."""
        self._settings = settings

    async def open(self) -> None:
        """Connect."""
        self._admin = AIOKafkaAdminClient(**self._settings.client_options())
        # The ends are those of everything written, the peek sees what is committed.
        self._ends = self._consumer("read_uncommitted")
        self._peek = self._consumer("read_committed")
        await self._admin.start()
        await self._ends.start()
        await self._peek.start()
        pace(self._peek)
        fetch_columns(self._peek, records_max=lambda: LOOK_RECORDS)

    async def close(self) -> None:
        """Disconnect."""
        await self._peek.stop()
        await self._ends.stop()
        await self._admin.close()

    async def ends(self, topics: Collection[str]) -> dict[TopicPartition, int]:
        """Return the end of what is written on each partition of those topics that exist."""
        # Asking for all topics, because asking for one that does not exist would create it.
        partitions = [
            TopicPartition(topic["topic"], partition["partition"])
            for topic in await self._admin.describe_topics()
            if topic["topic"] in topics
            for partition in topic["partitions"]
        ]
        if not partitions:
            return {}
        ends: dict[TopicPartition, int] = await self._ends.end_offsets(partitions)
        return ends

    async def __aenter__(self) -> Monitor:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def standing(self, group: str, topics: Collection[str]) -> Standing:
        """Return where a group stands on some topics."""
        ends = await self.ends(topics)
        committed = await self.committed(group, topics)
        done = sum(committed.get(partition, 0) for partition in ends)
        return Standing(done, max(0, sum(ends.values()) - done))

    async def is_level(self, group: str, topics: Collection[str]) -> bool:
        """Return whether a group has committed everything that can be read on some topics."""
        ends = await self.ends(topics)
        committed = await self.committed(group, topics)
        for partition, end in ends.items():
            start = committed.get(partition, 0)
            if start < end and not await self._only_markers(partition, start, end):
                return False
        return True

    async def committed(self, group: str, topics: Collection[str]) -> Mapping[TopicPartition, int]:
        """Return what a group has committed on some topics."""
        answered = await self._admin.list_consumer_group_offsets(group)
        return {
            place: found.offset
            for place, found in answered.items()
            if found.offset >= 0 and place.topic in topics
        }

    async def waiting(self, group: str, topics: Collection[str]) -> int:
        """Return how many records of some topics a group has yet to commit."""
        committed, found = await self.committed(group, topics), 0
        consumer = self._consumer("read_committed")
        await consumer.start()
        try:
            fetch_columns(consumer, records_max=lambda: COUNTED_AT_A_TIME)
            for place in await self.ends(topics):
                consumer.assign([place])
                consumer.seek(place, committed.get(place, 0))
                end = (await consumer.end_offsets([place]))[place]
                while await consumer.position(place) < end:
                    for parts in (await consumer.getmany(place, timeout_ms=100)).values():
                        found += sum(map(len, parts))
        finally:
            await consumer.stop()
        return found

    def _consumer(self, isolation: str) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._settings.client_options(),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level=isolation,
        )

    async def _only_markers(self, partition: TopicPartition, start: int, end: int) -> bool:
        try:
            async with asyncio.timeout(_PEEK_S):
                return await first_between(self._peek, partition, start, end) is None
        except TimeoutError:  # A transaction is open.
            return False
