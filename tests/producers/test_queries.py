"""What a database answers becomes records, and a load of it goes on where it was."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from producers.checkpoint import Reached
from producers.files import MappedRows
from producers.mapping import MappingError, parse_mapping
from producers.queries import QueryError, QueryFeed

MAPPING = parse_mapping(
    """
name = "warehouse"
record = "charging_session"
zone = "UTC"
[fields]
session_id = "id"
source = { value = "s" }
account_id = "customer"
programme = { value = "cn-charging" }
vehicle_class = { value = "car" }
grid_region = { value = "CN-BJ" }
started_at = "began"
ended_at = "ended"
energy_wh = { column = "energy", unit = "kWh" }
meter_side = { value = "grid" }
current = { value = "ac" }
operator_id = { value = "" }
evse_id = { value = "" }
""",
    origin="warehouse.toml",
)
NOON = datetime(2023, 7, 1, 12)  # noqa: DTZ001
COUNT = 1_000
QUERY = "SELECT id, customer, began, ended, energy, written FROM sessions"

Row = tuple[int, str | None, datetime, datetime, str, int]
Made = Callable[[list[Row]], str]


def rows(first: int = 0, count: int = COUNT) -> list[Row]:
    """Return sessions; ten of them are written at a time."""
    return [
        (
            number,
            f"customer-{number % 7}",
            NOON + timedelta(minutes=number),
            NOON + timedelta(minutes=number + 30),
            f"{number % 50}.25",
            number // 10,
        )
        for number in range(first, first + count)
    ]


@pytest.fixture(params=["sqlite", "duckdb"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    """Writes rows into a database, which it makes, and returns its address."""
    path = tmp_path / "warehouse.db"

    def in_sqlite(some: list[Row]) -> str:
        database = sqlite3.connect(path)
        with database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS sessions "
                "(id INTEGER, customer TEXT, began TEXT, ended TEXT, energy TEXT, written INTEGER)"
            )
            database.executemany(
                "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?)",
                [(a, b, c.isoformat(), d.isoformat(), e, f) for a, b, c, d, e, f in some],
            )
        database.close()
        return f"sqlite:///{path}"

    def in_duckdb(some: list[Row]) -> str:
        with duckdb.connect(str(path)) as database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS sessions (id BIGINT, customer VARCHAR, began TIMESTAMP,"
                " ended TIMESTAMPTZ, energy DECIMAL(9, 3), written BIGINT)"
            )
            database.execute("SET TimeZone = 'UTC'")
            database.executemany("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?)", some)
        return f"duckdb:///{path}"

    return {"sqlite": in_sqlite, "duckdb": in_duckdb}[request.param]


def feed(address: str, query: str = QUERY, cursor: str = "") -> QueryFeed:
    return QueryFeed(address, query, "sessions.sql", cursor)


def read(one: QueryFeed, reached: Reached | None = None, rows_max: int = 300) -> list[MappedRows]:
    begun = reached or Reached(version=one.version)
    return list(one.blocks(MAPPING, None, begun, rows_max))


def ids(blocks: list[MappedRows]) -> list[int]:
    return [int(one) for block in blocks for one in block.batch["session_id"].to_pylist()]


def test_the_rows_of_a_query_are_mapped_exactly(made: Made) -> None:
    blocks = read(feed(made(rows()), f"{QUERY} ORDER BY id;"))
    assert [block.batch.num_rows for block in blocks] == [300, 300, 300, 100]
    found = [row for block in blocks for row in block.batch.to_pylist()]
    assert [row["energy_wh"] for row in found] == [
        Decimal(f"{number % 50}.25") * 1000 for number in range(COUNT)
    ]
    assert [row["started_at"] for row in found] == [row[2] for row in rows()]
    assert [row["ended_at"] for row in found] == [row[3] for row in rows()]
    assert [row["account_id"] for row in found] == [row[1] for row in rows()]


def test_a_row_that_cannot_be_mapped_has_its_number_and_its_columns(made: Made) -> None:
    bad: list[Row] = [(7, None, NOON, NOON, "1", 0)]
    blocks = read(feed(made([*rows(count=2), *bad, *rows(2, 1)])))
    (refused,) = (row for block in blocks for row in block.refused)
    assert (refused.file, refused.line, refused.code) == ("sessions.sql", 3, "row_missing_value")
    assert b'"id": "7", "customer": null' in refused.raw
    assert ids(blocks) == [0, 1, 2]


def test_a_load_goes_on_at_the_last_value_of_its_cursor(made: Made) -> None:
    one = feed(made(rows()), cursor="written")
    first, *_ = read(one)
    assert first.behind.rows == 300
    reached = Reached(version=one.version, behind=first.behind, cursor=first.cursor)
    # The rows of the last value come again, for there may be more of it.
    assert ids(read(one, reached)) == list(range(290, COUNT))


def test_a_load_of_a_query_that_grew_takes_what_is_new(made: Made) -> None:
    one = feed(made(rows()), cursor="written")
    last = read(one)[-1]
    made(rows(COUNT, 50))
    reached = Reached(version=one.version, behind=last.behind, cursor=last.cursor, is_done=True)
    blocks = read(one, reached)
    assert ids(blocks) == list(range(COUNT - 10, COUNT + 50))
    assert blocks[-1].behind.rows == COUNT + 60


def test_a_cursor_of_times_goes_on_too(made: Made) -> None:
    one = feed(made(rows()), cursor="began")
    first, *_ = read(one)
    reached = Reached(version=one.version, behind=first.behind, cursor=first.cursor)
    assert ids(read(one, reached)) == list(range(299, COUNT))


def test_a_cursor_that_is_null_somewhere_is_none(made: Made) -> None:
    one = feed(made([(7, None, NOON, NOON, "1", 0), *rows(count=3)]), cursor="customer")
    with pytest.raises(QueryError, match="customer is null in a row"):
        read(one)


def test_a_cursor_must_be_a_column(made: Made) -> None:
    with pytest.raises(QueryError, match="no column 'writen'"):
        feed(made(rows(count=1)), cursor="writen").check(MAPPING)


def test_a_query_without_a_column_of_the_mapping_is_told_at_once(made: Made) -> None:
    one = feed(made(rows(count=1)), "SELECT id, customer, began, ended FROM sessions -- all")
    with pytest.raises(MappingError, match="'energy'"):
        one.check(MAPPING)


def test_what_the_database_says_is_told_without_its_address(made: Made) -> None:
    address = made(rows(count=1))
    with pytest.raises(QueryError) as wrong:
        feed(address, "SELECT nothing FROM nowhere").check(MAPPING)
    assert "nowhere" in str(wrong.value)
    assert address not in str(wrong.value)


@pytest.mark.parametrize("scheme", ["sqlite", "duckdb"])
def test_a_database_that_is_not_there_is_not_made(tmp_path: Path, scheme: str) -> None:
    with pytest.raises(QueryError, match="there is no database"):
        feed(f"{scheme}:///{tmp_path}/gone.db").check(MAPPING)
    assert list(tmp_path.iterdir()) == []


def test_an_address_that_nobody_knows_says_which_are_known() -> None:
    with pytest.raises(QueryError, match="sqlite://, duckdb://, postgresql://"):
        feed("oracle://host/x").check(MAPPING)


def test_a_driver_that_is_not_installed_says_what_to_install() -> None:
    with pytest.raises(QueryError, match=r"carbonflow\[sql\].*adbc-driver-snowflake"):
        feed("snowflake://host/x").check(MAPPING)


def test_the_version_of_a_query_is_what_is_asked() -> None:
    one: Any = feed("sqlite:///a.db")
    assert one.version == feed("sqlite:///elsewhere.db").version
    assert one.version != feed("sqlite:///a.db", f"{QUERY} WHERE id > 3").version
    assert one.version != feed("sqlite:///a.db", cursor="id").version
