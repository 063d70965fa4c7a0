"""Warming up: the kernels of loading compiled ahead of time, so that a load begins at once.

A made-up row goes the whole way: out of the bytes of a CSV, through a mapping, into a batch. An
installation does it with `streams.warm`.
"""

from __future__ import annotations

from io import BytesIO
from typing import Final

from producers.csv_bytes import csv_byte_blocks
from producers.mapping import load_mapping
from producers.rows import RowMapper
from schemas.batches import partitioned_batches

MAPPING: Final = "acn-data"
ROW: Final = (
    b"Session,ChargingStartDateTime,ChargingEndDateTime,Energy,ChargingStation,UserID\n"
    b'S1,2018-10-08T13:25:00Z,2018-10-09T00:00:00Z,6.31,"1-1""-193-816",000000365\n'
)


def warm_up() -> int:
    """Send a row through everything that is compiled; return how many came out."""
    mapping = load_mapping(MAPPING)
    (block,) = csv_byte_blocks(BytesIO(ROW), mapping, file="", rows_max=1)
    batch, _ = RowMapper(mapping, coded=True).batch(block.rows, file="")
    made = partitioned_batches(
        mapping.record, batch, key="account_id", partitions=1, timestamp_ms=0
    )
    return sum(each.record_count() for _, each in made)
