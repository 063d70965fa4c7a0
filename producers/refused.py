"""Refused: what lies on `refusals`, read from its beginning to where it ended when reading began.

Kafka is asked and not the store, because it has each header, and because there what was sent again
is known in the same moment as it is sent (`producers.replay`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from producers.published import UnreadTopicError
from schemas.attempts import ATTEMPT, REPLAY, REPLAY_OF, Sender, senders
from schemas.fetching import FETCH_WAIT_MS_MAX, fetch_columns
from schemas.pacing import pace
from schemas.records import Records
from schemas.settings import BrokerSettings

TOPIC: Final = "refusals"
RECORDS_MAX: Final = 4_096
STALL_S_MAX: Final = 60.0
_POLL_MS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedRecord:
    """A record or a row that was refused, as its message on `refusals` says.

    Attributes:
        partition: Partition on `refusals`.
        offset: Offset there.
        refused_at: When it was refused [ms].
        code: Why.
        origin: `worker` or `loader`.
        topic: Topic of the record without prefix; empty for a row.
        source_partition: Partition of the record there; 0 for a row.
        file: File of the row; empty for a record.
        columns: First row of that file, where it is CSV.
        attempt: How often it had been sent again before.
        is_cut: Whether only its beginning is kept.
        key: Key of the record.
        value: Value of the record, or bytes of the row; None for a tombstone.
        sender: Whose it is, as far as it can be read.
    """

    partition: int
    offset: int
    refused_at: int
    code: str
    origin: str
    topic: str
    source_partition: int
    file: str
    columns: str
    attempt: int
    is_cut: bool
    key: bytes | None
    value: bytes | None
    sender: Sender

    @property
    def refusal_id(self) -> str:
        """Its place on `refusals`, by which it is known."""
        return f"{self.partition}-{self.offset}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which refusals are meant; a field that is None is left open, times are in milliseconds."""

    code: str | None = None
    source: str | None = None
    topic: str | None = None
    account: str | None = None
    file: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None

    def takes(self, record: RefusedRecord) -> bool:
        """Return whether a refusal is among them."""
        return (
            self.code in (None, record.code)
            and self.source in (None, record.sender.source)
            and self.topic in (None, record.topic)
            and self.account in (None, record.sender.account_id)
            and self.file in (None, record.file)
            and (self.from_ms is None or record.refused_at >= self.from_ms)
            and (self.to_ms is None or record.refused_at < self.to_ms)
        )


class RefusalsTopic:
    """The topic, from its beginning to `ends`; made with `refusals_topic`."""

    def __init__(self, consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> None:
        self._consumer = consumer
        self._ends = ends
        self._begins: dict[TopicPartition, int] = {}

    async def sent_again(self) -> set[str]:
        """Return the refusals that were sent again."""
        return {
            headers[REPLAY_OF].decode()
            async for _, records in self._all()
            for headers in map(dict, map(records.headers, range(len(records))))
            if headers.get("origin") == REPLAY.encode() and REPLAY_OF in headers
        }

    async def refused(self) -> AsyncIterator[list[RefusedRecord]]:
        """Yield the refusals, each partition in order."""
        async for partition, records in self._all():
            yield _refused(partition, records)

    async def extent(self) -> int:
        """Return how many offsets there are."""
        begins = await self._consumer.beginning_offsets(list(self._ends))
        return sum(max(0, end - begins[place]) for place, end in self._ends.items())

    async def _all(self) -> AsyncIterator[tuple[int, Records]]:
        begins = await self._consumer.beginning_offsets(list(self._ends))
        for place, begin in begins.items():
            self._consumer.seek(place, begin)
        left = {place for place, end in self._ends.items() if begins[place] < end}
        try:
            while left:
                async with asyncio.timeout(STALL_S_MAX):
                    fetched = await self._next(left)
                for place, pieces in fetched.items():
                    for records in pieces:
                        # What was refused since is for another time: a replay ends.
                        count = int(records.offsets.searchsorted(self._ends[place]))
                        if count:
                            yield place.partition, _first(records, count)
                left = {
                    place
                    for place in left
                    if await self._consumer.position(place) < self._ends[place]
                }
        except TimeoutError:
            raise UnreadTopicError(
                f"the refusals cannot be read: nothing came for {STALL_S_MAX:.0f} s"
            ) from None

    async def _next(self, left: set[TopicPartition]) -> dict[TopicPartition, list[Records]]:
        before = [await self._consumer.position(place) for place in left]
        while True:
            fetched = await self._consumer.getmany(*left, timeout_ms=_POLL_MS)
            # Behind the last record there may be markers of transactions, which bring nothing.
            if fetched or [await self._consumer.position(place) for place in left] != before:
                return dict(fetched)


@asynccontextmanager
async def refusals_topic(settings: BrokerSettings) -> AsyncIterator[RefusalsTopic]:
    """Give the topic as far as it is committed now.

    Raises:
        UnreadTopicError: There is no such topic, or nothing comes of it.
        aiokafka.errors.KafkaError: The broker is away.
    """
    topic = settings.topic(TOPIC)
    consumer = AIOKafkaConsumer(
        **settings.client_options(),
        group_id=None,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=FETCH_WAIT_MS_MAX,
    )
    try:
        await consumer.start()
        pace(consumer)
        fetch_columns(consumer, records_max=lambda: RECORDS_MAX)
        # Asking for all topics, because asking for one that does not exist may create it.
        if topic not in await consumer.topics():
            raise UnreadTopicError(f"there is no topic {topic}: `carbonflow topics` makes it")
        places = [
            TopicPartition(topic, number)
            for number in sorted(consumer.partitions_for_topic(topic) or ())
        ]
        consumer.assign(places)
        yield RefusalsTopic(consumer, dict(await consumer.end_offsets(places)))
    finally:
        await consumer.stop()


def _first(records: Records, count: int) -> Records:
    if count == len(records):
        return records
    keep = records.offsets < records.offsets[count]
    return Records(
        records.offsets[keep],
        records.timestamps_ms[keep],
        records.keys.where(keep),
        records.values.where(keep),
        records.headers_at[keep],
    )


def _refused(partition: int, records: Records) -> list[RefusedRecord]:
    headers = [
        {name: value.decode("utf-8", "replace") for name, value in records.headers(index)}
        for index in range(len(records))
    ]
    at = [index for index, each in enumerate(headers) if each.get("origin") != REPLAY]
    keys, values = [records.keys[index] for index in at], [records.values[index] for index in at]
    told = [headers[index] for index in at]
    whose = senders([each.get("topic", "") for each in told], keys, values)
    return [
        _record(
            partition,
            int(records.offsets[index]),
            int(records.timestamps_ms[index]),
            each,
            key,
            value,
            sender,
        )
        for index, each, key, value, sender in zip(at, told, keys, values, whose, strict=True)
    ]


def _record(
    partition: int,
    offset: int,
    timestamp_ms: int,
    told: dict[str, str],
    key: bytes | None,
    value: bytes | None,
    sender: Sender,
) -> RefusedRecord:
    return RefusedRecord(
        partition=partition,
        offset=offset,
        refused_at=timestamp_ms,
        code=told.get("code", ""),
        origin=told.get("origin", ""),
        topic=told.get("topic", ""),
        source_partition=int(told.get("partition") or 0),
        file=told.get("file", ""),
        columns=told.get("columns", ""),
        attempt=int(told.get(ATTEMPT) or 0),
        is_cut="bytes" in told or "key_bytes" in told,
        key=key,
        value=value,
        sender=sender,
    )
