"""Progress: what has been sent, worked and stored so far, asked of Kafka again and again.

A fault is over when the workers, or the sink, have committed what had come in by the time it was
injected, on every partition, and something since.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from schemas.catalogue import ACTIVITY_TOPICS
from schemas.settings import BrokerSettings
from sinks.sink import SinkSettings
from streams.settings import WorkerSettings

POLL_S: Final = 0.2
ASK_S_MAX: Final = 5.0
"""A broker that went away in the middle of a question never answers it."""

Offsets = Mapping[TopicPartition, int]


@dataclass(slots=True)
class Recovery:
    """A fault on its way to be over.

    Attributes:
        number: Counts the faults of a run.
        what: The fault, for people.
        injected_s: When, by the monotonic clock.
        worked: Offsets the workers must commit; empty where it is not theirs.
        stored: Offsets the sink must commit; empty where it is not its.
        worked_before: What the workers had committed, over all partitions; they must go on, too.
        stored_before: What the sink had.
        over_s: When they had.
    """

    number: int
    what: str
    injected_s: float
    worked: Offsets
    stored: Offsets
    worked_before: int
    stored_before: int
    over_s: float | None = None

    @property
    def took_s(self) -> float | None:
        """How long it took, None if it is not over."""
        return None if self.over_s is None else self.over_s - self.injected_s


class Progress:
    """Follows a pipeline; `watch` is to run beside it."""

    def __init__(self, settings: BrokerSettings, *, partitions: int) -> None:
        self._settings = settings
        numbers = range(partitions)
        self._activities = [
            TopicPartition(settings.topic(topic), number)
            for topic in ACTIVITY_TOPICS
            for number in numbers
        ]
        self._transfers = [
            TopicPartition(settings.topic("transfers"), number) for number in numbers
        ]
        self.worker_group = WorkerSettings(prefix=settings.prefix).group_id
        self.sink_group = SinkSettings(prefix=settings.prefix).group_id
        self.ends: dict[TopicPartition, int] = {}
        self.worked: dict[TopicPartition, int] = {}
        self.stored: dict[TopicPartition, int] = {}
        self.recoveries: list[Recovery] = []

    def sent(self) -> int:
        """Return how many events the broker has."""
        return sum(self.ends.get(place, 0) for place in self._activities)

    def lag(self) -> int:
        """Return how many events no worker has committed."""
        return self.sent() - sum(self.worked.values())

    def begin(self, what: str, *, worked: bool = False, stored: bool = False) -> Recovery:
        """Note a fault that is being injected, and whose work it holds up."""
        made = Recovery(
            len(self.recoveries) + 1,
            what,
            time.monotonic(),
            {place: self.ends.get(place, 0) for place in self._activities} if worked else {},
            {place: self.ends.get(place, 0) for place in self._transfers} if stored else {},
            sum(self.worked.values()),
            sum(self.stored.values()),
        )
        self.recoveries.append(made)
        return made

    def has_worked(self, fault: Recovery) -> bool:
        """Return whether the workers are over a fault."""
        return _passed(self.worked, fault.worked, fault.worked_before)

    def settled(self) -> None:
        """Note that everything has been worked and stored: no fault is left.

        The last offset of a partition may be a marker, which a sink need not commit.
        """
        for each in self.recoveries:
            each.over_s = each.over_s or time.monotonic()

    async def watch(self) -> None:
        """Look again and again, through all outages."""
        while True:
            with suppress(KafkaError, TimeoutError):
                await self._follow()
            await asyncio.sleep(POLL_S)

    async def _follow(self) -> None:
        """Ask with clients of its own, until the broker does not answer one question."""
        options = self._settings.client_options()
        admin = AIOKafkaAdminClient(**options)
        consumer = AIOKafkaConsumer(
            **options, group_id=None, isolation_level="read_committed", enable_auto_commit=False
        )
        try:
            async with asyncio.timeout(ASK_S_MAX):
                await admin.start()
                await consumer.start()
            while True:
                async with asyncio.timeout(ASK_S_MAX):
                    places = [*self._activities, *self._transfers]
                    self.ends |= await consumer.end_offsets(places)
                    self.worked |= await _committed(admin, self.worker_group, self._activities)
                    self.stored |= await _committed(admin, self.sink_group, self._transfers)
                self._look()
                await asyncio.sleep(POLL_S)
        finally:
            await consumer.stop()
            await admin.close()

    def _look(self) -> None:
        for each in self.recoveries:
            is_over = self.has_worked(each) and _passed(
                self.stored, each.stored, each.stored_before
            )
            if each.over_s is None and is_over:
                each.over_s = time.monotonic()


async def _committed(
    admin: AIOKafkaAdminClient, group: str, places: list[TopicPartition]
) -> dict[TopicPartition, int]:
    found = await admin.list_consumer_group_offsets(group, partitions=places)
    return {place: max(0, at.offset) for place, at in found.items()}


def _passed(offsets: Offsets, wanted: Offsets, before: int) -> bool:
    reached = all(offsets.get(place, 0) >= offset for place, offset in wanted.items())
    return not wanted or (reached and sum(offsets.values()) > before)
