"""A slice: consecutive records of one partition, worked as one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from carbon.exact import BoolArray, Int64Array
from schemas.catalogue import LATE_FROM, LATE_OF
from schemas.headers import headers_at
from schemas.raw import Raw
from schemas.records import Records

ORIGINAL_OF: Final[Mapping[str, str]] = {late: topic for topic, late in LATE_OF.items()}
"""The activity topic of each late lane."""


_ORIGINAL: Final = re.compile(rb"(\d{1,10}):(\d{1,18}):(\d{1,18})")


class NotOurs(RuntimeError):
    """A record of a late lane does not say which record of its activity topic it is."""


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """Columns of the records of one fetch from one partition.

    Attributes:
        topic: Name of the topic without the deployment's prefix.
        partition: The partition.
        values: Raw values, n of them; a tombstone is a null.
        keys: Raw keys, n of them.
        offsets: Offset of each record, ascending, shape (n,).
        timestamps_ms: Kafka timestamp of each record, of a late lane that of its original, shape
            (n,).
        begin: The offset that was read from; None where not known. Offsets between it and the first
            record were no records: markers, aborted or compacted ones.
        headers_at: Where in the buffer of the values the headers of each begin, shape (n,); None
            where they came without.
        late_from: Offset of the original of each record of a late lane, shape (n,); None for a
            slice of an activity topic.
        stored: Which of a late lane the store has booked already, shape (n,); None unasked.
    """

    topic: str
    partition: int
    values: Raw
    keys: Raw
    offsets: Int64Array
    timestamps_ms: Int64Array
    begin: int | None = None
    headers_at: Int64Array | None = None
    late_from: Int64Array | None = None
    stored: BoolArray | None = None

    @classmethod
    def of(cls, topic: str, partition: int, records: Records) -> Slice:
        """Return the slice of fetched records, at least one.

        Raises:
            NotOurs: It is of a late lane, and somebody else has written there.
        """
        late_from, timestamps_ms = None, records.timestamps_ms
        if topic in ORIGINAL_OF:
            late_from, timestamps_ms = _originals(partition, records)
        return cls(
            topic=topic,
            partition=partition,
            values=records.values,
            keys=records.keys,
            offsets=records.offsets,
            timestamps_ms=timestamps_ms,
            begin=None if records.begin < 0 else records.begin,
            headers_at=records.headers_at,
            late_from=late_from,
        )

    def __len__(self) -> int:
        return len(self.values)

    def coordinates(self) -> dict[str, Any]:
        """Return which slice it is, as the log and traces say it."""
        return {
            "topic": self.topic,
            "partition": self.partition,
            "first_offset": int(self.offsets[0]),
            "last_offset": int(self.offsets[-1]),
            "records": len(self),
        }

    @property
    def next_offset(self) -> int:
        """The offset after the last record."""
        return int(self.offsets[-1]) + 1

    @property
    def source_topic(self) -> str:
        """The activity topic that its records were sent to."""
        return ORIGINAL_OF.get(self.topic, self.topic)

    @property
    def source_offsets(self) -> Int64Array:
        """The offset of each record on that topic, shape (n,)."""
        return self.offsets if self.late_from is None else self.late_from

    def knowing(self, stored: BoolArray) -> Slice:
        """Return the slice with what the store has said about each record."""
        return replace(self, stored=stored)

    def headers(self, position: int) -> list[tuple[str, bytes]]:
        """Return the headers of a record."""
        if self.headers_at is None:
            return []
        return headers_at(self.values.data, int(self.headers_at[position]))

    def since(self, offset: int) -> Slice:
        """Return the records at or after an offset."""
        first = int(np.searchsorted(self.offsets, offset))
        if first == 0:
            return self
        return Slice(
            self.topic,
            self.partition,
            self.values.since(first),
            self.keys.since(first),
            self.offsets[first:],
            self.timestamps_ms[first:],
            offset,
            None if self.headers_at is None else self.headers_at[first:],
            None if self.late_from is None else self.late_from[first:],
            None if self.stored is None else self.stored[first:],
        )


def _originals(partition: int, records: Records) -> tuple[Int64Array, Int64Array]:
    """Return offsets and timestamps of the originals of the records of a late lane."""
    originals = np.empty((2, len(records)), dtype=np.int64)
    for index in range(len(records)):
        found = dict(records.headers(index)).get(LATE_FROM, b"")
        match = _ORIGINAL.fullmatch(found)
        if match is None or int(match[1]) != partition:
            raise NotOurs(
                f"offset {records.offsets[index]} of a late lane, partition {partition}: "
                f"{LATE_FROM} is {found!r}"
            )
        originals[:, index] = int(match[2]), int(match[3])
    return originals[0], originals[1]
