"""Files in a bucket are found and read as files of this machine are."""

from __future__ import annotations

import asyncio
import gzip
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from producers.files import UnreadableFileError, columns_row, read_file
from producers.locations import LocationError, Source, found
from producers.mapping import load_mapping
from producers.topics import ensure_topics
from schemas.columns import decode
from schemas.settings import BrokerSettings
from tests.end_to_end.command import CARBONFLOW, environment
from tests.producers.client.sent import arrived
from tests.producers.test_files import ACN, INDIA
from tests.s3_server import S3Server, running

HEADER = b"Session,ChargingStartDateTime,ChargingEndDateTime,Energy,ChargingStation,UserID\n"
ROW = b"S%d,2021-01-01 10:00,2021-01-01 11:00,6.31,st,1\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with running(tmp_path_factory.mktemp("s3")) as started:
        yield started


@pytest.fixture
def bucket(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a bucket of the test's own; the process is told where it is."""
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    return f"b{uuid4().hex[:12]}"


def put(server: S3Server, bucket: str, files: dict[str, bytes]) -> None:
    system = server.bucket(bucket)
    for name, content in files.items():
        with system.open_output_stream(name, compression=None) as out:
            out.write(content)


def ids(sources: list[Source]) -> list[str]:
    mapping = load_mapping("acn-data")
    blocks = [block for source in sources for block in read_file(source, mapping)]
    assert [row for block in blocks for row in block.refused] == []
    return [one for block in blocks for one in block.batch["session_id"].to_pylist()]


def test_a_prefix_is_every_file_below_it_that_can_be_read(server: S3Server, bucket: str) -> None:
    rows = [HEADER + ROW % number for number in range(4)]
    zstd = bytes(pa.compress(rows[2], codec="zstd", asbytes=True))
    put(
        server,
        bucket,
        {
            "exports/2021/01/a.csv": rows[0],
            "exports/2021/01/b.csv.gz": gzip.compress(rows[1]),
            "exports/2021/02/c.csv.zst": zstd,
            "exports/2021/02/_SUCCESS": b"",
            "exports/_temporary/d.csv": rows[3],
            "other/e.csv": rows[3],
        },
    )
    sources = found(f"s3://{bucket}/exports/")
    below = f"s3://{bucket}/exports/2021"
    assert [source.name for source in sources] == [
        f"{below}/01/a.csv",
        f"{below}/01/b.csv.gz",
        f"{below}/02/c.csv.zst",
    ]
    assert ids(sources) == ["S0", "S1", "S2"]
    assert ids(found(f"s3://{bucket}/exports/*/01/*")) == ["S0", "S1"]
    assert ids(found(f"s3://{bucket}/**/c.*")) == ["S2"]


def test_real_files_in_a_bucket_are_read_as_they_are_here(server: S3Server, bucket: str) -> None:
    put(server, bucket, {"india.csv": INDIA.read_bytes()})
    (source,) = found(f"s3://{bucket}/india.csv")
    mapping = load_mapping("india-hcv")
    there, here = (list(read_file(one, mapping, rows_max=1_000)) for one in (source, INDIA))
    assert [b.batch.to_pylist() for b in there] == [b.batch.to_pylist() for b in here]
    assert [(r.line, r.raw) for b in there for r in b.refused] == [
        (r.line, r.raw) for b in here for r in b.refused
    ]
    assert there[-1].done_bytes == there[-1].size_bytes == INDIA.stat().st_size
    assert columns_row(source, mapping) == columns_row(INDIA, mapping)


def test_parquet_in_a_bucket_is_read_by_its_parts(
    server: S3Server, bucket: str, tmp_path: Path
) -> None:
    rows = [line.split(",") for line in ACN.read_text("utf-8").splitlines()[:1001]]
    table = pa.table(
        {name: [row[at] for row in rows[1:]] for at, name in enumerate(rows[0])},
    )
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=300)
    put(server, bucket, {"a.parquet": (tmp_path / "a.parquet").read_bytes()})
    mapping = load_mapping("acn-data")
    first, *rest = read_file(found(f"s3://{bucket}/a.parquet")[0], mapping, rows_max=250)
    assert first.behind.rows == 250
    again = list(
        read_file(found(f"s3://{bucket}/a.parquet")[0], mapping, rows_max=250, begun=first.behind)
    )
    assert [b.batch.to_pylist() for b in again] == [b.batch.to_pylist() for b in rest]
    assert rest[-1].behind.rows == 1_000


def test_what_is_not_in_a_bucket_is_said_not_to_be_there(server: S3Server, bucket: str) -> None:
    put(server, bucket, {"a.csv": HEADER})
    with pytest.raises(LocationError, match="not there"):
        found(f"s3://{bucket}/b.csv")
    with pytest.raises(LocationError):
        found(f"s3://nobodys-{bucket}/*.csv")


def test_a_file_that_vanished_is_unreadable(server: S3Server, bucket: str) -> None:
    put(server, bucket, {"a.csv": HEADER + ROW % 1})
    (source,) = found(f"s3://{bucket}/a.csv")
    server.bucket(bucket).delete_file("a.csv")
    with pytest.raises(UnreadableFileError, match=f"s3://{bucket}/a.csv"):
        list(read_file(source, load_mapping("acn-data")))


def test_the_command_takes_what_is_new_in_a_bucket(
    server: S3Server, bucket: str, broker: str, tmp_path: Path
) -> None:
    settings = BrokerSettings(bootstrap=broker, prefix=f"s3-{uuid4().hex[:8]}.")
    asyncio.run(ensure_topics(settings))
    words = (
        *("load", "--charging", f"s3://{bucket}/exports/", "--mapping", "acn-data", "--json"),
        *("--checkpoint", str(tmp_path / "state.jsonl"), "--bootstrap", broker),
    )
    environ = {**environment(CARBONFLOW_PREFIX=settings.prefix), **server.environ}

    def load() -> dict[str, Any]:
        done = subprocess.run(
            [CARBONFLOW, *words], capture_output=True, text=True, check=False, env=environ
        )
        assert (done.returncode, done.stderr) == (0, "")
        (result,) = json.loads(done.stdout)
        assert isinstance(result, dict)
        return result

    put(server, bucket, {"exports/1.csv": HEADER + ROW % 1 + ROW % 2})
    assert (load()["sent"], load()["done_before"]) == (2, 1)
    put(server, bucket, {"exports/2.csv.gz": gzip.compress(HEADER + ROW % 3)})
    result = load()
    assert (result["sent"], result["done_before"]) == (1, 1)
    values = [message.value for message in arrived(settings, "charging-sessions")]
    found_there = decode("charging_session", values).batch["session_id"].to_pylist()
    assert sorted(found_there) == ["S1", "S2", "S3"]
