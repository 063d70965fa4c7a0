"""`carbonflow up`: what is produced can be asked for over HTTP, and its parts end together."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

from embedded.broker import free_port
from producers.client.columns import CarbonflowProducer
from schemas.columns import decode
from schemas.settings import BrokerSettings
from schemas.singles import encode_one
from streams.warm import SESSION
from tests.end_to_end.command import CARBONFLOW, environment
from tests.end_to_end.under_way import still_running

WAIT_S = 90.0
STOP_S = 30.0
SESSIONS = 3


@dataclass(frozen=True, slots=True)
class Up:
    """A stack that is up."""

    process: subprocess.Popen[bytes]
    bootstrap: str
    api: str
    service: str
    metrics_port: int
    warned: Path

    def get(self, path: str) -> Any:
        """Return the answer to a GET."""
        with urlopen(f"{self.api}{path}", timeout=10) as answer:
            return json.loads(answer.read())

    def has(self, path: str, name: str, value: object) -> bool:
        """Return whether there is an answer to a GET, with such a value."""
        try:
            return bool(self.get(path)[name] == value)
        except HTTPError as error:
            if error.code != HTTPStatus.NOT_FOUND:
                raise
            return False

    def api_pid(self) -> int:
        """Return the process id of its API."""
        for listed in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            for pid in map(int, listed.read_text().split()):
                if b"embedded.serving" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return pid
        raise AssertionError("it has no API")

    def until(self, happened: Callable[[], bool]) -> None:
        """Wait for something, unless it ends first."""
        deadline, pause = time.monotonic() + WAIT_S, threading.Event()
        while not happened():
            assert self.process.poll() is None, self.warned.read_text()
            assert time.monotonic() < deadline, "it never happened"
            pause.wait(0.05)

    def is_ready(self) -> bool:
        """Return whether its API is."""
        try:
            with urlopen(f"{self.service}/readyz", timeout=10) as answer:
                return bool(json.loads(answer.read()) == {"status": "ready"})
        except URLError:
            return False


@contextmanager
def up(folder: Path, **settings: str) -> Iterator[Up]:
    """Run `carbonflow up`."""
    broker, api, service, metrics = (free_port() for _ in range(4))
    argv = [CARBONFLOW, "up", "--data-dir", str(folder / "books")]
    argv += ["--broker-port", str(broker), "--api-port", str(api)]
    argv += ["--api-metrics-port", str(service), "--metrics-port", str(metrics)]
    warned = folder / "up.err"
    with warned.open("wb") as err:
        process = subprocess.Popen(
            argv, stdout=subprocess.DEVNULL, stderr=err, env=environment(**settings)
        )
    try:
        urls = f"http://127.0.0.1:{api}", f"http://127.0.0.1:{service}"
        yield Up(process, f"127.0.0.1:{broker}", *urls, metrics, warned)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(STOP_S)


async def send(bootstrap: str) -> None:
    values = [
        encode_one("charging_session", {**SESSION, "session_id": f"s{number}"})
        for number in range(SESSIONS)
    ]
    async with CarbonflowProducer(BrokerSettings(bootstrap=bootstrap)) as producer:
        await producer.send_batch("charging_session", decode("charging_session", values).batch)


def test_what_is_produced_is_asked_for_over_http(tmp_path: Path) -> None:
    # Settings of another broker and another API are none of the stack's.
    elsewhere = {"CARBONFLOW_PREFIX": "other.", "CARBONFLOW_API_HOST": "192.0.2.1"}
    with up(tmp_path, **elsewhere) as stack:
        stack.until(stack.is_ready)
        asyncio.run(send(stack.bootstrap))
        account = f"/v1/accounts/{SESSION['account_id']}"
        stack.until(lambda: stack.has(f"{account}/balance", "session_count", SESSIONS))
        stack.until(lambda: stack.get("/v1/verify") == {"ok": True, "drift": [], "waiting": 0})
        assert len(stack.get(f"{account}/statement")["transfers"]) == 2 * SESSIONS
        with urlopen(f"{stack.service}/metrics", timeout=10) as answer:
            metrics = answer.read().decode()
        assert f'carbonflow_sink_rows_total{{table="transfers"}} {2.0 * SESSIONS}' in metrics
        assert re.search(r"^carbonflow_balances_followed_total [1-9]", metrics, re.MULTILINE)


def test_a_killed_api_ends_the_stack_with_a_word(tmp_path: Path) -> None:
    with up(tmp_path) as stack:
        stack.until(stack.is_ready)
        subprocess.run(["kill", "-9", str(stack.api_pid())], check=True)
        assert stack.process.wait(STOP_S) == 1
        assert "the API ended with status -9" in stack.warned.read_text()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_the_api_ends_with_the_stack(tmp_path: Path, how: signal.Signals) -> None:
    with up(tmp_path) as stack:
        stack.until(stack.is_ready)
        api = stack.api_pid()
        stack.process.send_signal(how)
        stack.process.wait(STOP_S)
        assert still_running([api], s_max=STOP_S) == []
