"""A server that is away is told in one line that names it, and nothing else is said."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import clickhouse_server
from tests.cli.test_wrong_use import call
from tests.logs import why_failed

NOBODY = "127.0.0.1:9"


@pytest.mark.parametrize(
    "words",
    [("migrate",), ("balance", "x"), ("factors", "list")],
    ids=" ".join,
)
def test_a_store_that_is_away(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CARBONFLOW_CLICKHOUSE_URL", f"http://me:secret@{NOBODY}")
    done = call(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"carbonflow: ClickHouse at http://{NOBODY}: connection refused\n"


@pytest.mark.parametrize("process", ["sink", "api"])
def test_a_process_whose_store_is_away(process: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARBONFLOW_CLICKHOUSE_URL", f"http://me:secret@{NOBODY}")
    done = call(process)
    assert (done.returncode, done.stdout) == (1, "")
    assert why_failed(done.stderr) == f"ClickHouse at http://{NOBODY}: connection refused"
    assert "secret" not in done.stderr


def test_a_process_whose_log_is_text_says_why_in_its_last_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CARBONFLOW_CLICKHOUSE_URL", f"http://me:secret@{NOBODY}")
    monkeypatch.setenv("CARBONFLOW_LOG_FORMAT", "text")
    started, why = call("sink").stderr.splitlines()
    assert " INFO carbonflow: Carbonflow " in started
    assert why == f"carbonflow: ClickHouse at http://{NOBODY}: connection refused"
    assert "secret" not in started


@pytest.mark.parametrize("words", [("topics",), ("factors", "load")], ids=" ".join)
def test_a_broker_that_is_away(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CARBONFLOW_BOOTSTRAP", NOBODY)
    done = call(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"carbonflow: the broker {NOBODY} does not answer\n"


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which something listens."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        yield door.getsockname()[1]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an empty ClickHouse."""
    with clickhouse_server.start(tmp_path_factory.mktemp("store") / "data") as url:
        yield url


def test_a_sink_whose_metrics_port_is_taken(
    store: str, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARBONFLOW_CLICKHOUSE_URL", store)
    monkeypatch.setenv("CARBONFLOW_METRICS_PORT", str(taken))
    done = call("sink")
    assert (done.returncode, why_failed(done.stderr)) == (
        1,
        f"port {taken} of 127.0.0.1 is taken: CARBONFLOW_METRICS_PORT gives another",
    )


def test_an_api_whose_port_is_taken(
    store: str, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARBONFLOW_CLICKHOUSE_URL", store)
    monkeypatch.setenv("CARBONFLOW_API_PORT", str(taken))
    done = call("api")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"cannot listen on 127.0.0.1:{taken} (CARBONFLOW_API_PORT)" in why_failed(done.stderr)


def test_the_database_of_the_settings_is_migrated_and_asked(
    store: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CARBONFLOW_DATABASE", "elsewhere")
    monkeypatch.setenv("CARBONFLOW_CLICKHOUSE_URL", store)
    migrated = call("migrate", "--json")
    assert migrated.returncode == 0, migrated.stderr
    assert '"database": "elsewhere"' in migrated.stdout
    monkeypatch.delenv("CARBONFLOW_CLICKHOUSE_URL")
    done = call("balance", "x", "--clickhouse", store, cwd=tmp_path)
    assert done.stderr == "carbonflow: There is no account 'x'.\n"
