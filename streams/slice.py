"""A slice: consecutive records of one partition, worked as one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carbon.exact import Int64Array
from schemas.raw import Raw
from schemas.records import Records, headers_at


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """Columns of the records of one fetch from one partition.

    Attributes:
        topic: Name of the topic without the deployment's prefix.
        partition: The partition.
        values: Raw values, n of them; a tombstone is a null.
        keys: Raw keys, n of them.
        offsets: Offset of each record, ascending, shape (n,).
        timestamps_ms: Kafka timestamp of each record, shape (n,).
        begin: The offset that was read from; None where not known. Offsets between it and the first
            record were no records: markers, aborted or compacted ones.
        headers_at: Where in the buffer of the values the headers of each begin, shape (n,); None
            where they came without.
    """

    topic: str
    partition: int
    values: Raw
    keys: Raw
    offsets: Int64Array
    timestamps_ms: Int64Array
    begin: int | None = None
    headers_at: Int64Array | None = None

    @classmethod
    def of(cls, topic: str, partition: int, records: Records) -> Slice:
        """Return the slice of fetched records, at least one."""
        return cls(
            topic=topic,
            partition=partition,
            values=records.values,
            keys=records.keys,
            offsets=records.offsets,
            timestamps_ms=records.timestamps_ms,
            begin=None if records.begin < 0 else records.begin,
            headers_at=records.headers_at,
        )

    def __len__(self) -> int:
        return len(self.values)

    @property
    def next_offset(self) -> int:
        """The offset after the last record."""
        return int(self.offsets[-1]) + 1

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
        )
