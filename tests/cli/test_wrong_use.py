"""Wrong use ends with status 2 and one clear line; help is everywhere and loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cli.main import carbonflow


def paths(group: click.Group, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command."""
    for name, command in group.commands.items():
        yield (*above, name)
        if isinstance(command, click.Group):
            yield from paths(command, (*above, name))


def call(*args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `carbonflow` as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *args],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
        timeout=60,
    )


@pytest.fixture
def sessions(tmp_path: Path) -> str:
    """A file of ACN-Data without a session."""
    path = tmp_path / "sessions.csv"
    path.write_text(
        "Session,ChargingStartDateTime,ChargingEndDateTime,Energy,ChargingStation,UserID\n"
    )
    return str(path)


@pytest.mark.parametrize("words", [(), *paths(carbonflow)], ids=" ".join)
def test_help_is_everywhere(words: tuple[str, ...]) -> None:
    command: click.Command = carbonflow
    for word in words:
        assert isinstance(command, click.Group)
        command = command.commands[word]
    assert command.help
    text = command.get_help(click.Context(command, info_name=" ".join(("carbonflow", *words))))
    assert "Example" in text or isinstance(command, click.Group)


def test_help_answers_at_once() -> None:
    started = time.monotonic()
    done = call("--help")
    assert done.returncode == 0
    assert time.monotonic() - started < 2.0
    loaded = "import sys, cli.main; print(sorted({m.split('.')[0] for m in sys.modules}))"
    names = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True
    ).stdout
    for heavy in ("aiokafka", "faust", "chdb", "pyarrow", "fastapi", "numpy", "rich"):
        assert f"'{heavy}'" not in names


def test_an_unknown_command_is_wrong_use() -> None:
    done = call("dance")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "carbonflow: No such command 'dance'. (see carbonflow --help)\n"


def test_run_without_files_is_wrong_use() -> None:
    done = call("run")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "carbonflow: nothing to load: give --charging or --freight files "
        "(see carbonflow run --help)\n"
    )


def test_a_missing_file_is_wrong_use() -> None:
    done = call("run", "--charging", "nowhere.csv", "--mapping", "acn-data")
    assert done.returncode == 2
    assert "'nowhere.csv' does not exist" in done.stderr
    assert done.stderr.count("\n") == 1


def test_files_without_a_mapping_are_wrong_use(sessions: str) -> None:
    done = call("run", "--charging", sessions)
    assert done.returncode == 2
    assert "--charging needs a --mapping that makes charging records" in done.stderr


def test_a_mapping_of_the_other_kind_is_wrong_use(sessions: str) -> None:
    done = call("run", "--charging", sessions, "--mapping", "india-hcv")
    assert done.returncode == 2
    assert "mapping india-hcv reads freight files, and there is no --freight" in done.stderr


def test_two_mappings_of_one_kind_are_wrong_use(sessions: str) -> None:
    done = call("run", "--charging", sessions, "--mapping", "acn-data", "acn-data")
    assert done.returncode == 2
    assert "two mappings for charging files" in done.stderr


def test_an_unknown_source_of_factors_is_wrong_use(sessions: str, tmp_path: Path) -> None:
    arguments = ("--charging", sessions, "--mapping", "acn-data", "--factors", "excel:x.xls")
    done = call("run", *arguments, "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 2
    assert "'excel:x.xls' is no source of factors" in done.stderr
    assert not (tmp_path / "data").exists()


def test_an_unknown_mapping_is_wrong_use(sessions: str) -> None:
    done = call("run", "--charging", sessions, "--mapping", "nobodys")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("carbonflow: mapping nobodys: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [("balance", "x"), ("refusals", "list"), ("factors", "list"), ("verify",)],
    ids=" ".join,
)
def test_asking_where_nothing_is_says_how_to_begin(words: tuple[str, ...], tmp_path: Path) -> None:
    done = call(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is nothing in .carbonflow: `carbonflow run` fills it, or ask" in done.stderr


def test_asking_after_a_demo_says_where_its_books_are(tmp_path: Path) -> None:
    (tmp_path / ".carbonflow-demo" / "store").mkdir(parents=True)
    done = call("balance", "x", cwd=tmp_path)
    assert "the demo's books are in --data-dir .carbonflow-demo" in done.stderr


def test_loading_where_nothing_runs_is_a_failure(sessions: str, tmp_path: Path) -> None:
    done = call("load", "--charging", sessions, "--mapping", "acn-data", cwd=tmp_path)
    assert done.returncode == 1
    assert "no stack is running over .carbonflow" in done.stderr


def test_an_api_that_is_away_is_a_failure() -> None:
    done = call("balance", "x", "--api", "http://127.0.0.1:9")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "http://127.0.0.1:9 does not answer" in done.stderr


@pytest.mark.parametrize("words", [(), ("factors",), ("refusals",)], ids=" ".join)
def test_asking_for_nothing_shows_the_help_as_it_is(words: tuple[str, ...]) -> None:
    done = call(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == call(*words, "--help").stdout


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("factors", "match", "CN-BJ", "--at", "yesterday"), "'yesterday' is no instant"),
        (("factors", "match", "CN-BJ", "--at", "2026-03-01"), "lacks its offset from UTC"),
        (("factors", "list", "--at", "now"), "'now' is no instant"),
        (("statement", "x", "--from", "foo"), "'foo' is no instant"),
        (("statement", "x", "--to", "foo"), "'foo' is no instant"),
        (("factors", "match", "CN-BJ", "--boundary", "xx"), "'xx' is not one of 'ttw', 'wtw'"),
        (("factors", "list", "--kind", "nonsense"), "'nonsense' is not one of 'grid_average'"),
        (("refusals", "list", "--code", "bad_value"), "did you mean 'row_bad_value'?"),
        (("balance", "x", "--clickhouse", "ftp://x"), "not a ClickHouse URL"),
        (("balance", "x", "--clickhouse", "http://me:pass/word@x"), "no place for a password"),
        (("verify", "--clickhouse", "https://me:password@x"), "no place for a password"),
        (("load", "--bootstrap", "a:b:c"), "nothing to load"),
        (("factors", "load", "--bootstrap", "a:b"), "'a:b' is no list of brokers"),
        (("demo", "--keep", "--fresh"), "--keep and --fresh exclude each other"),
        (("topics", "--replication", "0"), "Invalid value for '--replication'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_value_that_cannot_be_one_is_wrong_use(
    words: tuple[str, ...], reason: str, tmp_path: Path
) -> None:
    done = call(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert reason in done.stderr


@pytest.mark.parametrize("command", ["worker", "sink"])
@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("METRICS_PORT", "abc", "CARBONFLOW_METRICS_PORT is 'abc', not a whole number"),
        ("METRICS_PORT", "70000", "CARBONFLOW_METRICS_PORT is 70000, not a port"),
    ],
)
def test_a_wrong_setting_is_wrong_use(
    command: str, name: str, value: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"CARBONFLOW_{name}", value)
    done = call(command)
    assert done.returncode == 2
    assert done.stderr == f"carbonflow: {reason} (see carbonflow {command} --help)\n"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("DATABASE", "a b", "not a database name: 'a b'"),
        ("CLICKHOUSE_URL", "ftp://u:secret@x", "not a ClickHouse URL, such as"),
    ],
)
@pytest.mark.parametrize("command", ["sink", "api", "migrate"])
def test_a_wrong_setting_of_the_store_is_wrong_use(
    command: str, name: str, value: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"CARBONFLOW_{name}", value)
    done = call(command)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert reason in done.stderr
    assert "secret" not in done.stderr
