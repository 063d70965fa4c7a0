"""What every tutorial begins and ends with: a Carbonflow of its own, and a balance.

In earnest these are other people's: Kafka and the workers are operated somewhere, and the balance
is asked of the API. Here `carbonflow up` runs all of it on this machine, over a folder.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from producers.client.settings import ClientSettings
from producers.client.sync import Client
from schemas.settings import BrokerSettings

CARBONFLOW = str(Path(sys.executable).with_name("carbonflow"))
WAIT_S_MAX = 120.0
LOOK_S = 0.1


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def command(*words: str, **settings: str) -> str:
    """Run `carbonflow` to its end, and return what it printed."""
    print("$ carbonflow", *words, flush=True)
    environ = {**os.environ, **settings}
    done = subprocess.run([CARBONFLOW, *words], env=environ, stdout=subprocess.PIPE, check=True)
    return done.stdout.decode()


@dataclass(frozen=True, slots=True)
class Running:
    """A Carbonflow that runs."""

    bootstrap: str
    api: str
    folder: Path

    def client(self) -> Client:
        """Return a client that sends to it, as any program would."""
        return Client(ClientSettings(broker=BrokerSettings(bootstrap=self.bootstrap)))

    def balance(self, account: str, *, booked: int, repeated: int = 0) -> dict[str, Any]:
        """Print and return the balance of an account, once so much of it was worked.

        Args:
            account: The account.
            booked: Sessions and trips that it must have at least.
            repeated: Repeats of them that must have been recognised.
        """
        deadline = time.monotonic() + WAIT_S_MAX
        while not self._is_worked(account, booked, repeated):
            if time.monotonic() > deadline:
                raise SystemExit(f"{account} is not worked after {WAIT_S_MAX:.0f} s")
            time.sleep(LOOK_S)
        found: dict[str, Any] = json.loads(command("balance", account, "--api", self.api, "--json"))
        print(json.dumps(found, indent=2, ensure_ascii=False), flush=True)
        return found

    def _is_worked(self, account: str, booked: int, repeated: int) -> bool:
        try:
            with urlopen(f"{self.api}/v1/accounts/{account}/balance", timeout=10) as answer:
                found = json.loads(answer.read())
        except HTTPError as error:
            if error.code != HTTPStatus.NOT_FOUND:
                raise
            return False  # Nothing of it was booked yet.
        count = int(found["session_count"]) + int(found["trip_count"])
        return count >= booked and int(found["duplicate_count"]) >= repeated


@contextmanager
def carbonflow(*options: str, **settings: str) -> Iterator[Running]:
    """Run `carbonflow up` with some options over a new folder, which is removed at the end."""
    broker, api, health, metrics = (free_port() for _ in range(4))
    ports = (
        *("--broker-port", broker, "--api-port", api),
        *("--api-metrics-port", health, "--metrics-port", metrics),
    )
    with tempfile.TemporaryDirectory(prefix="carbonflow-tutorial-") as name:
        words = [CARBONFLOW, "up", "--data-dir", f"{name}/books", *map(str, ports), *options]
        with Path(name, "up.log").open("wb") as log:
            process = subprocess.Popen(
                words, env={**os.environ, **settings}, stdout=log, stderr=log
            )
        try:
            _wait(process, f"http://127.0.0.1:{health}/readyz", Path(name, "up.log"))
            yield Running(f"127.0.0.1:{broker}", f"http://127.0.0.1:{api}", Path(name))
        finally:
            process.terminate()
            process.wait(WAIT_S_MAX)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + WAIT_S_MAX
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(url, timeout=10) as answer:
                if json.loads(answer.read()) == {"status": "ready"}:
                    return
        except URLError:
            time.sleep(LOOK_S)  # It doesn't listen yet, or says that it is not ready.
    raise SystemExit(f"carbonflow up does not get ready:\n{log.read_text('utf-8', 'replace')}")
