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
def test_an_api_that_is_asked_to_stop_ends_well(store: str, how: signal.Signals) -> None:
    environ = {
        **os.environ,
        "CARBONFLOW_CLICKHOUSE_URL": store,
        "CARBONFLOW_API_PORT": str(free_port()),
    }
    api = subprocess.Popen(
        (sys.executable, "-m", "cli.main", "api"), env=environ, stdout=subprocess.PIPE, text=True
    )
    with api:
        assert api.stdout is not None
        assert api.stdout.readline().startswith("http://127.0.0.1:")
        api.send_signal(how)
        assert api.wait(STOP_S_MAX) == 0
