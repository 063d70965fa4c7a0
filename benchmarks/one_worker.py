"""One worker process, watched from outside: log, counter, memory and processor time."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Final

import psutil  # type: ignore[import-untyped] # It ships no type information.

from benchmarks.measure import BenchmarkError, Look, Measured, cpu_s, pause_s, worked
from embedded.broker import free_port
from embedded.children import end, log_tail, spawn

LOOK_S: Final = 0.02
WAIT_S_MAX: Final = 180.0
STOP_S_MAX: Final = 20.0


@dataclass(frozen=True, slots=True)
class Opened:
    """A book that a worker has opened: when [s since 1970], its accounts, and how long it took."""

    at_s: float
    accounts: int
    took_s: float


@dataclass(frozen=True, slots=True)
class OneWorker:
    """A worker that runs."""

    child: subprocess.Popen[bytes]
    log: Path
    log_from: int
    port: int
    started_s: float

    def events(self) -> int:
        """Return how many events it has worked."""
        return worked(self.port, "carbonflow_events_total")

    def rss_bytes(self) -> int:
        """Return the memory that it occupies."""
        return int(psutil.Process(self.child.pid).memory_info().rss)

    def rss_bytes_max(self) -> int:
        """Return the most memory that it has ever occupied, where the system keeps account."""
        status = Path(f"/proc/{self.child.pid}/status")
        if not status.exists():
            return self.rss_bytes()
        found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())
        assert found, "Linux tells the peak of every process that runs"
        return int(found[1]) * 1024

    def opened(self) -> list[Opened]:
        """Return the books that it has opened, as its log has them."""
        with self.log.open("rb") as log:
            log.seek(self.log_from)
            whole, _, _ = log.read().rpartition(b"\n")
        told = [json.loads(line) for line in whole.splitlines()]
        return [
            Opened(
                datetime.fromisoformat(line["time"]).timestamp(), line["accounts"], line["seconds"]
            )
            for line in told
            if line["event"] == "recovery_ended"
        ]

    def until(self, holds: Callable[[], bool]) -> float:
        """Wait for something and return how long after its start it was there [s].

        Raises:
            BenchmarkError: The worker has ended, or it takes too long.
        """
        deadline_s = time.monotonic() + WAIT_S_MAX
        while not holds():
            self._check(deadline_s)
            Event().wait(LOOK_S)
        return time.monotonic() - self.started_s

    def measured(self, first: Look, goal: int) -> Measured:
        """Return what it does from a look until it has worked so many events.

        Raises:
            BenchmarkError: The worker has ended, or it takes too long.
        """
        deadline_s = time.monotonic() + WAIT_S_MAX
        while (count := self.events()) < goal:
            self._check(deadline_s)
            # Every look costs it some processor time.
            Event().wait(pause_s(first, time.monotonic(), count, goal))
        return Measured.between(first, Look(time.monotonic(), count, cpu_s(self.child.pid)))

    def _check(self, deadline_s: float) -> None:
        if self.child.poll() is not None or time.monotonic() > deadline_s:
            raise BenchmarkError(f"the worker does not get on:\n{log_tail(self.log)}")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let it stand still meanwhile; for less than its session timeout, or others take over."""
        self.child.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.child.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as kill -9 does."""
        self.child.kill()
        self.child.wait(STOP_S_MAX)


@contextmanager
def one_worker(folder: Path, environ: Mapping[str, str]) -> Iterator[OneWorker]:
    """Run a worker with settings of production but for those given; it ends with the context."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "worker.log"
    log_from = log.stat().st_size if log.exists() else 0
    port = free_port()
    own = {
        "CARBONFLOW_INSTANCE": "bench-0",
        "CARBONFLOW_LOG_FORMAT": "json",
        "CARBONFLOW_METRICS_PORT": str(port),
        "CARBONFLOW_DATA_DIR": str(folder / "data"),
        **environ,
    }
    started_s = time.monotonic()
    child = spawn(
        (sys.executable, "-m", "cli.main", "worker"),
        log_path=log,
        death_signal=signal.SIGKILL,
        environ={**os.environ, **own},
    )
    try:
        yield OneWorker(child, log, log_from, port, started_s)
    finally:
        end(child, term_s=STOP_S_MAX)
