"""Slice: records as columns, and what is left of them at or after an offset."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.raw import Raw
from schemas.records import Records
from streams.slice import Slice
from tests.streams.scene import Event, part_of


def test_records_become_columns() -> None:
    records = Records(
        offsets=np.array([5, 9]),
        timestamps_ms=np.array([100, 90]),
        keys=Raw.of([b"k", None]),
        values=Raw.of([b"a", None]),
        headers_at=np.zeros(2, dtype=np.int64),
    )
    part = Slice.of("charging-sessions", 3, records)
    assert (part.topic, part.partition, len(part)) == ("charging-sessions", 3, 2)
    assert (list(part.values), list(part.keys)) == ([b"a", None], [b"k", None])
    assert (part.offsets.tolist(), part.timestamps_ms.tolist()) == ([5, 9], [100, 90])
    assert part.next_offset == 10


@pytest.mark.parametrize(
    ("offset", "left"),
    [(0, [5, 6, 9]), (5, [5, 6, 9]), (6, [6, 9]), (7, [9]), (9, [9]), (10, []), (99, [])],
)
def test_since_keeps_what_is_at_or_after_an_offset_also_where_offsets_are_missing(
    offset: int, left: list[int]
) -> None:
    whole = part_of([Event(b"a", 1, b"x"), Event(b"b", 2, b"y"), Event(b"c", 3, b"z")])
    part = Slice(
        whole.topic, 0, whole.values, whole.keys, np.array([5, 6, 9]), whole.timestamps_ms
    ).since(offset)
    assert part.offsets.tolist() == left
    names = {5: (b"a", b"x", 1), 6: (b"b", b"y", 2), 9: (b"c", b"z", 3)}
    kept = list(zip(part.values, part.keys, part.timestamps_ms.tolist(), strict=True))
    assert kept == [names[one] for one in left]
