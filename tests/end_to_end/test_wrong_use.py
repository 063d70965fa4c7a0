"""What `run` cannot do it says in one line, with its status, before anything is started."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from tests.end_to_end.command import CALIFORNIA, SESSIONS, TRIPS, call

MAPPED = ("--mapping", "acn-data")


def told(*words: str, data_dir: Path, status: int) -> str:
    """Run the command, fail unless it ends so with one line and no folder, and return the line."""
    done = call("run", *words, "--data-dir", str(data_dir), "--json")
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    assert done.stderr.startswith("carbonflow: ")
    assert done.stderr.count("\n") == 1
    assert not (data_dir / "store").exists()
    return done.stderr


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A folder that does not exist yet."""
    return tmp_path / "data"


@pytest.mark.parametrize("option", ["--charging", "--freight"])
def test_a_file_that_is_missing(option: str, data_dir: Path) -> None:
    line = told(option, "nowhere.csv", *MAPPED, data_dir=data_dir, status=2)
    assert "File 'nowhere.csv' does not exist" in line


def test_a_folder_without_a_file_to_load(data_dir: Path, tmp_path: Path) -> None:
    line = told("--charging", str(tmp_path), *MAPPED, data_dir=data_dir, status=1)
    assert f"{tmp_path}: there is no file whose name ends in .csv" in line


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("other.csv", b"a,b\n1,2\n", "has no column 'Session'; it has a, b"),
        ("nothing.csv", b"", "has no column 'Session'; it has none"),
        ("near.csv", b"session,Energy\n", "did you mean 'session'?"),
        ("noise.csv", bytes(range(256)) * 16, "has no column 'Session'"),
        ("sheet.xlsx", b"PK", "its name must end in one of .csv, "),
        ("torn.parquet", b"PAR1", "Parquet"),
        ("torn.csv.gz", b"\x1f\x8b\x08\x00\x00", "torn.csv.gz: damaged: "),
    ],
)
def test_a_file_that_is_not_what_its_mapping_reads(
    name: str, content: bytes, reason: str, data_dir: Path, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    line = told("--charging", str(path), *MAPPED, data_dir=data_dir, status=1)
    assert reason in line
    assert str(path) in line


def test_files_of_the_other_kind(data_dir: Path) -> None:
    line = told("--charging", str(TRIPS), *MAPPED, data_dir=data_dir, status=1)
    assert "has no column 'Session'" in line


@pytest.mark.parametrize(
    ("toml", "reason"),
    [
        ("name = ", "Invalid value"),
        ('name = "mine"\ntitle = "Mine"\nrecord = "charging_session"\n', "fields"),
        ('name = "mine"\ntitle = "Mine"\nrecord = "boat_trip"\n[fields]\n', "boat_trip"),
    ],
)
def test_a_mapping_that_cannot_be_read(
    toml: str, reason: str, data_dir: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(toml)
    words = ("--charging", str(SESSIONS), "--mapping", str(path))
    line = told(*words, data_dir=data_dir, status=1)
    assert f"mapping {path}: " in line
    assert reason in line


@pytest.mark.parametrize(
    ("spec", "status", "reason"),
    [
        ("electricity-maps", 2, "'electricity-maps' is no source of factors"),
        ("electricity-maps:nowhere.csv", 1, "nowhere.csv: No such file"),
        (f"electricity-maps:{SESSIONS}", 1, "line 1: it has no column 'datetime (utc)'"),
        (f"csv:{SESSIONS}", 1, "line 1: the header lacks factor_id, "),
        ("release:1999", 1, "there is no release '1999'"),
    ],
)
def test_factors_that_cannot_be_read(spec: str, status: int, reason: str, data_dir: Path) -> None:
    words = ("--charging", str(SESSIONS), *MAPPED, "--factors", spec)
    assert reason in told(*words, data_dir=data_dir, status=status)


def test_no_worker_at_all(data_dir: Path) -> None:
    line = told(*CALIFORNIA, "--workers", "0", data_dir=data_dir, status=2)
    assert "Invalid value for '--workers'" in line


def test_a_file_for_the_data_folder(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.touch()
    line = told(*CALIFORNIA, data_dir=data_dir, status=2)
    assert f"Directory '{data_dir}' is a file" in line


def test_a_data_folder_that_cannot_be_made() -> None:
    line = told(*CALIFORNIA, data_dir=Path("/proc/nowhere"), status=1)
    assert "/proc/nowhere cannot be used: No such file or directory" in line


def test_a_data_folder_in_use(data_dir: Path) -> None:
    data_dir.mkdir()
    with (data_dir / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write('{"pid": 12345, "what": "carbonflow up"}')
        lock.flush()
        line = told(*CALIFORNIA, data_dir=data_dir, status=1)
    assert line == f"carbonflow: {data_dir} is in use by carbonflow up, process 12345\n"
