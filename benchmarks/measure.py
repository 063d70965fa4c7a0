"""How long a contestant takes and how much processor time it uses, seen from outside.

The clock starts when the counter of events worked first moves, or has passed the contestant's
warm-up; for a contestant that works ahead of its counter, when it says that it begins. It ends when
the counter reaches the events of the load or when the contestant's window is over; what the first
look already found is not counted. Starting, joining the group and restoring stay outside. The
processor time is that of the whole process tree between the same two looks.

Every look costs the contestant some processor time, so looks become frequent only where the start
or the end of the load is near.
"""

import math
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Final

import psutil  # type: ignore[import-untyped] # It ships no type information.

from benchmarks.contestants import ROOT, Contestant
from benchmarks.ground import Ground
from embedded.broker import free_port
from embedded.children import end, log_tail, spawn

LOOK_S_MIN: Final = 0.02
LOOK_S_MAX: Final = 0.5
FIRST_EVENT_S_MAX: Final = 90.0
EVENTS_PER_S_MIN: Final = 500
STOP_S_MAX: Final = 20.0
MAKE_S_MAX: Final = 600.0
CPU_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")


class BenchmarkError(Exception):
    """A contestant could not be made, ended, or was too slow; the message has its last words."""


@dataclass(frozen=True, slots=True)
class Look:
    """A glance at a contestant: when [s], events worked so far, processor time so far [s]."""

    at_s: float
    events: int
    cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What happened between two looks: events, time [s] and processor time [s]."""

    events: int
    elapsed_s: float
    cpu_s: float

    @classmethod
    def between(cls, first: Look, last: Look) -> "Measured":
        """Return what happened between two looks.

        >>> Measured.between(Look(10.0, 1_000, 3.0), Look(12.0, 31_000, 4.5)).events_per_s
        15000.0

        Raises:
            BenchmarkError: Nothing did.
        """
        if last.events <= first.events:
            raise BenchmarkError("nothing was worked while the clock ran; use more events")
        return cls(
            events=last.events - first.events,
            elapsed_s=last.at_s - first.at_s,
            cpu_s=max(last.cpu_s - first.cpu_s, CPU_TICK_S),
        )

    @property
    def events_per_s(self) -> float:
        """Events worked in a second."""
        return self.events / self.elapsed_s

    @property
    def events_per_cpu_s(self) -> float:
        """Events worked in a second of one processor."""
        return self.events / self.cpu_s


def make(contestant: Contestant) -> None:
    """Have `make` build what a contestant needs; nothing happens where it is there.

    Raises:
        BenchmarkError: `make` failed.
    """
    if contestant.needs is None:
        return
    done = subprocess.run(
        ["make", "--silent", contestant.needs],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=MAKE_S_MAX,
    )
    if done.returncode != 0:
        raise BenchmarkError(
            f"make {contestant.needs} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )


def measure(contestant: Contestant, ground: Ground, events: int) -> Measured:
    """Run a contestant over a load of so many events, which is in its topic.

    Raises:
        BenchmarkError: Its program is missing, it ended by itself, or was too slow.
    """
    name, *arguments = contestant.command
    program = shutil.which(name)
    if program is None:
        raise BenchmarkError(f"{contestant.name} needs {name}, which is not there")
    port = free_port()
    log = ground.folder / f"{ground.prefix}{contestant.name}.log"
    child = spawn(
        (program, *arguments),
        log_path=log,
        death_signal=signal.SIGKILL,
        environ={**ground.environ, **contestant.environ(ground, port)},
    )
    try:
        return _watch(contestant, child, log, port, events)
    finally:
        end(child, term_s=STOP_S_MAX)


def _watch(
    contestant: Contestant, child: subprocess.Popen[bytes], log: Path, port: int, events: int
) -> Measured:
    window_s = contestant.window_s_max or events / EVENTS_PER_S_MIN
    goal = math.inf if contestant.endless else events
    started_s = time.monotonic()
    first: Look | None = None
    while True:
        lines, now_s = metrics(port), time.monotonic()
        count = total(lines, contestant.counter)
        running = child.poll() is None
        if running and first is None and begun(contestant, lines, count, events):
            first = Look(now_s, count, cpu_s(child.pid))
        elapsed_s = now_s - (started_s if first is None else first.at_s)
        over = first is not None and contestant.window_s_max is not None and elapsed_s >= window_s
        if running and first is not None and (over or count >= goal):
            return Measured.between(first, Look(now_s, count, cpu_s(child.pid)))
        if not running or elapsed_s > (FIRST_EVENT_S_MAX if first is None else window_s):
            how = "takes too long" if running else f"ended with {child.returncode}"
            raise BenchmarkError(
                f"{contestant.name} {how} after {count} of {events} events:\n{log_tail(log)}"
            )
        Event().wait(LOOK_S_MIN if first is None else pause_s(first, now_s, count, goal))


def pause_s(first: Look, now_s: float, count: int, goal: float) -> float:
    """Return how long to wait for the next look: half of what the load will still take.

    >>> pause_s(Look(10.0, 0, 0.0), 12.0, 50_000, 60_000)
    0.2
    >>> pause_s(Look(10.0, 0, 0.0), 12.0, 60_000, 600_000)
    0.5
    >>> pause_s(Look(10.0, 500, 0.0), 10.0, 500, 60_000)
    0.02
    """
    if count <= first.events:
        return LOOK_S_MIN
    left_s = (goal - count) * (now_s - first.at_s) / (count - first.events)
    return min(LOOK_S_MAX, max(LOOK_S_MIN, left_s / 2))


def begun(contestant: Contestant, lines: Sequence[str], count: int, events: int) -> bool:
    """Return whether a contestant's clock starts, by its metrics and the events of its load."""
    if contestant.begins is not None:
        return any(line.startswith(f"{contestant.begins}{{") for line in lines)
    return count > events * contestant.warm_share


def worked(port: int, counter: str) -> int:
    """Return a counter of a process's metrics, 0 while it does not serve any."""
    return total(metrics(port), counter)


def metrics(port: int) -> list[str]:
    """Return the lines of a process's metrics, none while it does not serve any."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text: str = answer.read().decode()
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return []
    return text.splitlines()


def total(lines: Sequence[str], counter: str) -> int:
    """Return the sum of a counter's series.

    >>> total(['# TYPE a_total counter', 'a_total{b="1"} 2.0', 'a_total{b="2"} 3.0'], "a_total")
    5
    """
    return int(sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(counter)))


def cpu_s(pid: int) -> float:
    """Return the processor time of a process and all it has started [s], user and system.

    A process that ends meanwhile is counted by its parent once that has taken notice of it.
    """
    top = psutil.Process(pid)
    total = 0.0
    for each in (top, *top.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total
