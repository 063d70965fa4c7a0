"""The factors in force, read from `emission-factors` and kept current without a restart.

The topic is small and compacted, so every worker reads all of it: to its end before the first
slice, and on from there while it works. What is published takes effect for slices worked from
then on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from types import TracebackType

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from carbon.factors import Factor, FactorTable
from carbon.programmes import Programme
from schemas.framing import WireError
from schemas.log_events import tell
from schemas.pacing import pace
from schemas.singles import decode_one
from streams.settings import WorkerSettings
from streams.step import Rules
from streams.transfers import FactorNames

log = logging.getLogger("carbonflow.factors")


class FactorsMissing(RuntimeError):
    """No factor was published in time: to work without would refuse everything."""


class UnreadableFactor(RuntimeError):
    """A message on `emission-factors` is not a factor: working on without it would be a guess."""


class LiveRules:
    """The rules in force; an async context manager that holds the consumer.

    Args:
        settings: The worker's settings.
        programmes: The programmes by name.
        partitions: Number of partitions of the activity topics.
    """

    def __init__(
        self, settings: WorkerSettings, programmes: Mapping[str, Programme], partitions: int
    ) -> None:
        self._settings = settings
        self._programmes = programmes
        self._partitions = partitions
        self._factors: dict[bytes, Factor] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self.current = self._rules()

    async def __aenter__(self) -> LiveRules:
        consumer = self._consumer = AIOKafkaConsumer(
            **self._settings.client_options(),
            group_id=None,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            isolation_level="read_committed",
        )
        await consumer.start()
        pace(consumer)
        name = self._settings.topic("emission-factors")
        # One partition keeps the order of publication, which decides between overlapping factors.
        source = TopicPartition(name, 0)
        consumer.assign([source])
        end = (await consumer.end_offsets([source]))[source]
        deadline = time.monotonic() + self._settings.startup_wait_s_max
        # Without any factor every event would be refused, and its offset passed.
        while await consumer.position(source) < end or not self._factors:
            await self._read(consumer, timeout_ms=500)
            if time.monotonic() > deadline:
                raise FactorsMissing(
                    f"{name} holds no factors; publish some, such as by `carbonflow factors load`"
                )
        self.current = self._rules()
        tell(log, "factors_loaded", factors=len(self._factors))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._consumer is not None:
            await self._consumer.stop()

    async def follow(self, taken: Callable[[], None] = lambda: None) -> None:
        """Take in what is published, for ever; `taken` is called whenever something was."""
        while self._consumer is not None:
            if await self._read(self._consumer, timeout_ms=1000):
                self.current = self._rules()
                tell(log, "factors_updated", factors=len(self._factors))
                taken()

    async def _read(self, consumer: AIOKafkaConsumer, timeout_ms: int) -> int:
        fetched = await consumer.getmany(timeout_ms=timeout_ms, max_records=50_000)
        messages = [message for part in fetched.values() for message in part]
        for message in messages:
            # A key published again moves to the end, so that the order stays that of publication.
            self._factors.pop(message.key, None)
            if message.value is not None:
                try:
                    _, value = decode_one(message.value, record="emission_factor")
                except WireError as error:
                    raise UnreadableFactor(f"offset {message.offset}: {error}") from error
                self._factors[message.key] = Factor(**value)  # type: ignore[arg-type]
        return len(messages)

    def _rules(self) -> Rules:
        table = FactorTable.of(self._factors.values())
        return Rules(
            programmes=self._programmes,
            factors=table,
            factor_names=FactorNames.of(table),
            partitions=self._partitions,
            dedupe_days=self._settings.dedupe_days,
            late_lane=self._settings.late_events == "ask",
        )
