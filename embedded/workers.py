"""Worker processes and their supervisor, which starts again what has ended, within a bound.

A worker that meets anything but bad input stops with a non-zero status and its offsets unmoved;
that is by design, and starting it again is what makes it safe. A worker that keeps ending has a
reason a person must see: after `RESTARTS_MAX` the supervisor gives up and says what the last one
wrote. One that has lived for `LIVED_S` was well: what ended it is not what ended those before.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from embedded.children import end, log_tail, spawn
from schemas.settings import UNSECURED
from sinks.connect import OPEN
from sinks.sink import SinkSettings

RESTARTS_MAX = 5
LIVED_S = 300.0
TERM_S = 20.0


def environ_within(sink: SinkSettings, *, store_url: str) -> dict[str, str]:
    """Return how workers reach the other parts of a stack, whatever else an environment says."""
    return {
        **UNSECURED,
        "CARBONFLOW_SCHEMA_REGISTRY_URL": "",
        "CARBONFLOW_BOOTSTRAP": sink.bootstrap,
        "CARBONFLOW_PREFIX": sink.prefix,
        **OPEN,
        "CARBONFLOW_LATE_EVENTS": "ask",
        "CARBONFLOW_CLICKHOUSE_URL": store_url,
        "CARBONFLOW_DATABASE": sink.database,
        "CARBONFLOW_SINK_GROUP": sink.sink_group,
        # Its last words are told to a person.
        "CARBONFLOW_LOG_FORMAT": "text",
    }


class WorkerError(Exception):
    """Workers keep ending; the message has the last one's words."""


@dataclass(slots=True)
class _Place:
    """The place of one worker: its process, since when, and how often it was started again."""

    name: str
    log_path: Path
    environ: dict[str, str]
    child: subprocess.Popen[bytes]
    log_from: int
    started_s: float
    restarts: int = 0


@dataclass(slots=True)
class Workers:
    """Some workers of one stack.

    Attributes:
        command: The program and arguments that run one worker in the foreground.
        environ: Settings of all workers, `CARBONFLOW_<FIELD>`.
        metrics_ports: Port of each worker's metrics; none where empty.
        log_dir: Takes `worker-<n>.log`.
        tell: Is told about every restart.
        niceness: How far their priority is below this process's, as nice(1) has it.
        now: A clock [s].
    """

    environ: Mapping[str, str]
    metrics_ports: Sequence[int]
    log_dir: Path
    tell: Callable[[str], None]
    niceness: int = 0
    now: Callable[[], float] = time.monotonic
    command: tuple[str, ...] = (sys.executable, "-m", "cli.main", "worker")
    places: list[_Place] = field(default_factory=list)

    def start(self, count: int) -> None:
        """Start workers until there are `count`."""
        for number in range(len(self.places), count):
            name = f"worker-{number}"
            log_path = self.log_dir / f"{name}.log"
            environ = {**os.environ, **self.environ, "CARBONFLOW_INSTANCE": name}
            port = self.metrics_ports[number] if self.metrics_ports else 0
            environ["CARBONFLOW_METRICS_PORT"] = str(port)
            child, log_from = self._spawn(log_path, environ)
            self.places.append(_Place(name, log_path, environ, child, log_from, self.now()))

    def check(self) -> None:
        """Start again what has ended.

        Raises:
            WorkerError: One has ended more than RESTARTS_MAX times, each time before LIVED_S.
        """
        for place in self.places:
            status = place.child.poll()
            if status is None:
                continue
            if self.now() - place.started_s >= LIVED_S:
                place.restarts = 0
            words = log_tail(place.log_path, lines=1, since=place.log_from) or "no message"
            if place.restarts >= RESTARTS_MAX:
                raise WorkerError(
                    f"{place.name} ended {place.restarts + 1} times, last with status {status}: "
                    f"{words} (log: {place.log_path})"
                )
            place.restarts += 1
            self.tell(f"{place.name} ended with status {status} and is started again: {words}")
            place.child, place.log_from = self._spawn(place.log_path, place.environ)
            place.started_s = self.now()

    def stop(self, *, term_s: float = TERM_S) -> None:
        """Ask all of them to end, kill those that have not after a while; twice is fine."""
        for place in self.places:
            if place.child.poll() is None:
                place.child.terminate()
        for place in self.places:
            end(place.child, term_s=term_s)
        self.places.clear()

    def _spawn(
        self, log_path: Path, environ: Mapping[str, str]
    ) -> tuple[subprocess.Popen[bytes], int]:
        log_from = log_path.stat().st_size if log_path.exists() else 0
        child = spawn(
            self.command,
            log_path=log_path,
            death_signal=signal.SIGKILL,
            environ=environ,
            niceness=self.niceness,
        )
        return child, log_from
