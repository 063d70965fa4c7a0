"""Following: the topic of balances, read from its beginning and on, so that balances are at hand.

The store answers anything, but a balance has to be inserted there first, and asking for it waits
its turn among inserts and larger questions. Whoever follows the topic has each balance some
milliseconds after its transaction is committed, and answers from memory. Every follower reads all
partitions; a group is not needed, because nothing has to be remembered. It also knows how old the
event behind each balance was when that came to hand.

    BrokenRecordError a balance of ours cannot be read
    KafkaError        an outage, at the start; later the consumer tries again by itself
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.fetching import FETCH_WAIT_MS_MAX, fetch_columns
from schemas.log_events import tell
from schemas.pacing import pace
from schemas.raw import Raw
from schemas.records import Records
from schemas.settings import BrokerSettings
from sinks.latest import LatestBalances, Taken
from sinks.metrics import FollowingMetrics
from sinks.records import Balance, ProgrammeSum

TOPIC: Final = "account-balances"
PARTITION_BYTES_MAX: Final = 2 << 20
RECORDS_MAX: Final = 8_192
POLL_MS: Final = 500
LOOK_S: Final = 0.1
TOLD_AFTER_S: Final = 10.0
MEASURE_EVERY_S: Final = 1.0
TAKES_REMEMBERED: Final = 64
"""Of so many fetches it is known how old their events were; some seconds at full load."""

log = logging.getLogger("carbonflow.balances")


class NotLevelError(Exception):
    """The topic has not yet been read to where it ended when following began."""


class FollowedBalances:
    """The balances of all accounts, as of a moment ago, while `run` runs."""

    def __init__(
        self,
        settings: BrokerSettings,
        metrics: FollowingMetrics,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._now = now
        self._latest = LatestBalances()
        self._level = False
        self._lag_offsets = 0
        self._ages = deque[tuple[float, Taken]](maxlen=TAKES_REMEMBERED)

    def is_ready(self) -> bool:
        """Return whether what the topic held at the start has been read."""
        return self._level

    async def balances(self, account_ids: Sequence[str]) -> list[Balance | None]:
        """Return the balances of accounts in their order, None where nothing was ever booked.

        Raises:
            NotLevelError: It is too early to tell.
        """
        if not self._level:
            raise NotLevelError(f"{len(self._latest)} accounts are read, and more are to come")
        return self._latest.balances(account_ids)

    async def sums(self) -> tuple[ProgrammeSum, ...]:
        """Return what the balances of each programme add up to.

        Raises:
            NotLevelError: It is too early to tell.
        """
        if not self._level:
            raise NotLevelError(f"{len(self._latest)} accounts are read, and more are to come")
        return self._latest.sums()

    @property
    def lag_offsets(self) -> int:
        """Offsets between what is taken in and what is readable, as of the last look."""
        return self._lag_offsets

    def ages_ms(self, since_s: float) -> Mapping[str, npt.NDArray[np.int64]]:
        """Return how old the events of balances were when these came to hand, by programme [ms].

        Args:
            since_s: Only those that came to hand since then [s since 1970].
        """
        names = self._latest.programme_names()
        ages = dict[str, list[npt.NDArray[np.int64]]]()
        for at_s, taken in [each for each in self._ages if each[0] >= since_s]:
            old = np.maximum(int(at_s * 1000) - taken.updated_ms, 0)
            for code in np.unique(taken.programmes).tolist():
                ages.setdefault(names[code], []).append(old[taken.programmes == code])
        return {name: np.concatenate(parts) for name, parts in ages.items()}

    async def run(self) -> None:
        """Follow until cancelled."""
        began_s = time.monotonic()
        topic = self._settings.topic(TOPIC)
        consumer = AIOKafkaConsumer(
            **self._settings.client_options(),
            group_id=None,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            max_partition_fetch_bytes=PARTITION_BYTES_MAX,
            fetch_max_wait_ms=FETCH_WAIT_MS_MAX,
        )
        await consumer.start()
        try:
            pace(consumer)
            fetch_columns(consumer, records_max=lambda: RECORDS_MAX)
            told_s = time.monotonic() + TOLD_AFTER_S
            while topic not in await consumer.topics():
                if time.monotonic() > told_s:
                    whom = self._settings.sasl_username
                    seen = f", or {whom!r} has no right to see it" if whom else ""
                    tell(log, "topic_missing", topic=topic, reason=f"there is none{seen}")
                    told_s = math.inf
                await asyncio.sleep(LOOK_S)
            # Without a group this is all partitions, those added later among them.
            consumer.subscribe([topic])
            due_s, ends = 0.0, dict[TopicPartition, int]()
            while True:
                await self._take(await consumer.getmany(timeout_ms=POLL_MS))
                if not ends:
                    ends = await consumer.end_offsets(consumer.assignment())
                if time.monotonic() >= due_s:
                    await self._measure(consumer)
                    due_s = time.monotonic() + MEASURE_EVERY_S
                if not self._level and await _is_level(consumer, ends):
                    self._level = True
                    seconds = time.monotonic() - began_s
                    tell(log, "balances_ready", accounts=len(self._latest), seconds=seconds)
        finally:
            await consumer.stop()

    async def _take(self, fetched: dict[TopicPartition, list[Records]]) -> None:
        # An account is in one partition only, so the order of partitions does not matter.
        values = [records.values for pieces in fetched.values() for records in pieces]
        if values:
            # Requests are answered meanwhile.
            taken = await asyncio.to_thread(self._latest.take, Raw.together(values))
            if self._level:
                self._ages.append((self._now(), taken))
            self._metrics.records.inc(sum(map(len, values)))

    async def _measure(self, consumer: AIOKafkaConsumer) -> None:
        lags = []
        for partition in consumer.assignment():
            end = consumer.last_stable_offset(partition)
            if end is not None:
                lag = max(0, end - await consumer.position(partition))
                self._metrics.lag_offsets.labels(str(partition.partition)).set(lag)
                lags.append(lag)
        self._lag_offsets = sum(lags)


async def _is_level(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> bool:
    for partition, end in ends.items():
        if await consumer.position(partition) < end:
            return False
    return bool(ends)
