"""Writer: records of one topic become rows of one table.

Each row carries the place and time of its message (`_partition`, `_offset`, `_timestamp`), and each
table replaces by key, so writing the same records again changes nothing and no deduplication token
has to be trusted. The writer is synchronous and raises whatever the store raises; the caller
decides what that means for its offsets.

    BrokenRecordError a record of a topic only our own worker writes cannot be decoded: a bug, stop
    (skipped)         a record of a topic others write cannot be decoded: the worker refuses it with
    its raw bytes
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from schemas.columns import decode
from sinks.connect import Client, database_name


class Message(Protocol):
    """What the writer reads of a Kafka record; aiokafka's `ConsumerRecord` is one."""

    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where a topic goes.

    Attributes:
        table: Its table.
        record: The Avro record its values are, None for raw bytes with headers.
        foreign: Whether others write to it; then what can't be decoded is skipped.
        rekeyed: Whether its records may carry the header `rekeyed_from`.
        without: Fields that are not stored.
    """

    table: str
    record: str | None
    foreign: bool = False
    rekeyed: bool = False
    without: frozenset[str] = frozenset()


# In this order: what explains a transfer is there before it, and balances come last.
ROUTES: Mapping[str, Route] = {
    "emission-factors": Route(table="factors", record="emission_factor", foreign=True),
    "charging-sessions": Route(
        table="charging_sessions", record="charging_session", foreign=True, rekeyed=True
    ),
    "freight-trips": Route(
        table="freight_trips", record="freight_trip", foreign=True, rekeyed=True
    ),
    "refusals": Route(table="refusals", record=None),
    "transfers": Route(table="transfers", record="transfer"),
    "account-balances": Route(
        table="balances",
        record="account_balance",
        # The worker's memory, not the account's: large, and of no use to a reader.
        without=frozenset({"seen", "seen_days", "forgotten_until"}),
    ),
}


class BrokenRecordError(Exception):
    """A record of ours cannot be read; it must not be passed over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of some records: rows inserted into `table`, and records skipped, by code."""

    table: str
    rows: int
    skipped: Mapping[str, int]


class Writer:
    """Inserts the records of Carbonflow's topics into their tables."""

    def __init__(self, client: Client, *, database: str = "carbonflow") -> None:
        self._client = client
        self._database = database_name(database)

    def write(self, topic: str, messages: Sequence[Message]) -> Written:
        """Insert the records of one topic.

        Args:
            topic: The topic's name without prefix.
            messages: Its records, of any partitions.

        Raises:
            BrokenRecordError: A record of a topic only we write cannot be read.
            StoreError: The store refused, or is away.
        """
        route = ROUTES[topic]
        if route.record is None:
            table, skipped = refusal_rows(messages), dict[str, int]()
        else:
            table, skipped = decoded_rows(topic, route, messages)
        if table.num_rows:
            self._client.insert_arrow(
                route.table,
                table,
                database=self._database,
                settings={
                    # An insert is done when it is stored: offsets are committed on the strength of
                    # it.
                    "async_insert": 0,
                    # Activities of many months may come at once, and broken clocks must not stop
                    # the sink.
                    "max_partitions_per_insert_block": 0,
                },
            )
        return Written(table=route.table, rows=table.num_rows, skipped=skipped)


def decoded_rows(
    topic: str, route: Route, messages: Sequence[Message]
) -> tuple[pa.Table, dict[str, int]]:
    """Return the rows of Avro records, and how many records were skipped by code.

    Raises:
        BrokenRecordError: A record could not be decoded and `route.foreign` is false.
    """
    if route.record is None:
        raise ValueError(f"{topic} carries no Avro record")
    decoded = decode(route.record, [message.value for message in messages])
    if decoded.refused and not route.foreign:
        first = decoded.refused[0]
        message = messages[first.position]
        raise BrokenRecordError(
            f"{topic} {message.partition}:{message.offset}: {first.code}: {first.reason}"
        )
    skipped: dict[str, int] = {}
    for undecodable in decoded.refused:
        skipped[undecodable.code] = skipped.get(undecodable.code, 0) + 1
    columns = {
        name: decoded.batch.column(name)
        for name in decoded.batch.schema.names
        if name not in route.without
    }
    columns |= _places(messages, decoded.positions)
    if route.rekeyed:
        kept = (messages[position] for position in decoded.positions.tolist())
        columns["_rekeyed_from"] = pa.array(
            (_rekeyed_from(message.headers) for message in kept), pa.string()
        )
    return pa.table(columns), skipped


def refusal_rows(messages: Sequence[Message]) -> pa.Table:
    """Return the rows of refusals: headers become columns, key and value stay raw bytes.

    Raises:
        BrokenRecordError: A header is missing or not what ARCHITECTURE says.
    """
    headers = []
    for message in messages:
        try:
            headers.append({name: value.decode() for name, value in message.headers})
            if not {"code", "origin"} <= headers[-1].keys():
                raise ValueError("it lacks code or origin")
        except ValueError as error:
            raise BrokenRecordError(
                f"refusals {message.partition}:{message.offset}: {error}"
            ) from error
    try:
        columns = {
            "code": pa.array([header["code"] for header in headers], pa.string()),
            "reason": pa.array([header.get("reason", "") for header in headers], pa.string()),
            "origin": pa.array([header["origin"] for header in headers], pa.string()),
            "topic": pa.array([header.get("topic", "") for header in headers], pa.string()),
            "partition": pa.array(
                [_number(header.get("partition")) for header in headers], pa.int32()
            ),
            "offset": pa.array([_number(header.get("offset")) for header in headers], pa.int64()),
            "timestamp": pa.array(
                [_number(header.get("timestamp")) for header in headers], pa.int64()
            ).cast(pa.timestamp("ms", "UTC")),
            "file": pa.array([header.get("file", "") for header in headers], pa.string()),
            "line": pa.array([_number(header.get("line")) for header in headers], pa.int64()),
            "key": pa.array([message.key for message in messages], pa.binary()),
            "value": pa.array([message.value or b"" for message in messages], pa.binary()),
        }
    except ValueError as error:
        first, last = messages[0], messages[-1]
        raise BrokenRecordError(
            f"refusals {first.partition}:{first.offset} to {last.partition}:{last.offset}: {error}"
        ) from error
    return pa.table(columns | _places(messages, np.arange(len(messages), dtype=np.int64)))


def _places(messages: Sequence[Message], positions: np.ndarray) -> dict[str, pa.Array]:
    count = len(messages)
    partition = np.fromiter((message.partition for message in messages), np.int32, count)
    offset = np.fromiter((message.offset for message in messages), np.int64, count)
    timestamp = np.fromiter((message.timestamp for message in messages), np.int64, count)
    return {
        "_partition": pa.array(partition[positions]),
        "_offset": pa.array(offset[positions]),
        "_timestamp": pa.array(timestamp[positions]).cast(pa.timestamp("ms", "UTC")),
    }


def _rekeyed_from(headers: Sequence[tuple[str, bytes]]) -> str | None:
    for name, value in headers:
        if name == "rekeyed_from":
            return value.decode()
    return None


def _number(text: str | None) -> int | None:
    return int(text) if text else None
