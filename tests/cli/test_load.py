"""`load` as a user runs it: what is wrong use, what a dry run prints, and what comes of a query."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from producers.topics import ensure_topics
from schemas.columns import decode
from schemas.settings import BrokerSettings
from tests.producers.client.sent import arrived
from tests.producers.client.test_columns import run

ROOT = Path(__file__).parents[2]
HEADER = "Id,User,Start,End,Energy,Region\n"
MAPPING = """
name = "mine"
record = "charging_session"
zone = "UTC"
[fields]
session_id = "Id"
source = { value = "mine" }
account_id = "User"
programme = { value = "cn-charging" }
vehicle_class = { value = "car" }
grid_region = "Region"
started_at = "Start"
ended_at = "End"
energy_wh = { column = "Energy", unit = "Wh" }
meter_side = { value = "grid" }
current = { value = "ac" }
operator_id = { value = "" }
evse_id = { value = "" }
"""
ROWS = (
    "1,anna,2023-05-01 08:00,2023-05-01 10:00,21.4,CN-BJ\n"
    "2,bo,2023-05-02 08:00,2023-05-02 10:00,30,CN-BJ\n"
    "2,bo,2023-05-02 08:00,2023-05-02 10:00,30,CN-BJ\n"
    "3,bo,2023-05-03 08:00,2023-05-03 10:00,22,Atlantis\n"
    "4,bo,2023-05-04 08:00,2023-05-04 10:00,many,CN-BJ\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a mapping and a file whose energy is in kWh, and not in Wh as is said."""
    (tmp_path / "mine.toml").write_text(MAPPING)
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports" / "a.csv").write_text(HEADER + ROWS)
    return tmp_path


def call(*words: str, cwd: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if "CARBONFLOW_" not in name}
    return subprocess.run(
        [sys.executable, "-m", "cli.main", "load", *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**kept, "PYTHONPATH": str(ROOT), **settings},
        check=False,
        timeout=120,
    )


def test_a_dry_run_prints_what_a_load_would_bring(folder: Path) -> None:
    done = call("--charging", "exports", "--mapping", "mine.toml", "--dry-run", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines[0] == "mine: 5 rows, 4 records"
    assert lines[1].split() == ["accounts", "2"]
    assert lines[2].split() == ["times", "2023-05-01", "to", "2023-05-03", "(UTC)"]
    assert lines[3].startswith("repeats         1")
    assert lines[4] == "refused         1 row_bad_value, 1 factor_not_found"
    assert "'many' is not a number" in lines[5]
    assert lines[6] == "without factor  1 Atlantis"
    assert any("kWh where the mapping says Wh" in line for line in lines[7:])


def test_a_dry_run_for_a_program_is_json(folder: Path) -> None:
    words = ("--charging", "exports", "--mapping", "mine.toml", "--dry-run", "--json")
    (profile,) = json.loads(call(*words, cwd=folder).stdout)
    assert (profile["mapping"], profile["rows"], profile["accounts"]) == ("mine", 5, 2)
    assert profile["refused"] == {"row_bad_value": 1, "factor_not_found": 1}
    assert {odd["field"] for odd in profile["odd"]} == {"energy_wh"}


def test_a_dry_run_counts_factors_that_are_given(folder: Path) -> None:
    header, *_ = (ROOT / "producers/factors/releases/2026.1/factors.csv").read_text().splitlines()
    names = header.split(",")
    row = dict.fromkeys(names, "") | {
        "factor_id": "atlantis",
        "kind": "grid_average",
        "region": "Atlantis",
        "subject": "electricity",
        "boundary": "ttw",
        "gas": "co2",
        "value_mg": "500000",
        "unit": "kwh",
        "valid_from": "2022-01-01T00:00:00Z",
        "valid_to": "2025-01-01T00:00:00Z",
        "release": "mine",
        "publisher": "p",
        "publication": "q",
        "url": "u",
        "licence": "l",
        "evidence": "user",
    }
    (folder / "mine.csv").write_text(f"{header}\n{','.join(row[name] for name in names)}\n")
    words = ("--charging", "exports", "--mapping", "mine.toml", "--dry-run", "--json")
    done = call(*words, "--factors", "csv:mine.csv", cwd=folder)
    (profile,) = json.loads(done.stdout)
    assert profile["regions_without_factor"] == {}


def test_a_query_is_loaded_and_goes_on(folder: Path, broker: str) -> None:
    settings = BrokerSettings(bootstrap=broker, prefix=f"q-{uuid4().hex[:8]}.")
    run(ensure_topics(settings))
    database = sqlite3.connect(folder / "warehouse.db")
    with database:
        database.execute("CREATE TABLE s (Id, User, Start, End, Energy, Region)")
        rows = [line.split(",") for line in ROWS.splitlines()]
        database.executemany("INSERT INTO s VALUES (?, ?, ?, ?, ?, ?)", rows[:3])
    (folder / "sessions.sql").write_text("SELECT * FROM s;\n")
    words = (
        *("--query", "sessions.sql", "--cursor", "Start", "--mapping", "mine.toml"),
        *("--checkpoint", "state.jsonl", "--bootstrap", broker),
    )
    environ = {
        "CARBONFLOW_WAREHOUSE": f"sqlite:///{folder}/warehouse.db",
        "CARBONFLOW_PREFIX": settings.prefix,
    }
    first = call(*words, cwd=folder, **environ)
    assert (first.returncode, first.stdout) == (0, "mine: 3 rows, 3 sent, refused: none\n")
    with database:
        database.executemany("INSERT INTO s VALUES (?, ?, ?, ?, ?, ?)", rows[3:])
    database.close()
    second = call(*words, cwd=folder, **environ)
    assert second.stdout == "mine: 4 rows, 3 sent, refused: 1 row_bad_value\n", second.stderr
    values = [message.value for message in arrived(settings, "charging-sessions")]
    ids = decode("charging_session", values).batch["session_id"].to_pylist()
    assert sorted(ids) == ["1", "2", "2", "2", "2", "3"]
    (refusal,) = arrived(settings, "refusals")
    assert dict(refusal.headers)["file"] == b"sessions.sql"
    assert dict(refusal.headers)["line"] == b"7"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--query", "SELECT 1"), "--query needs --database, or CARBONFLOW_WAREHOUSE"),
        (("--database", "sqlite:///a.db", "--charging", "exports"), "need --query"),
        (("--cursor", "Start", "--charging", "exports"), "need --query"),
        (
            ("--query", "SELECT 1", "--database", "sqlite:///a.db", "--charging", "exports"),
            "not both at once",
        ),
        (("--charging", "exports", "--factors", "csv:mine.csv"), "--factors is for --dry-run"),
        (("--charging", "nowhere"), "'nowhere' does not exist"),
    ],
)
def test_wrong_use_is_told_in_a_line(folder: Path, words: tuple[str, ...], why: str) -> None:
    done = call(*words, "--mapping", "mine.toml", cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--charging", "s3://nobodys-bucket-here/a/"), "s3://nobodys-bucket-here/a/"),
        (("--charging", "empty"), "there is no file whose name ends in"),
        (("--query", "gone.sql", "--database", "sqlite:///a.db"), "gone.sql"),
        (
            ("--query", "SELECT 1", "--database", "sqlite:///gone.db"),
            "there is no database gone.db",
        ),
    ],
)
def test_what_cannot_be_loaded_is_told_in_a_line(
    folder: Path, words: tuple[str, ...], why: str
) -> None:
    (folder / "empty").mkdir()
    # Nothing listens there: what is not in a bucket must be told, however its server fails.
    away = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_EC2_METADATA_DISABLED": "true"}
    away |= {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    done = call(*words, "--mapping", "mine.toml", cwd=folder, **away)
    assert (done.returncode, done.stdout) == (1, "")
    assert why in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_query_with_a_checkpoint_needs_a_cursor(folder: Path) -> None:
    database = sqlite3.connect(folder / "w.db")
    with database:
        database.execute("CREATE TABLE s (Id, User, Start, End, Energy, Region)")
    database.close()
    words = ("--query", "SELECT * FROM s", "--database", "sqlite:///w.db")
    done = call(*words, "--mapping", "mine.toml", "--checkpoint", "c", cwd=folder)
    assert done.returncode == 2
    assert "needs --cursor" in done.stderr


def test_a_checkpoint_of_another_mapping_is_told(folder: Path, broker: str) -> None:
    settings = BrokerSettings(bootstrap=broker, prefix=f"q-{uuid4().hex[:8]}.")
    run(ensure_topics(settings))
    words = ("--charging", "exports", "--mapping", "mine.toml", "--checkpoint", "state.jsonl")
    environ = {"CARBONFLOW_PREFIX": settings.prefix, "CARBONFLOW_BOOTSTRAP": broker}
    assert call(*words, cwd=folder, **environ).returncode == 0
    again = call(*words, cwd=folder, **environ)
    assert again.stdout.endswith("refused: none; loaded before: 1 file\n")
    (folder / "mine.toml").write_text(MAPPING.replace('"Wh"', '"kWh"'))
    done = call(*words, cwd=folder, **environ)
    assert done.returncode == 1
    assert "was begun with another mapping" in done.stderr
