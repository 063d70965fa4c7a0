"""Who runs the job, and how long each takes for it, measured from outside in the same way.

Every contestant is a process of its own with a Prometheus counter of the events it has worked. The
clock starts when that counter first moves and ends when it reaches the events of the load; what the
first look already found is not counted. Starting, joining the group and restoring stay outside.
"""

import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Final

from embedded.broker import free_port
from embedded.children import end, log_tail, spawn

LOOK_EVERY_S: Final = 0.02
FIRST_EVENT_S_MAX: Final = 90.0
EVENTS_PER_S_MIN: Final = 500
STOP_S_MAX: Final = 20.0


class BenchmarkError(Exception):
    """A contestant ended or did not get through the load; the message has its last words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What one run stands on: the broker, the topic to work, and a folder of its own."""

    bootstrap: str
    prefix: str
    partitions: int
    folder: Path
    environ: Mapping[str, str]

    @property
    def topic(self) -> str:
        """The topic with the load."""
        return f"{self.prefix}charging-sessions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A way to do the job.

    Attributes:
        name: Its key in the results.
        counter: The Prometheus counter of events worked; its series are summed.
        command: The program.
        environ: Its settings on some ground, given the port for its metrics.
    """

    name: str
    counter: str
    command: tuple[str, ...]
    environ: Callable[[Ground, int], dict[str, str]]


def _ours(ground: Ground, port: int) -> dict[str, str]:
    return {
        "CARBONFLOW_BOOTSTRAP": ground.bootstrap,
        "CARBONFLOW_PREFIX": ground.prefix,
        "CARBONFLOW_INSTANCE": "bench-0",
        "CARBONFLOW_METRICS_PORT": str(port),
        "CARBONFLOW_DATA_DIR": str(ground.folder / "worker"),
    }


def _peer(ground: Ground, port: int) -> dict[str, str]:
    return {
        "BENCH_BOOTSTRAP": ground.bootstrap,
        "BENCH_TOPIC": ground.topic,
        "BENCH_APP": f"{ground.prefix}peer",
        "BENCH_PORT": str(port),
        "BENCH_PARTITIONS": str(ground.partitions),
        "BENCH_DATA_DIR": str(ground.folder / "peer"),
    }


OURS: Final = Contestant(
    name="carbonflow",
    counter="carbonflow_events_total",
    command=(sys.executable, "-m", "cli.main", "worker"),
    environ=_ours,
)
PLAIN_FAUST: Final = Contestant(
    name="plain_faust",
    counter="peer_events_total",
    command=(sys.executable, "-m", "benchmarks.peers.plain_faust"),
    environ=_peer,
)


def events_per_s(contestant: Contestant, ground: Ground, events: int) -> float:
    """Run a contestant over a load and return the events it worked in a second.

    Raises:
        BenchmarkError: It ended by itself, or was too slow.
    """
    port = free_port()
    log = ground.folder / f"{ground.prefix}{contestant.name}.log"
    child = spawn(
        contestant.command,
        log_path=log,
        death_signal=signal.SIGKILL,
        environ={**ground.environ, **contestant.environ(ground, port)},
    )
    try:
        return _measured(contestant, child, log, port, events)
    finally:
        end(child, term_s=STOP_S_MAX)


def _measured(
    contestant: Contestant, child: subprocess.Popen[bytes], log: Path, port: int, events: int
) -> float:
    started = time.monotonic()
    first: tuple[float, int] | None = None
    while True:
        count, now = worked(port, contestant.counter), time.monotonic()
        if first is None and count > 0:
            first = now, count
        if first is not None and count >= events:
            return rate(first, (now, count))
        limit = (
            FIRST_EVENT_S_MAX if first is None else FIRST_EVENT_S_MAX + events / EVENTS_PER_S_MIN
        )
        if child.poll() is not None or now - started > limit:
            how = "takes too long" if child.poll() is None else f"ended with {child.returncode}"
            raise BenchmarkError(
                f"{contestant.name} {how} after {count} of {events} events:\n{log_tail(log)}"
            )
        Event().wait(LOOK_EVERY_S)


def rate(first: tuple[float, int], last: tuple[float, int]) -> float:
    """Return events per second between two looks at (time [s], events).

    >>> rate((10.0, 1_000), (12.0, 31_000))
    15000.0

    Raises:
        BenchmarkError: All was done at the first look, so nothing was measured.
    """
    if last[1] <= first[1]:
        raise BenchmarkError("the load was done at the first look; use more events")
    return (last[1] - first[1]) / (last[0] - first[0])


def worked(port: int, counter: str) -> int:
    """Return a counter of a process's metrics, 0 while it does not serve any."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return 0
    return int(sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(counter)))
