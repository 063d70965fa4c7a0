"""Migrations on both stores."""

from dataclasses import replace

import pytest
from clickhouse_connect.driver.client import Client

from sinks.migrate import Migration, MigrationError, migrate, pending, rendered, shipped
from sinks.queries import Queries, RefusalFilter
from tests.sinks.facts import Facts, refusal

TABLES = {
    "balances",
    "charging_sessions",
    "erasures",
    "factors",
    "freight_trips",
    "migrations",
    "refusals",
    "transfers",
}
VIEWS = {
    *("accounts", "ledger", "published_factors", "refused", "replays", "sessions", "trips"),
    *("session_places", "trip_places"),
}


def test_an_empty_store_gets_all_tables_and_views(client: Client, empty: str) -> None:
    assert migrate(client, database=empty) == tuple(file.version for file in shipped())
    rows = client.query(f"SELECT name FROM system.tables WHERE database = '{empty}'").result_rows
    assert {name for (name,) in rows} == TABLES | VIEWS


def test_migrating_again_does_nothing(client: Client, empty: str) -> None:
    migrate(client, database=empty)
    assert migrate(client, database=empty) == ()
    assert pending(client, database=empty) == ()


def test_a_changed_migration_is_refused(client: Client, empty: str) -> None:
    migrate(client, database=empty)
    first, *others = shipped()
    with pytest.raises(MigrationError, match="has changed since it was applied"):
        migrate(
            client, database=empty, migrations=[replace(first, text=first.text + "\n"), *others]
        )


def test_a_newer_database_is_refused(client: Client, empty: str) -> None:
    newest = Migration(len(shipped()) + 1, "9999_newer.sql", "SELECT 1;\n")
    migrate(client, database=empty, migrations=[*shipped(), newest])
    with pytest.raises(MigrationError, match="use a newer release"):
        migrate(client, database=empty)


def test_a_new_migration_is_applied_alone(client: Client, empty: str) -> None:
    migrate(client, database=empty)
    text = "CREATE TABLE ${database}.extra (x Int8) ENGINE = ReplacingMergeTree ORDER BY x;\n"
    added = Migration(len(shipped()) + 1, "9999_extra.sql", text)
    assert migrate(client, database=empty, migrations=[*shipped(), added]) == (added.version,)


def test_a_migration_cut_off_in_the_middle_can_be_run_again(client: Client, empty: str) -> None:
    first = shipped()[0]
    broken = replace(first, text=first.text + "\nCREATE NONSENSE;\n")
    with pytest.raises(Exception, match="NONSENSE"):
        migrate(client, database=empty, migrations=[broken])
    assert migrate(client, database=empty) == tuple(file.version for file in shipped())


def test_replicated_tables_use_the_replicated_engine() -> None:
    sql = "\n".join(
        rendered(file.text, database="carbonflow", replicated=True) for file in shipped()
    )
    assert "ENGINE = ReplicatedReplacingMergeTree(_offset)" in sql
    assert "ENGINE = ReplacingMergeTree" not in sql


def test_every_table_of_a_topic_replaces_by_offset(client: Client, empty: str) -> None:
    migrate(client, database=empty)
    rows = client.query(
        "SELECT name, engine_full FROM system.tables "
        f"WHERE database = '{empty}' AND engine != 'View'"
    ).result_rows
    of_none = {"migrations", "erasures"}
    engines = {name: engine.split()[0] for name, engine in rows if name not in of_none}
    assert engines == dict.fromkeys(TABLES - of_none, "ReplacingMergeTree(_offset)")


def test_a_database_name_that_is_not_a_name_is_refused(client: Client) -> None:
    with pytest.raises(ValueError, match="not a database name"):
        migrate(client, database="x; DROP DATABASE y")


def test_refusals_of_before_are_kept_when_replays_come(client: Client, empty: str) -> None:
    *before, replays = shipped()[:5]
    assert replays.name == "0005_replays.sql"
    migrate(client, database=empty, migrations=before)
    Facts(client, empty).put("refusals", refusal(7))
    migrate(client, database=empty)
    (found,) = Queries(client, database=empty).refusals(RefusalFilter()).items
    assert (found.offset, found.source, found.attempt, found.is_replayed) == (7, "", 0, False)
