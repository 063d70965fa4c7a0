"""The benchmark of loading sends what it says, and tells what it measured beside the bars."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest

from benchmarks.load import (
    ACCOUNTS,
    BARS_PER_S,
    MAPPING,
    Run,
    measured,
    records_in,
    section,
    sentences,
    table,
    write,
)
from benchmarks.measure import BenchmarkError
from producers.files import read_file
from producers.mapping import parse_mapping
from producers.topics import ensure_topics
from schemas.settings import BrokerSettings


@pytest.mark.parametrize("kind", sorted(BARS_PER_S))
def test_what_is_measured_is_in_the_topic(broker: str, tmp_path: Path, kind: str) -> None:
    prefix = f"load-{uuid4().hex[:8]}."
    run = measured(broker, write(tmp_path, kind, 3_000), prefix)
    assert run.rows == 3_000
    assert run.wall_s > 0
    assert run.cpu_s > 0
    assert asyncio.run(records_in(BrokerSettings(bootstrap=broker, prefix=prefix))) == 3_000


def test_a_topic_with_something_else_in_it_is_no_measurement(broker: str, tmp_path: Path) -> None:
    prefix = f"load-{uuid4().hex[:8]}."
    path = write(tmp_path, "csv", 100)
    measured(broker, path, prefix)
    with pytest.raises(BenchmarkError, match="100 rows were sent, and the topic holds 200"):
        measured(broker, path, prefix)


def test_a_load_that_fails_is_no_measurement(broker: str, tmp_path: Path) -> None:
    settings = BrokerSettings(bootstrap=broker, prefix=f"load-{uuid4().hex[:8]}.")
    asyncio.run(ensure_topics(settings))
    path = tmp_path / "gone.csv"
    with pytest.raises(BenchmarkError, match=r"gone\.csv"):
        measured(broker, path, settings.prefix)


def test_both_formats_hold_the_same_sessions_and_none_is_refused(tmp_path: Path) -> None:
    mapping = parse_mapping(MAPPING, origin="benchmark")
    found = []
    for kind in BARS_PER_S:
        blocks = list(read_file(write(tmp_path, kind, 1_000), mapping))
        assert [row for block in blocks for row in block.refused] == []
        found.append([row for block in blocks for row in block.batch.to_pylist()])
    assert found[0] == found[1]
    assert len({row["session_id"] for row in found[0]}) == 1_000
    assert len({row["account_id"] for row in found[0]}) > 900 < ACCOUNTS


def test_the_table_is_the_same_each_time() -> None:
    assert table(7, 50).equals(table(7, 50))
    assert not table(7, 50).equals(table(8, 50))


def test_the_bars_stand_beside_what_was_measured() -> None:
    run = Run(rows=1_000_000, wall_s=2.0, cpu_s=1.6, rss_bytes=400_000_000)
    runs = {"csv": [run], "parquet": [run]}
    said = sentences(runs, "Apache Kafka 1")
    assert "csv into Apache Kafka 1: 500,000 rows/s (bar 100,000), 625,000 a second" in said[0]
    assert "(bar 500,000)" in said[1]
    assert "| parquet | 1,000,000 | 500,000 | 500,000 | 500,000 to 500,000 | 625,000 |" in section(
        runs, "Apache Kafka 1"
    )
