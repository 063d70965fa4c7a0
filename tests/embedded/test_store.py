"""The embedded store has one owner, keeps what is written, and serves several threads."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from embedded.ownership import InUseError
from embedded.store import Store
from sinks.migrate import migrate


def test_it_keeps_what_is_written(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        store.writer.command("CREATE TABLE t (x Int64) ENGINE = MergeTree ORDER BY x")
        store.writer.insert_arrow("t", pa.table({"x": range(1000)}))
    with Store.open(tmp_path / "store") as store:
        assert store.reader.query("SELECT count(), sum(x) FROM t").result_rows == [(1000, 499500)]


def test_it_has_one_owner(tmp_path: Path) -> None:
    with (
        Store.open(tmp_path / "store"),
        pytest.raises(InUseError, match=f"in use by a carbonflow store, process {os.getpid()}"),
    ):
        Store.open(tmp_path / "store")


def test_it_can_be_migrated(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        assert migrate(store.writer)[0] == 1
        assert migrate(store.writer) == ()


def test_threads_read_while_others_write(tmp_path: Path) -> None:
    rows, inserts = 10_000, 10
    table = pa.table({"x": range(rows)})
    with Store.open(tmp_path / "store") as store, ThreadPoolExecutor(4) as threads:
        store.writer.command("CREATE TABLE t (x Int64) ENGINE = MergeTree ORDER BY x")

        def write() -> None:
            for _ in range(inserts):
                store.writer.insert_arrow("t", table)

        def read() -> list[int]:
            return [
                int(store.reader.query("SELECT count() FROM t").result_rows[0][0])
                for _ in range(50)
            ]

        writing = threads.submit(write)
        seen = [threads.submit(read) for _ in range(3)]
        writing.result()
        for reading in seen:
            counts = reading.result()
            assert counts == sorted(counts)
        assert store.reader.query("SELECT count() FROM t").result_rows == [(rows * inserts,)]


PRIORITIES = """
import os, sys
from pathlib import Path
from embedded.store import Store
from sinks.migrate import migrate
with Store.open(Path(sys.argv[1])) as store:
    migrate(store.writer)
    store.merge_last()
    for task in Path("/proc/self/task").glob("*"):
        if (task / "comm").read_text().strip() == "MergeMutate":
            print(os.getpriority(os.PRIO_PROCESS, int(task.name)))
"""


def test_its_merging_takes_what_others_leave(tmp_path: Path) -> None:
    # In a process of its own, as a stack is: chDB starts these threads once.
    told = subprocess.run(
        [sys.executable, "-c", PRIORITIES, str(tmp_path / "store")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(told.stdout.split()) == {"19"}
