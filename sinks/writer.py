"""Writer: records of one topic become rows of one table.

`rows_of` decodes records by columns and touches nothing; `Writer.write` stores what it made. Each
row carries the place and time of its message (`_partition`, `_offset`, `_timestamp`), and each
table replaces by key, so writing the same records again changes nothing and no deduplication token
has to be trusted. The writer is synchronous and raises whatever the store raises; the caller
decides what that means for its offsets.

    BrokenRecordError a record of a topic only our own worker writes cannot be decoded: a bug, stop
    (skipped)         a record of a topic others write cannot be decoded: the worker refuses it with
    its raw bytes
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from carbon.limits import FOREVER_MS
from schemas.attempts import ATTEMPT, REPLAY_OF, senders
from schemas.columns import decode
from schemas.headers import header_values
from schemas.raw import Raw
from schemas.records import Records
from sinks.connect import Client, database_name

ROWS_AT_A_TIME: Final = 4_096
"""Rows that are decoded together: their columns fit into a core's cache."""

REKEYED_FROM: Final = "rekeyed_from"
_PLACE: Final = re.compile(rb"\d+:\d+")

SETTINGS: Final = {
    # An insert is done when it is stored: offsets are committed on the strength of it.
    "async_insert": 0,
    # Activities of many months may come at once, and broken clocks must not stop the sink.
    "max_partitions_per_insert_block": 0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where a topic goes.

    Attributes:
        table: Its table.
        record: The Avro record its values are, None for raw bytes with headers.
        foreign: Whether others write to it; then what can't be decoded is skipped.
        rekeyed: Whether its records may carry the header `rekeyed_from`.
        replaces: Whether its rows often replace each other; then an insert stores the last only.
        without: Fields that are not stored.
        spoken: Fields that say one of a few words. They go to the store as words and a number for
            each row, as it keeps them; it would take a sixth of an insert to find that out.
    """

    table: str
    record: str | None
    foreign: bool = False
    rekeyed: bool = False
    replaces: bool = False
    without: frozenset[str] = frozenset()
    spoken: frozenset[str] = frozenset()


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


# In this order: what explains a transfer is there before it, and balances come last.
ROUTES: Mapping[str, Route] = {
    "emission-factors": Route(table="factors", record="emission_factor", foreign=True),
    "charging-sessions": Route(
        table="charging_sessions",
        record="charging_session",
        foreign=True,
        rekeyed=True,
        spoken=words("source programme vehicle_class grid_region meter_side current operator_id"),
    ),
    "freight-trips": Route(
        table="freight_trips",
        record="freight_trip",
        foreign=True,
        rekeyed=True,
        spoken=words(
            "source programme vehicle_class energy_carrier distance_basis origin_region "
            "destination_region data_grade"
        ),
    ),
    "refusals": Route(table="refusals", record=None),
    "transfers": Route(
        table="transfers",
        record="transfer",
        spoken=words(
            "kind quantity activity source programme programme_digest region vehicle_class method "
            "factor_id factor_release factor_match source_topic"
        ),
    ),
    "account-balances": Route(
        table="balances",
        record="account_balance",
        replaces=True,
        # The worker's memory, not the account's: large, and of no use to a reader.
        without=words("seen seen_days forgotten_until"),
        spoken=words("programme"),
    ),
}


class BrokenRecordError(Exception):
    """A record of ours cannot be read; it must not be passed over."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Records of a partition of some topic."""

    partition: int
    records: Records


@dataclass(frozen=True, slots=True)
class Rows:
    """What became of some records of a topic: rows of its table, and records skipped, by code."""

    topic: str
    table: pa.Table
    skipped: Mapping[str, int]

    def timestamps_ms(self) -> npt.NDArray[np.int64]:
        """Return the Kafka timestamp of each row's record."""
        chunks = self.table.column("_timestamp").chunks
        return np.concatenate([chunk.view(pa.int64()).to_numpy() for chunk in chunks])


class Writer:
    """Inserts rows into the tables of one database."""

    def __init__(self, client: Client, *, database: str = "carbonflow") -> None:
        self._client = client
        self._database = database_name(database)

    def write(self, rows: Rows) -> None:
        """Insert the rows of a topic, in one insert.

        Raises:
            StoreError: The store refused, or is away.
        """
        route = ROUTES[rows.topic]
        # Rows of a key are merged when read, and later for good. Looking for some in the insert
        # itself, too, is more than half of its work, and most topics have hardly any.
        settings = SETTINGS | {"optimize_on_insert": int(route.replaces)}
        if rows.table.num_rows:
            # Each piece has words of its own; an insert can have one list of them.
            table = rows.table.unify_dictionaries()
            self._client.insert_arrow(
                route.table, table, database=self._database, settings=settings
            )


def joined(parts: Sequence[Rows]) -> Rows:
    """Return rows of one topic, some at least, as one."""
    skipped: Counter[str] = Counter()
    for part in parts:
        skipped.update(part.skipped)
    return Rows(parts[0].topic, pa.concat_tables([part.table for part in parts]), skipped)


def rows_of(topic: str, fetched: Sequence[Fetched]) -> Rows:
    """Return the rows of records of one topic.

    Args:
        topic: The topic's name without prefix.
        fetched: Its records, of any partitions, some at least.

    Raises:
        BrokenRecordError: A record of a topic only we write cannot be read.
    """
    rows = _refusals if ROUTES[topic].record is None else _decoded
    return joined([rows(topic, _Group(part)) for part in _grouped(fetched)])


def _grouped(fetched: Iterable[Fetched]) -> Iterator[list[Fetched]]:
    """Put small parts together and leave large ones alone."""
    group: list[Fetched] = []
    count = 0
    for part in fetched:
        if group and count + len(part.records) > ROWS_AT_A_TIME:
            yield group
            group, count = [], 0
        group.append(part)
        count += len(part.records)
    yield group


class _Group:
    """Records that are decoded together, n of them."""

    def __init__(self, parts: Sequence[Fetched]) -> None:
        records = [part.records for part in parts]
        counts = [len(each) for each in records]
        self.parts = parts
        self.partition = np.repeat(
            np.array([part.partition for part in parts], dtype=np.int32), counts
        )
        self.offset = np.concatenate([each.offsets for each in records])
        self.timestamp_ms = np.concatenate([each.timestamps_ms for each in records])
        self.values = Raw.together([each.values for each in records])

    def place(self, position: int) -> str:
        """Return partition and offset of a record, for people."""
        return f"{self.partition[position]}:{self.offset[position]}"

    def places(self, positions: npt.NDArray[np.int64]) -> dict[str, pa.Array]:
        """Return the columns that say where and when the records of some positions were."""
        timestamp = pa.array(self.timestamp_ms[positions])
        return {
            "_partition": pa.array(self.partition[positions]),
            "_offset": pa.array(self.offset[positions]),
            "_timestamp": timestamp.view(pa.timestamp("ms", "UTC")),
        }

    def rekeyed_from(self, positions: npt.NDArray[np.int64]) -> pa.Array:
        """Return where the records of some positions were found before they were put right."""
        found: dict[int, str] = {}
        base = 0
        for part in self.parts:
            places = header_values(part.records.values.data, part.records.headers_at, REKEYED_FROM)
            for index in np.flatnonzero(places.sizes >= 0).tolist():
                place = places[index]
                if place is not None and _PLACE.fullmatch(place):
                    found[base + index] = place.decode()
            base += len(part.records)
        if not found:
            return pa.nulls(len(positions), pa.string())
        return pa.array([found.get(position) for position in positions.tolist()], pa.string())


def _decoded(topic: str, group: _Group) -> Rows:
    route = ROUTES[topic]
    assert route.record is not None, f"{topic} carries no Avro record"
    decoded = decode(route.record, group.values)
    if decoded.refused and not route.foreign:
        first = decoded.refused[0]
        raise BrokenRecordError(
            f"{topic} {group.place(first.position)}: {first.code}: {first.reason}"
        )
    columns = {
        name: column.dictionary_encode() if name in route.spoken else column
        for name, column in zip(decoded.batch.schema.names, decoded.batch.columns, strict=True)
        if name not in route.without
    }
    columns |= group.places(decoded.positions)
    if route.rekeyed:
        columns["_rekeyed_from"] = group.rekeyed_from(decoded.positions)
    return Rows(topic, pa.table(columns), Counter(bad.code for bad in decoded.refused))


def _refusals(topic: str, group: _Group) -> Rows:
    """Return the rows of refusals: headers become columns, key and value stay raw bytes."""
    rows = []
    position = 0
    for part in group.parts:
        records = part.records
        for index in range(len(records)):
            try:
                rows.append(_refusal(records, index))
            except ValueError as error:
                raise BrokenRecordError(f"{topic} {group.place(position)}: {error}") from error
            position += 1
    topics, keys, values = ([row[name] for row in rows] for name in ("topic", "key", "value"))
    for row, sender in zip(rows, senders(topics, keys, values), strict=True):
        row |= {"source": sender.source, "account_id": sender.account_id}
    table = pa.Table.from_pylist(rows, schema=_REFUSALS)
    for name, column in group.places(np.arange(position, dtype=np.int64)).items():
        table = table.append_column(name, column)
    return Rows(topic, table, {})


_REFUSALS: Final = pa.schema(
    {
        "code": pa.string(),
        "reason": pa.string(),
        "origin": pa.string(),
        "topic": pa.string(),
        "partition": pa.int32(),
        "offset": pa.int64(),
        "timestamp": pa.timestamp("ms", "UTC"),
        "file": pa.string(),
        "line": pa.int64(),
        "source": pa.string(),
        "account_id": pa.string(),
        "attempt": pa.int32(),
        "replay_of": pa.string(),
        "value_bytes": pa.int64(),
        "key": pa.binary(),
        "value": pa.binary(),
    }
)


def _refusal(records: Records, index: int) -> dict[str, Any]:
    """Return a refusal as a row; raise ValueError if a header is not what ARCHITECTURE says."""
    headers = {name: value.decode() for name, value in records.headers(index)}
    if not {"code", "origin"} <= headers.keys():
        raise ValueError("it lacks code or origin")
    return {
        "code": headers["code"],
        "reason": headers.get("reason", ""),
        "origin": headers["origin"],
        "topic": headers.get("topic", ""),
        "partition": _number(headers.get("partition")),
        "offset": _number(headers.get("offset")),
        "timestamp": _instant(headers.get("timestamp")),
        "file": headers.get("file", ""),
        "line": _number(headers.get("line")),
        "attempt": _number(headers.get(ATTEMPT)) or 0,
        "replay_of": headers.get(REPLAY_OF, ""),
        "value_bytes": _number(headers.get("bytes")),
        "key": records.keys[index],
        "value": records.values[index] or b"",
    }


def _instant(text: str | None) -> int | None:
    """Return an instant, None outside the years 1970 to 9999: whoever reads it has no others."""
    number = _number(text)
    return number if number is None or 0 <= number < FOREVER_MS else None


def _number(text: str | None) -> int | None:
    return int(text) if text else None
