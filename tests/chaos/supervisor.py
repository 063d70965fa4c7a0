"""The supervisor: workers and sinks as processes, started again whenever they end.

Why a process ended is one of a few reasons that the faults of a run explain; anything else is
`unexpected`, is kept with the end of its log, and fails the run.

    killed        by a fault of the run
    stopped       asked to end, and did so with status 0; with 143 if it was only just starting
    fenced        a worker whose partition another took, status 3
    broker away   status 1 over an error of Kafka, while a broker was away or shortly after
    store away    a sink with status 1 over its store, while that was away
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from embedded.children import end, log_tail, spawn
from streams.stop import EXIT_FAILED, EXIT_FENCED

Kind = Literal["worker", "sink"]

LOOK_S: Final = 0.05
PAUSE_S_MIN: Final = 0.25
PAUSE_S_MAX: Final = 4.0
"""Between starts of a process that keeps ending: twice as long each time, up to this."""
LIVED_S: Final = 10.0
STOP_S: Final = 60.0
AFTERMATH_S: Final = 60.0
"""How long after a broker is back its absence may still end a process: sessions and requests that
began before run into their limits."""
TAIL_LINES: Final = 40
TERMINATED: Final = 128 + signal.SIGTERM
"""Asked to stop before it was far enough to end well."""

_KAFKA = re.compile(r"^(aiokafka\.errors\.\w+|streams\.worker\.TopicsMissing)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What was going on when a process ended.

    Attributes:
        killed: A fault killed it.
        stopped: It had been asked to end.
        broker_away: A broker was away, or had been a moment ago.
        store_away: The store was.
    """

    killed: bool = False
    stopped: bool = False
    broker_away: bool = False
    store_away: bool = False


def reason_of(kind: Kind, status: int, said: str, around: Around) -> str:
    """Return why a process ended; its last words are `said`."""
    if status == -signal.SIGKILL and around.killed:
        return "killed"
    if status in (0, TERMINATED) and around.stopped:
        return "stopped"
    if status == EXIT_FENCED and kind == "worker":
        return "fenced"
    reason, stack = last_words(said)
    is_broker = reason.startswith("the broker ") or _KAFKA.search(stack)
    if status == EXIT_FAILED and around.broker_away and is_broker:
        return "broker away"
    is_store = reason.startswith("ClickHouse at ")
    if status == EXIT_FAILED and kind == "sink" and around.store_away and is_store:
        return "store away"
    return "unexpected"


def last_words(said: str) -> tuple[str, str]:
    """Return reason and stack of the last critical line of a log; both empty where there is none.

    >>> last_words('{"level": "critical", "reason": "it is full", "stack": "Traceback"}')
    ('it is full', 'Traceback')
    """
    for line in reversed(said.splitlines()):
        try:
            told = json.loads(line)
        except ValueError:
            continue  # What is written before there is a log.
        if told["level"] == "critical":
            return told["reason"], told.get("stack", "")
    return "", ""


@dataclass(slots=True)
class Place:
    """A process by its name: the same member of its group whenever it is started again."""

    name: str
    kind: Kind
    environ: Mapping[str, str]
    log_path: Path
    child: subprocess.Popen[bytes] | None = None
    log_from: int = 0
    starts: int = 0
    killed: bool = False
    stopped: bool = False
    held: bool = False
    """A fault has it in hand."""

    def start(self) -> None:
        """Start it."""
        self.log_from = self.log_path.stat().st_size if self.log_path.exists() else 0
        self.killed = False
        self.starts += 1
        self.child = spawn(
            (sys.executable, "-m", "cli.main", self.kind),
            log_path=self.log_path,
            death_signal=signal.SIGKILL,
            environ={**os.environ, **self.environ},
        )

    def kill(self) -> None:
        """End it as kill -9 does; what it said can still be read."""
        assert self.child is not None, f"{self.name} was never started"
        self.killed = True
        self.child.kill()
        self.child.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.child is not None, f"{self.name} was never started"
        self.child.send_signal(number)

    def runs(self) -> bool:
        """Return whether it runs."""
        return self.child is not None and self.child.poll() is None

    def said(self) -> str:
        """Return what this process has logged so far."""
        with self.log_path.open("rb") as log:
            log.seek(self.log_from)
            return log.read().decode("utf-8", "replace")


@dataclass(slots=True)
class Supervisor:
    """Keeps processes running.

    Attributes:
        tell: Takes a line for people.
        broker_back_s: When a broker was last away, by the monotonic clock; infinity while one is.
        store_back_s: When the store was.
        exits: How many processes ended, by kind and reason.
        unexpected: What those said that ended for no known reason.
    """

    tell: Callable[[str], None]
    broker_back_s: float = -float("inf")
    store_back_s: float = -float("inf")
    places: dict[str, Place] = field(default_factory=dict)
    exits: Counter[tuple[str, str]] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)

    def workers(self) -> list[Place]:
        """Return the workers that are to run."""
        return [p for p in self.places.values() if p.kind == "worker" and not p.stopped]

    async def keep(self, place: Place) -> None:
        """Run a process, and start it again until it is to stop."""
        self.places[place.name] = place
        pause_s = PAUSE_S_MIN
        while not place.stopped:
            began = time.monotonic()
            place.start()
            while place.runs():  # noqa: ASYNC110 - another process has no event.
                await asyncio.sleep(LOOK_S)
            reason = self._note(place)
            lived = time.monotonic() - began > LIVED_S or reason == "killed"
            pause_s = PAUSE_S_MIN if lived else min(2 * pause_s, PAUSE_S_MAX)
            if not place.stopped:
                await asyncio.sleep(pause_s)

    async def stop(self, place: Place) -> None:
        """Ask a process to end, and see to it that it does."""
        place.stopped = True
        if place.child is not None:
            await asyncio.to_thread(end, place.child, term_s=STOP_S)

    def kill_all(self) -> None:
        """End all processes, the paused ones too."""
        for place in self.places.values():
            place.stopped = True
            if place.runs():
                place.kill()

    def _note(self, place: Place) -> str:
        assert place.child is not None
        status, now = place.child.wait(), time.monotonic()
        around = Around(
            killed=place.killed,
            stopped=place.stopped,
            broker_away=now - self.broker_back_s < AFTERMATH_S,
            store_away=now - self.store_back_s < AFTERMATH_S,
        )
        tail = log_tail(place.log_path, lines=TAIL_LINES, since=place.log_from)
        reason = reason_of(place.kind, status, tail, around)
        self.exits[place.kind, reason] += 1
        if reason == "unexpected":
            self.unexpected.append(f"{place.name} ended with {status}:\n{tail}")
            self.tell(self.unexpected[-1])
        elif reason not in ("killed", "stopped"):
            self.tell(f"{place.name} ended: {reason}")
        return reason
