"""Fetching by columns: an aiokafka consumer that hands over `Records`, not one object a record.

aiokafka asks brokers, follows leaders and keeps positions; only what it makes of the bytes of a
fetched partition is replaced, by `RecordColumns`. A consumer so prepared answers `getmany` with a
list of `Records` for each partition, and counts each of them as one record.

It reaches into aiokafka's fetcher, so aiokafka is pinned and tests hold the two against each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.structs import TopicPartition

from schemas.records import RecordColumns

FETCH_WAIT_MS_MAX: Final = 50
"""How long a broker may hold a fetch: a partition is not asked for while others are waited for."""


def fetch_columns(
    consumer: AIOKafkaConsumer, *, records_max: Callable[[], int], of: Callable[[str], bool] = bool
) -> None:
    """Let a started consumer hand over columns; doing it again changes nothing.

    Args:
        consumer: The consumer.
        records_max: Asked for how many records each `Records` may hold.
        of: Says of which topics; of all where not given.
    """
    fetcher = consumer._fetcher
    if isinstance(fetcher._client, _Listening):
        return
    listening = fetcher._client = _Listening(fetcher._client)
    fetch = fetcher._proc_fetch_request

    async def by_columns(assignment: Any, node_id: Any, request: Any) -> bool:
        brought: bool = await fetch(assignment, node_id, request)
        # Nothing is awaited here, so nobody has seen these results yet.
        for place, data in listening.taken(request):
            result = fetcher._records.get(place)
            if data and of(place.topic) and type(result) is FetchResult:
                result._partition_records = _columns(result._partition_records, data, records_max)
        return brought

    fetcher._proc_fetch_request = by_columns


class _Listening:
    """aiokafka's client, remembering the bytes of each fetched partition until they are taken."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._fetched: dict[TopicPartition, bytes] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def send(self, node_id: Any, request: Any, **options: Any) -> Any:
        response = await self._client.send(node_id, request, **options)
        if isinstance(request, FetchRequest):
            for topic, partitions in response.topics:
                for partition, *_, data in partitions:
                    self._fetched[TopicPartition(topic, partition)] = data
        return response

    def taken(self, request: Any) -> list[tuple[TopicPartition, bytes | None]]:
        """Return what was fetched for a request, and forget it."""
        places = [
            TopicPartition(topic, part[0]) for topic, parts in request.topics for part in parts
        ]
        return [(place, self._fetched.pop(place, None)) for place in places]


def _columns(records: Any, data: bytes, records_max: Callable[[], int]) -> Any:
    """Return columns in place of a partition's records that nobody has begun to read."""
    if isinstance(records, RecordColumns):
        return records
    return RecordColumns(
        data,
        fetch_offset=records.next_fetch_offset,
        aborted=records._aborted_transactions,
        read_committed=records._isolation_level == READ_COMMITTED,
        check_crcs=records._check_crcs,
        records_max=records_max,
    )
