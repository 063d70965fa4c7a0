"""Through the door another process reads the embedded store, and changes nothing."""

from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, Counter

from embedded.door import open_to_readers
from embedded.store import Store
from sinks.connect import StoreError, StoreSettings, connect


def test_what_is_written_inside_is_read_through_the_door(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        store.writer.command("CREATE TABLE t (x Int64) ENGINE = MergeTree ORDER BY x")
        store.writer.command("INSERT INTO t VALUES (1), (2)")
        with (
            open_to_readers(store.path, CollectorRegistry()) as url,
            connect(StoreSettings(clickhouse_url=url)) as client,
        ):
            assert client.query(
                "SELECT sum(x) FROM t WHERE x > {least:Int64}", parameters={"least": 1}
            ).result_rows == [(2,)]


@pytest.mark.parametrize(
    "statement", ["DROP TABLE t", "INSERT INTO t VALUES (3)", "SET readonly = 0"]
)
def test_nothing_is_changed_through_it(tmp_path: Path, statement: str) -> None:
    with Store.open(tmp_path / "store") as store:
        store.writer.command("CREATE TABLE t (x Int64) ENGINE = MergeTree ORDER BY x")
        with (
            open_to_readers(store.path, CollectorRegistry()) as url,
            connect(StoreSettings(clickhouse_url=url)) as client,
        ):
            with pytest.raises(StoreError, match="readonly"):
                client.command(statement)
            assert client.query("SELECT count() FROM t").result_rows == [(0,)]


def test_it_has_the_metrics_of_the_owner(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    Counter("knocks", "Made up.", registry=registry).inc(3)
    with (
        Store.open(tmp_path / "store") as store,
        open_to_readers(store.path, registry) as url,
        urlopen(f"{url}/metrics", timeout=10) as answer,
    ):
        assert b"knocks_total 3.0" in answer.read()
