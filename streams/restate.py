"""Restating: stored activities rated again, by the programmes and factors in force now. Pure.

A restatement runs the very lines that the step runs (`streams.activities.rate_by_programme`), on
columns as the store keeps them. It rates what is stored, row by row. Whether a row was booked is
the ledger's to say: a repeat is stored as often as it was reported, and what the step refuses
before it rates (an identity, a correction, an account of another programme) is not refused here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from carbon.exact import Int32Array, Int64Array
from carbon.factors import FactorTable
from carbon.programmes import Programme
from carbon.rate import Rated
from streams.activities import columns_of, rate_by_programme, words


@dataclass(frozen=True, slots=True, eq=False)
class Restated:
    """What stored activities amount to now, shape (n,) each.

    Attributes:
        partition: Partition of the record in its topic, ...
        offset: ... and its offset: together the `source_*` of the transfers it was booked by.
        rated: Amounts, factors and refusals.
    """

    partition: Int32Array
    offset: Int64Array
    rated: Rated

    def __len__(self) -> int:
        return len(self.offset)


def restate(
    record: str,
    stored: Iterable[pa.RecordBatch],
    programmes: Mapping[str, Programme],
    factors: FactorTable,
) -> Iterator[Restated]:
    """Yield what stored activities amount to, batch by batch.

    Args:
        record: charging_session or freight_trip.
        stored: Batches of the columns that rating needs, with `_partition` and `_offset`
            (`sinks.stored.stored_activities`).
        programmes: The programmes in force by name.
        factors: The factors in force.
    """
    for batch in stored:
        refusal = np.zeros(batch.num_rows, dtype=np.int64)
        rated = rate_by_programme(
            columns_of(record, batch),
            words(batch.column("programme")),
            np.arange(batch.num_rows),
            refusal,
            programmes=programmes,
            factors=factors,
        )
        rated.refusal = refusal
        yield Restated(
            partition=batch.column("_partition").to_numpy(),
            offset=batch.column("_offset").to_numpy(),
            rated=rated,
        )
