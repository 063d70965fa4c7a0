"""The API's process, which ends with the stack it belongs to; `serving` is what runs in it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from embedded.broker import HOST
from embedded.children import end, log_tail, spawn

START_S_MAX = 60.0
STOP_S_MAX = 5.0
_LOOK_S = 0.05


class ApiError(Exception):
    """The API has ended, or does not come up; the message has its last words."""


@dataclass(frozen=True, slots=True)
class Api:
    """An API process."""

    child: subprocess.Popen[bytes]
    log_path: Path
    port: int

    @classmethod
    def start(
        cls, port: int, metrics_port: int, *, environ: Mapping[str, str], log_path: Path
    ) -> Api:
        """Start it.

        Args:
            port: Port of 127.0.0.1.
            metrics_port: Port of its metrics and health.
            environ: Its settings, `CARBONFLOW_<FIELD>`.
            log_path: Takes what it says.
        """
        ports = {
            "CARBONFLOW_API_PORT": str(port),
            "CARBONFLOW_API_METRICS_PORT": str(metrics_port),
        }
        child = spawn(
            [sys.executable, "-m", "embedded.serving"],
            log_path=log_path,
            death_signal=signal.SIGTERM,
            environ={**os.environ, **environ, **ports},
        )
        return cls(child, log_path, port)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{HOST}:{self.port}"

    def wait(self, check: Callable[[], None]) -> None:
        """Return once it accepts connections; `check` is called meanwhile and may raise.

        Raises:
            ApiError: It has not within START_S_MAX.
        """
        deadline, pause = time.monotonic() + START_S_MAX, threading.Event()
        while not self._accepts():
            check()
            if time.monotonic() > deadline:
                raise ApiError(f"the API does not come up (log: {self.log_path})")
            pause.wait(_LOOK_S)

    def check(self) -> None:
        """Look whether it lives.

        Raises:
            ApiError: It has ended.
        """
        status = self.child.poll()
        if status is not None:
            words = log_tail(self.log_path, lines=1) or "no message"
            raise ApiError(f"the API ended with status {status}: {words} (log: {self.log_path})")

    def stop(self) -> None:
        """End it; twice is fine."""
        end(self.child, term_s=STOP_S_MAX)

    def _accepts(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=1.0):
                return True
        except OSError:
            return False
