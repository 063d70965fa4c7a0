"""Stored activities as Arrow, for restating them: the columns that rating needs, page by page.

A page is a month of the store, or a run of offsets where a month is too large. So memory stays
small, the client is free for others between two pages, and it makes no difference whether the store
is a server or chDB, which hands over Arrow only whole. A page that followed the offsets through all
months would read a granule of each. Words come as dictionaries, as the store keeps them: two
thirds of the bytes, and half of the time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from sinks.connect import Client, database_name

PAGE_ROWS: Final = 1_000_000
"""Some 60 MB."""

PLACE: Final = ("_partition", "_offset")
MONTH: Final = "toYYYYMM(_timestamp) = {month:UInt32}"  # What the tables are partitioned by.
RUN: Final = "_partition = {partition:Int32} AND _offset BETWEEN {first:Int64} AND {last:Int64}"
ARROW: Final = (
    "output_format_arrow_low_cardinality_as_dictionary = 1, "
    "output_format_arrow_compression_method = 'none'"
)


@dataclass(frozen=True, slots=True)
class _Kept:
    """Where the activities of a record are kept: their table, the view of it, and its columns."""

    table: str
    view: str
    columns: tuple[str, ...]


KEPT: Final[Mapping[str, _Kept]] = {
    "charging_session": _Kept(
        "charging_sessions",
        "sessions",
        (
            "programme",
            "vehicle_class",
            "grid_region",
            "started_at",
            "ended_at",
            "energy_wh",
            "meter_side",
            "current",
        ),
    ),
    "freight_trip": _Kept(
        "freight_trips",
        "trips",
        (
            "programme",
            "vehicle_class",
            "energy_carrier",
            "departed_at",
            "arrived_at",
            "distance_m",
            "distance_basis",
            "cargo_kg",
            "empty_distance_m",
            "energy_used",
            "origin_region",
        ),
    ),
}


def stored_activities(
    client: Client, record: str, *, database: str = "carbonflow", page_rows: int = PAGE_ROWS
) -> Iterator[pa.RecordBatch]:
    """Yield the activities that are stored, each once, month by month of their records.

    What is stored meanwhile may be among them or not. Within a month rows come in any order.

    Args:
        client: A client to the store.
        record: charging_session or freight_trip.
        database: Database that holds the tables.
        page_rows: How many rows may lie in memory at once.
    """
    kept, name = KEPT[record], database_name(database)
    table = f"{name}.{kept.table}"
    columns = ", ".join((*PLACE, *kept.columns))
    select = f"SELECT {columns} FROM {name}.{kept.view} WHERE {MONTH}"
    months = client.query(
        f"SELECT toUInt32(_partition_id) AS month, count() FROM {table} "
        "GROUP BY month ORDER BY month"
    ).result_rows
    for month, rows in months:
        if rows <= page_rows:
            yield from _batches(client, select, month=month)
            continue
        bounds = client.query(
            f"SELECT _partition, min(_offset), max(_offset) FROM {table} WHERE {MONTH} "
            "GROUP BY _partition ORDER BY _partition",
            parameters={"month": month},
        ).result_rows
        for partition, first, last in bounds:
            for begin in range(first, last + 1, page_rows):
                place = {"partition": partition, "first": begin, "last": begin + page_rows - 1}
                yield from _batches(client, f"{select} AND {RUN}", month=month, **place)


def _batches(client: Client, sql: str, **values: int) -> list[pa.RecordBatch]:
    page = client.query_arrow(f"{sql} SETTINGS {ARROW}", parameters=values)
    batches: list[pa.RecordBatch] = page.to_batches()
    return batches
