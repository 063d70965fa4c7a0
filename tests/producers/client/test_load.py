"""A load of many files and formats arrives whole, and one that was stopped goes on."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from aiokafka.errors import KafkaError

from embedded.broker import Broker, free_port
from producers.checkpoint import Checkpoint, Reached
from producers.client.columns import CarbonflowProducer
from producers.files import UnreadableFileError
from producers.load import Loaded, Progress, load_files
from producers.locations import Source, found, local
from producers.mapping import load_mapping
from producers.topics import ensure_topics
from schemas.columns import decode
from schemas.partition import partition_of
from schemas.settings import BrokerSettings
from tests.producers.client.sent import arrived, firsts
from tests.producers.client.test_columns import run

MAPPING = load_mapping("acn-data")
COLUMNS = (
    *("Session", "ChargingStartDateTime", "ChargingEndDateTime"),
    *("Energy", "ChargingStation", "UserID"),
)
STOP_S_MAX = 60.0


@pytest.fixture
def settings(broker: str) -> BrokerSettings:
    settings = BrokerSettings(bootstrap=broker, prefix=f"load-{uuid4().hex[:8]}.")
    asyncio.run(ensure_topics(settings))
    return settings


def table(first: int, count: int) -> pa.Table:
    """Return sessions of ACN-Data's shape."""
    numbers = range(first, first + count)
    columns = (
        [f"S{number}" for number in numbers],
        [f"2021-03-01 {number % 24:02}:15:00" for number in numbers],
        [f"2021-03-02 {number % 24:02}:45:00" for number in numbers],
        [f"{number % 60}.25" for number in numbers],
        [f"station-{number % 50}" for number in numbers],
        [str(number % 200) for number in numbers],
    )
    return pa.table(dict(zip(COLUMNS, columns, strict=True)))


def csv_of(content: pa.Table) -> bytes:
    out = pa.BufferOutputStream()
    pacsv.write_csv(content, out, pacsv.WriteOptions(quoting_style="none"))
    return bytes(out.getvalue())


def written(folder: Path) -> list[Source]:
    """Write sessions of four formats, and return the files."""
    folder.mkdir()
    (folder / "a.csv").write_bytes(csv_of(table(0, 1_000)))
    (folder / "b.csv.gz").write_bytes(gzip.compress(csv_of(table(1_000, 1_000))))
    packed = pa.compress(csv_of(table(2_000, 1_000)), codec="zstd", asbytes=True)
    (folder / "c.csv.zst").write_bytes(packed)
    pq.write_table(table(3_000, 1_000), folder / "d.parquet", row_group_size=300)
    lines = [json.dumps(row) for row in table(4_000, 1_000).to_pylist()]
    (folder / "e.jsonl").write_text("\n".join(lines))
    return found(str(folder))


def loaded(
    settings: BrokerSettings,
    sources: list[Source],
    *,
    checkpoint: Checkpoint | None = None,
    rows_max: int = 128,
    progress: list[Progress] | None = None,
) -> Loaded:
    seen: list[Progress] = [] if progress is None else progress

    async def load() -> Loaded:
        async with CarbonflowProducer(settings) as producer:
            return await load_files(
                sources,
                mapping=MAPPING,
                producer=producer,
                progress=seen.append,
                checkpoint=checkpoint,
                rows_max=rows_max,
            )

    return run(load())


def sessions(settings: BrokerSettings) -> Counter[str]:
    """Return how often each session has arrived; each lies where its account lives."""
    messages = arrived(settings, "charging-sessions")
    decoded = decode("charging_session", [message.value for message in messages])
    assert decoded.refused == []
    assert [m.key.decode() for m in messages] == decoded.batch["account_id"].to_pylist()
    assert all(m.partition == partition_of(m.key, 4) for m in messages)
    return Counter(decoded.batch["session_id"].to_pylist())


def once(count: int) -> Counter[str]:
    return Counter(f"S{number}" for number in range(count))


def test_a_folder_of_all_formats_arrives_whole(settings: BrokerSettings, tmp_path: Path) -> None:
    seen: list[Progress] = []
    result = loaded(settings, written(tmp_path / "all"), progress=seen)
    assert result == Loaded(5_000, 5_000, {})
    assert sessions(settings) == once(5_000)
    for ids in firsts(arrived(settings, "charging-sessions")).values():
        numbers = [int(name[1:]) for name in ids]
        assert numbers == sorted(numbers)
    ends = {each.file: each for each in seen}
    assert [Path(name).name for name in ends] == [
        *("a.csv", "b.csv.gz", "c.csv.zst", "d.parquet", "e.jsonl")
    ]
    assert all(each.done_bytes == each.size_bytes and each.rows == 1_000 for each in ends.values())


def test_what_was_loaded_is_not_loaded_again(settings: BrokerSettings, tmp_path: Path) -> None:
    sources = written(tmp_path / "all")
    for done_before in (0, 5):
        with Checkpoint(tmp_path / "state.jsonl") as checkpoint:
            result = loaded(settings, sources, checkpoint=checkpoint)
        assert result.done_before == done_before
        assert result.rows == (0 if done_before else 5_000)
    assert sessions(settings) == once(5_000)


class Stopped(Exception):
    """Ends a load in its middle."""


@pytest.mark.parametrize("blocks", [1, 5, 8, 20, 39])
def test_a_load_that_was_stopped_goes_on_behind_what_arrived(
    settings: BrokerSettings, tmp_path: Path, blocks: int
) -> None:
    sources = written(tmp_path / "all")

    class Last(list[Progress]):
        def append(self, each: Progress) -> None:
            super().append(each)
            if len(self) == blocks:
                raise Stopped

    with Checkpoint(tmp_path / "state.jsonl") as checkpoint, pytest.raises(Stopped):
        loaded(settings, sources, checkpoint=checkpoint, progress=Last())
    with Checkpoint(tmp_path / "state.jsonl") as checkpoint:
        rest = loaded(settings, sources, checkpoint=checkpoint)
    # Eight blocks make a file; the one that was being loaded is gone on with, unless just done.
    assert rest.done_before == (blocks - 1) // 8
    assert rest.gone_on == 1
    assert rest.rows == 5_000 - 1_000 * (blocks // 8) - 128 * (blocks % 8)
    found_there = sessions(settings)
    assert found_there.keys() == once(5_000).keys()
    # What was on its way comes again, and no more than that.
    assert found_there.total() <= 5_000 + 3 * 128


def test_a_file_that_was_changed_is_loaded_anew(settings: BrokerSettings, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(csv_of(table(0, 100)))
    with Checkpoint(tmp_path / "state.jsonl") as checkpoint:
        loaded(settings, [local(path)], checkpoint=checkpoint)
        path.write_bytes(csv_of(table(0, 150)))
        result = loaded(settings, [local(path)], checkpoint=checkpoint)
    assert (result.rows, result.done_before) == (150, 0)
    assert sessions(settings) == once(100) + once(150)


def test_what_was_read_before_a_damage_is_reached(settings: BrokerSettings, tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(csv_of(table(0, 150_000)))[:-100])
    source = local(path)
    with Checkpoint(tmp_path / "state.jsonl") as checkpoint:
        with pytest.raises(UnreadableFileError, match="damaged"):
            loaded(settings, [source], checkpoint=checkpoint, rows_max=10_000)
        reached = checkpoint.of(MAPPING, source.name, source.version)
    assert 0 < reached.sent == reached.behind.rows < 150_000
    assert not reached.is_done
    assert sessions(settings) == once(reached.sent)


def test_a_load_that_is_cancelled_ends_once_its_thread_has_read(
    settings: BrokerSettings, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(csv_of(table(0, 50_000)))

    async def cancelled(turns: int) -> None:
        async with CarbonflowProducer(settings) as producer:
            begun = asyncio.create_task(
                load_files(
                    [path],
                    mapping=MAPPING,
                    producer=producer,
                    progress=lambda _: None,
                    rows_max=1_000,
                )
            )
            for _ in range(turns):
                await asyncio.sleep(0)
            begun.cancel()
            with pytest.raises(asyncio.CancelledError):
                await begun

    for turns in (1, 2, 3, 10, 30):
        run(cancelled(turns))


def test_a_killed_load_goes_on_when_it_is_started_again(
    settings: BrokerSettings, tmp_path: Path
) -> None:
    path, state = tmp_path / "a.csv", tmp_path / "state.jsonl"
    path.write_bytes(csv_of(table(0, 1_000)) + b"".join(rows_behind(1_000, 300)))
    command = [sys.executable, "-m", "cli.main", "load", "--charging", str(path)]
    command += ["--mapping", "acn-data", "--checkpoint", str(state)]
    environ = {**os.environ, "CARBONFLOW_BOOTSTRAP": settings.bootstrap}
    environ["CARBONFLOW_PREFIX"] = settings.prefix
    child = subprocess.Popen(
        command, env=environ, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + STOP_S_MAX
    while not (state.is_file() and state.read_bytes().count(b"\n") >= 2):
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    again = subprocess.run(
        [*command, "--json"],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=STOP_S_MAX,
    )
    assert again.returncode == 0, again.stderr
    (result,) = json.loads(again.stdout)
    assert result["gone_on"] == 1
    assert 0 < result["rows"] < 301_000
    with Checkpoint(state) as checkpoint:
        source = local(path)
        reached = checkpoint.of(MAPPING, str(path), source.version)
    assert reached == Reached(
        version=source.version,
        behind=reached.behind,
        sent=301_000,
        is_done=True,
    )
    assert sessions(settings).keys() == once(301_000).keys()


def test_a_broker_that_restarts_under_a_load_costs_no_row(tmp_path: Path) -> None:
    running = Broker.start(tmp_path / "broker", port=free_port())
    settings = BrokerSettings(bootstrap=running.bootstrap)
    asyncio.run(ensure_topics(settings))
    sources = written(tmp_path / "all")

    class Restarting(list[Progress]):
        def append(self, each: Progress) -> None:
            nonlocal running
            super().append(each)
            if len(self) == 12:
                running.stop()
                running = Broker.start(tmp_path / "broker", port=running.port)

    try:
        with Checkpoint(tmp_path / "state.jsonl") as checkpoint:
            # It may fail, or nobody notices; either way the next load completes it.
            with suppress(KafkaError):
                loaded(settings, sources, checkpoint=checkpoint, progress=Restarting())
            rest = loaded(settings, sources, checkpoint=checkpoint)
            assert rest.done_before >= 1
            assert all(
                checkpoint.of(MAPPING, source.name, source.version).is_done for source in sources
            )
        assert sessions(settings).keys() == once(5_000).keys()
    finally:
        running.stop()


def rows_behind(first: int, thousands: int) -> list[bytes]:
    """Return more rows, without their header."""
    return [
        csv_of(table(first + 1_000 * each, 1_000)).partition(b"\n")[2] for each in range(thousands)
    ]
