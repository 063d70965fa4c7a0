"""The span of an insert, which links to the slices that its rows come from.

A worker writes the span of a slice into the first transfer, balance and refusal of it; raw sessions
and trips carry that of who sent them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from schemas.records import Records
from schemas.tracing import LINKS_MAX, Tracing, senders_of
from sinks.writer import ROUTES, Rows


def note_senders(found: list[str], pieces: Sequence[Records]) -> None:
    """Add the spans that records were sent in to those found, each once, LINKS_MAX at most."""
    for records in pieces:
        room = LINKS_MAX - len(found)
        if room <= 0:
            return
        spans = senders_of(records.values.data, records.headers_at, spans_max=room).spans
        found.extend(span for span in spans if span not in found)


@contextmanager
def inserting(tracing: Tracing | None, rows: Rows, senders: Sequence[str]) -> Iterator[None]:
    """Record the insert of some rows for as long as the context is entered."""
    if tracing is None:
        yield
        return
    table = ROUTES[rows.topic].table
    span = tracing.span(
        f"insert {table}",
        "client",
        {
            "db.system.name": "clickhouse",
            "db.operation.name": "INSERT",
            "db.collection.name": table,
            "db.operation.batch.size": rows.table.num_rows,
            "messaging.destination.name": rows.topic,
        },
        links=senders,
    )
    if span.traceparent is not None:
        span.note({"carbonflow.offsets": _offsets(rows)})
    try:
        yield
    except BaseException as error:
        span.end(failed=type(error).__name__)
        raise
    span.end()


def _offsets(rows: Rows) -> list[str]:
    """Return first and last offset of each partition, as `partition:first-last`."""
    partitions = rows.table.column("_partition").to_numpy()
    offsets = rows.table.column("_offset").to_numpy()
    found = []
    for partition in np.unique(partitions).tolist():
        mine = offsets[partitions == partition]
        found.append(f"{partition}:{mine.min()}-{mine.max()}")
    return found
