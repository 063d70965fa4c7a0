"""What lies between two offsets of a partition: records, or nothing that a reader ever gets.

Offsets are not records. Each transaction ends with a marker, which takes an offset, and a worker
that was killed leaves records that were aborted. So how far a group is behind cannot be told from
offsets alone; somebody has to look.
"""

from __future__ import annotations

from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

LOOK_RECORDS: Final = 1000
"""Records at a time that a consumer which looks is well set up with, see `fetch_columns`."""

_LOOK_MS: Final = 100


async def first_between(
    consumer: AIOKafkaConsumer, place: TopicPartition, start: int, end: int
) -> int | None:
    """Return the offset of the first record from `start` on and before `end`; None if none is.

    It waits for transactions that are open there. Of records that expired it knows nothing.

    Args:
        consumer: A started one that hands over columns of what is committed; it loses its position.
        place: The partition.
        start: Offset to look from.
        end: Offset to look up to; it must have been written.
    """
    consumer.assign([place])
    consumer.seek(place, start)
    while await consumer.position(place) < end:
        for records in (await consumer.getmany(place, timeout_ms=_LOOK_MS)).get(place, ()):
            first = int(records.offsets[0])
            return first if first < end else None
    return None
