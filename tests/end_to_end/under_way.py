"""A run under way: how far it is, asked of its broker, and its processes, to be killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedded.monitor import Monitor
from embedded.stack import GROUP
from schemas.catalogue import ACTIVITY_TOPICS
from schemas.settings import BrokerSettings
from tests.end_to_end.command import CARBONFLOW, RUN_S_MAX, environment

_POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Seen:
    """One look: records the broker has of both activities, and how many of them are worked."""

    written: int
    worked: int


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A run that was started; what it says goes to two files."""

    process: subprocess.Popen[bytes]
    said: Path
    warned: Path

    @classmethod
    def start(cls, *words: str, data_dir: Path, **settings: str) -> UnderWay:
        """Start `carbonflow` over a folder, with settings for its workers."""
        said, warned = data_dir.with_suffix(".out"), data_dir.with_suffix(".err")
        argv = [CARBONFLOW, *words, "--data-dir", str(data_dir), "--json"]
        with said.open("wb") as out, warned.open("wb") as err:
            process = subprocess.Popen(argv, stdout=out, stderr=err, env=environment(**settings))
        return cls(process, said, warned)

    def until(self, is_reached: Callable[[Seen], bool]) -> Seen:
        """Return the first look at which a moment is reached."""
        return asyncio.run(self._until(is_reached))

    def children(self) -> dict[str, int]:
        """Return the process ids of its broker and its worker, as far as they are there."""
        found: dict[str, int] = {}
        for listed in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            for pid in map(int, listed.read_text().split()):
                words = _command(pid)
                if "worker" in words:
                    found["worker"] = pid
                elif "--kafka-port" in words:
                    found["broker"] = pid
        return found

    def ended(self, *, s_max: float = RUN_S_MAX) -> tuple[int, dict[str, Any], str]:
        """Wait for its end; return exit status, summary, and what it said beside."""
        status = self.process.wait(s_max)
        text = self.said.read_text()
        return status, json.loads(text) if text else {}, self.warned.read_text()

    def kill(self) -> None:
        """Kill it with -9."""
        self.process.kill()
        self.process.wait()

    def kill_child(self, name: str) -> None:
        """Kill its broker or its worker with -9."""
        os.kill(self.children()[name], signal.SIGKILL)

    async def _until(self, is_reached: Callable[[Seen], bool]) -> Seen:
        deadline = time.monotonic() + RUN_S_MAX
        # The worker comes last: with it there, broker and topics are.
        while not {"broker", "worker"} <= self.children().keys():
            await self._pause(deadline)
        words = _command(self.children()["broker"])
        port = words[words.index("--kafka-port") + 1]
        async with Monitor(BrokerSettings(bootstrap=f"127.0.0.1:{port}")) as monitor:
            while True:
                standing = await monitor.standing(GROUP, ACTIVITY_TOPICS)
                seen = Seen(standing.done + standing.lag, standing.done)
                if is_reached(seen):
                    return seen
                await self._pause(deadline)

    async def _pause(self, deadline: float) -> None:
        status = self.process.poll()
        assert status is None, f"ended with {status} before its moment: {self.warned.read_text()}"
        assert time.monotonic() < deadline, "its moment never came"
        await asyncio.sleep(_POLL_S)


def still_running(pids: Iterable[int], *, s_max: float) -> list[int]:
    """Give processes so long to end, and return those that have not.

    A zombie has ended: it waits for a parent that the container may not have.
    """
    deadline = time.monotonic() + s_max
    pause = threading.Event()
    while alive := [pid for pid in pids if _is_running(pid)]:
        if time.monotonic() > deadline:
            break
        pause.wait(_POLL_S)
    return alive


def _command(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def _is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"
