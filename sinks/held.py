"""What a sink holds between two inserts: records as they came, and the rows they became.

`add` takes what was fetched, `decoding` turns it into rows, `rows` gives them up. Where each
partition stands is kept beside them, because offsets are committed only once the rows are stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from aiokafka import TopicPartition

from schemas.records import Records
from sinks.writer import ROUTES, Fetched, Rows, joined, rows_of


@dataclass(slots=True, eq=False)
class Held:
    """Records that were collected and are not yet stored.

    Attributes:
        count: How many.
        size_bytes: Their keys and values.
        undecoded: How many of them are not yet rows.
        begins: Offset of the first of each partition.
        ends: Offset to go on from, of each partition whose position is known.
        last_ms: Kafka timestamp of the last of each partition.
        senders: The spans that records of each topic were sent in, where traces are on.
    """

    count: int = 0
    size_bytes: int = 0
    undecoded: int = 0
    begins: dict[TopicPartition, int] = field(default_factory=dict)
    ends: dict[TopicPartition, int] = field(default_factory=dict)
    last_ms: dict[TopicPartition, int] = field(default_factory=dict)
    senders: dict[str, list[str]] = field(default_factory=dict)
    _fetched: dict[str, list[Fetched]] = field(default_factory=dict)
    _rows: dict[str, list[Rows]] = field(default_factory=dict)

    def add(self, topic: str, partition: TopicPartition, pieces: Sequence[Records]) -> None:
        """Take records of a partition; `topic` is its topic without prefix."""
        self.begins.setdefault(partition, int(pieces[0].offsets[0]))
        self.last_ms[partition] = int(pieces[-1].timestamps_ms[-1])
        for records in pieces:
            self._fetched.setdefault(topic, []).append(Fetched(partition.partition, records))
            self.count += len(records)
            self.undecoded += len(records)
            self.size_bytes += sum(
                int(np.maximum(raw.sizes, 0).sum()) for raw in (records.keys, records.values)
            )

    def decoding(self) -> Callable[[], None]:
        """Return what turns into rows what is undecoded now; `rows` is to be asked for only then.

        It may be called on a thread, while other records are added. It raises BrokenRecordError
        where a record of ours cannot be read.
        """
        fetched, self._fetched, self.undecoded = self._fetched, {}, 0

        def decode() -> None:
            for topic, records in fetched.items():
                self._rows.setdefault(topic, []).append(rows_of(topic, records))

        return decode

    def rows(self) -> Mapping[str, Rows]:
        """Return the rows of each topic there is something of, in the order of ROUTES."""
        assert not self.undecoded, "records must be decoded before they are written"
        return {topic: joined(self._rows[topic]) for topic in ROUTES if topic in self._rows}
