"""Queries: the rows that a database answers, as columns, through ADBC.

ADBC is Arrow's interface to databases: a DB-API connection whose cursors also give record batches,
so no row ever becomes a Python object. There is a driver for SQLite, PostgreSQL and DuckDB in the
extra `sql`, and one for others (Snowflake, BigQuery, Flight SQL, ...) in packages of their own; the
address says which.

A load that goes on needs to know where it was. A query in itself has no order, so a cursor is
asked for: a column that only grows, such as when a row was written. The query is then ordered by
it, and goes on *at* its last value: rows of that value come twice, and are booked once.

    QueryError    there is no such driver, the database says no, or the cursor can't be one
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pyarrow as pa

from producers.arrow_rows import arrow_blocks, gathered
from producers.checkpoint import Reached
from producers.files import MappedRows
from producers.pseudonyms import Pseudonyms
from producers.rows import RowMapper
from producers.rules import FileMapping
from producers.sources import check_columns


class QueryError(Exception):
    """The database can't be asked; the message says why, and never with the address."""


@dataclass(frozen=True, slots=True)
class _Driver:
    """How a driver is called.

    Attributes:
        module: Its DB-API module.
        package: What is installed for it.
        place: What of an address is given to it.
        mark: How it writes the place of a parameter.
    """

    module: str
    package: str
    place: Callable[[str], str]
    mark: str = "?"


def _path(address: str) -> str:
    """Return the path behind `scheme:///`: absolute with four slashes, as elsewhere.

    Raises:
        QueryError: No file is there; one must not be made by asking for it.
    """
    path = address.partition(":///")[2]
    if not Path(path).is_file():
        raise QueryError(f"there is no database {path}")
    return path


def _read_only(address: str) -> str:
    return f"file:{quote(_path(address))}?mode=ro"


def _whole(address: str) -> str:
    return address


DRIVERS: Final = {
    "sqlite": _Driver("adbc_driver_sqlite.dbapi", "adbc-driver-sqlite", _read_only),
    "duckdb": _Driver("adbc_driver_duckdb.dbapi", "duckdb", _path),
    "postgresql": _Driver("adbc_driver_postgresql.dbapi", "adbc-driver-postgresql", _whole, "$1"),
    "snowflake": _Driver("adbc_driver_snowflake.dbapi", "adbc-driver-snowflake", _whole),
    "grpc+tls": _Driver("adbc_driver_flightsql.dbapi", "adbc-driver-flightsql", _whole),
}


@dataclass(frozen=True, slots=True)
class QueryFeed:
    """The rows of a query.

    Attributes:
        address: Of the database, such as postgresql://user:secret@host/warehouse; never shown.
        query: One SELECT.
        name: What messages and refusals call it.
        cursor: A column that only grows, for a load that goes on; empty where none does.
    """

    address: str
    query: str
    name: str
    cursor: str = ""

    @property
    def version(self) -> str:
        """The query as it is written; where it asks is no part of it."""
        return sha256(f"{self.cursor}\0{self.query}".encode()).hexdigest()[:16]

    def columns(self, mapping: FileMapping) -> str:
        """Return nothing: what a database answers is no CSV."""
        del mapping
        return ""

    @property
    def grows(self) -> bool:
        """Return whether there may be more behind what was read to its end."""
        return True

    def check(self, mapping: FileMapping) -> None:
        """Ask for no rows, to raise at once what a load would raise.

        Raises:
            QueryError: The database can't be asked, or there is no such cursor.
            MappingError: The mapping doesn't fit the columns.
        """
        with self._asked(f"SELECT * FROM (\n{self._bare}\n) AS asked WHERE 1 = 0", None) as reader:
            self._check(reader.schema.names, mapping)

    def blocks(
        self, mapping: FileMapping, pseudonyms: Pseudonyms | None, reached: Reached, rows_max: int
    ) -> Generator[MappedRows]:
        """Yield the rows of the query, from the cursor's last value on."""
        mapper = RowMapper(mapping, pseudonyms, coded=True)
        behind = reached.behind
        last = _batch_of(reached.cursor) if self.cursor and reached.cursor else None
        with self._asked(self._ordered(last), last) as reader:
            self._check(reader.schema.names, mapping)
            for batch in gathered(reader, rows_max):
                cursor = self._last(batch) if self.cursor else ""
                (block,) = arrow_blocks([batch], mapping, begun=behind, rows_max=batch.num_rows)
                behind = block.behind
                mapped, refused = mapper.batch(block.rows, file=self.name)
                yield MappedRows(mapped, refused, 0, 0, behind, cursor)

    @property
    def _bare(self) -> str:
        return self.query.strip().rstrip(";")

    def _ordered(self, last: pa.RecordBatch | None) -> str:
        """Return the query as it is asked."""
        if not self.cursor:
            return self._bare
        name = '"' + self.cursor.replace('"', '""') + '"'
        behind = f"WHERE {name} >= {self._driver.mark} " if last is not None else ""
        return f"SELECT * FROM (\n{self._bare}\n) AS asked {behind}ORDER BY {name}"

    def _check(self, names: Sequence[str], mapping: FileMapping) -> None:
        check_columns(mapping, names, file=self.name)
        if self.cursor and self.cursor not in names:
            raise QueryError(f"{self.name} has no column {self.cursor!r} to be its cursor")

    def _last(self, batch: pa.RecordBatch) -> str:
        """Return the cursor of the last row as text."""
        column = batch.column(self.cursor)
        if column.null_count:
            raise QueryError(f"{self.name}: {self.cursor} is null in a row, and so no cursor")
        last = pa.RecordBatch.from_arrays([column.slice(len(column) - 1)], names=[self.cursor])
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, last.schema) as stream:
            stream.write_batch(last)
        return base64.b64encode(sink.getvalue()).decode()

    @property
    def _driver(self) -> _Driver:
        scheme = self.address.partition("://")[0]
        driver = DRIVERS.get(scheme)
        if driver is None:
            known = ", ".join(f"{name}://" for name in DRIVERS)
            raise QueryError(f"an address begins with one of {known}")
        return driver

    @contextmanager
    def _asked(self, sql: str, parameter: pa.RecordBatch | None) -> Iterator[Any]:
        """Ask the database, and give the reader of what it answers."""
        driver = self._driver
        try:
            module = import_module(driver.module)
        except ImportError as wrong:
            raise QueryError(
                f"this database needs the extra carbonflow[sql], or {driver.package} alone"
            ) from wrong
        try:
            with (
                closing(module.connect(driver.place(self.address))) as connection,
                closing(connection.cursor()) as cursor,
            ):
                cursor.execute(sql, parameter)
                yield cursor.fetch_record_batch()
        except (module.Error, pa.ArrowException, OSError, UnicodeError) as wrong:
            said = " ".join(str(wrong).replace(self.address, "...").split())
            raise QueryError(f"{self.name}: {said}") from wrong


def _batch_of(cursor: str) -> pa.RecordBatch:
    """Return the value that a checkpoint keeps."""
    with pa.ipc.open_stream(base64.b64decode(cursor)) as stream:
        return stream.read_next_batch()
