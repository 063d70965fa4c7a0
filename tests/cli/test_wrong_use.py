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


def test_an_unknown_mapping_is_a_failure(sessions: str) -> None:
    done = call("run", "--charging", sessions, "--mapping", "nobodys")
    assert (done.returncode, done.stdout) == (1, "")
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
    assert "there is nothing in .carbonflow: `carbonflow run` or `carbonflow demo`" in done.stderr


def test_loading_where_nothing_runs_is_a_failure(sessions: str, tmp_path: Path) -> None:
    done = call("load", "--charging", sessions, "--mapping", "acn-data", cwd=tmp_path)
    assert done.returncode == 1
    assert "no stack is running over .carbonflow" in done.stderr


def test_an_api_that_is_away_is_a_failure() -> None:
    done = call("balance", "x", "--api", "http://127.0.0.1:9")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "http://127.0.0.1:9 does not answer" in done.stderr


def test_a_wrong_setting_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARBONFLOW_METRICS_PORT", "many")
    done = call("worker")
    assert (done.returncode, done.stderr) == (
        1,
        "carbonflow: CARBONFLOW_METRICS_PORT is 'many', not a whole number\n",
    )
