"""A process that is asked to stop ends with status 0; no supervisor takes that for a crash."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.broker import free_port
from tests import clickhouse_server

STOP_S_MAX = 20


@pytest.fixture
def store(tmp_path: Path) -> Iterator[str]:
    with clickhouse_server.start(tmp_path / "data") as url:
        yield url


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("balances", ["topic", "store"])
def test_an_api_that_is_asked_to_stop_ends_well(
    store: str, broker: str, balances: str, how: signal.Signals
) -> None:
    environ = {
        **os.environ,
        "CARBONFLOW_CLICKHOUSE_URL": store,
        "CARBONFLOW_BOOTSTRAP": broker if balances == "topic" else "127.0.0.1:1",
        "CARBONFLOW_API_BALANCES": balances,
        "CARBONFLOW_API_PORT": str(free_port()),
        "CARBONFLOW_API_METRICS_PORT": "0",
    }
    api = subprocess.Popen(
        (sys.executable, "-m", "cli.main", "api"), env=environ, stdout=subprocess.PIPE, text=True
    )
    with api:
        assert api.stdout is not None
        assert api.stdout.readline().startswith("http://127.0.0.1:")
        api.send_signal(how)
        assert api.wait(STOP_S_MAX) == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_still_starting_ends_well(how: signal.Signals) -> None:
    environ = {**os.environ, "CARBONFLOW_BOOTSTRAP": "127.0.0.1:1"}
    worker = subprocess.Popen(
        (sys.executable, "-m", "cli.main", "worker"), env=environ, stderr=subprocess.PIPE, text=True
    )
    with worker:
        assert worker.stderr is not None
        assert any("kernels_ready" in line for line in worker.stderr)
        worker.send_signal(how)
        assert worker.wait(STOP_S_MAX) == 0


def test_an_api_without_the_broker_of_its_balances_says_so(store: str) -> None:
    environ = {
        **os.environ,
        "CARBONFLOW_CLICKHOUSE_URL": store,
        "CARBONFLOW_BOOTSTRAP": "127.0.0.1:1",
        "CARBONFLOW_API_PORT": str(free_port()),
        "CARBONFLOW_API_METRICS_PORT": "0",
    }
    done = subprocess.run(
        (sys.executable, "-m", "cli.main", "api"),
        env=environ,
        capture_output=True,
        text=True,
        timeout=STOP_S_MAX,
        check=False,
    )
    assert done.returncode == 1
    assert "the broker 127.0.0.1:1 does not answer" in done.stderr
