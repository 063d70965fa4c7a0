"""`carbonflow up`, run as a user runs it, over a folder and ports of its own."""

from __future__ import annotations

import json
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

from embedded.broker import free_port
from tests.end_to_end.command import CARBONFLOW, environment

WAIT_S = 90.0
STOP_S = 30.0


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
        with urlopen(f"{self.api}{path}", timeout=30) as answer:
            return json.loads(answer.read())

    def has(self, path: str, name: str, value: object) -> bool:
        """Return whether there is an answer to a GET, with such a value."""
        try:
            return bool(self.get(path)[name] == value)
        except HTTPError as error:
            if error.code != HTTPStatus.NOT_FOUND:
                raise
            return False

    def children(self) -> dict[int, bytes]:
        """Return what its children run, by process id."""
        return {
            pid: Path(f"/proc/{pid}/cmdline").read_bytes()
            for listed in Path(f"/proc/{self.process.pid}/task").glob("*/children")
            for pid in map(int, listed.read_text().split())
        }

    def api_pid(self) -> int:
        """Return the process id of its API."""
        (pid,) = [pid for pid, what in self.children().items() if b"embedded.serving" in what]
        return pid

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
