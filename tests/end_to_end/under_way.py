"""A run under way: how far it is, asked of its broker, and its processes, to be killed."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from embedded.monitor import Monitor
from embedded.stack import GROUP
from schemas.catalogue import ACTIVITY_TOPICS
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

    def children(self) -> dict[str, psutil.Process]:
        """Return its processes by what they are: broker and worker."""
        found: dict[str, psutil.Process] = {}
        for child in psutil.Process(self.process.pid).children():
            words = child.cmdline()
            if "worker" in words:
                found["worker"] = child
            elif "--kafka-port" in words:
                found["broker"] = child
        return found

    def ended(self, *, s_max: float = RUN_S_MAX) -> tuple[int, dict[str, Any], str]:
        """Wait for its end; return exit status, summary, and what it said beside."""
        status = self.process.wait(s_max)
        text = self.said.read_text()
        return status, json.loads(text) if text else {}, self.warned.read_text()

    async def _until(self, is_reached: Callable[[Seen], bool]) -> Seen:
        deadline = time.monotonic() + RUN_S_MAX
        # The worker comes last: with it there, broker and topics are.
        while not {"broker", "worker"} <= self.children().keys():
            await self._pause(deadline)
        words = self.children()["broker"].cmdline()
        port = words[words.index("--kafka-port") + 1]
        async with Monitor(f"127.0.0.1:{port}") as monitor:
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


def await_end(processes: list[psutil.Process], *, s_max: float) -> list[psutil.Process]:
    """Wait until processes have ended, and return those that have not.

    A zombie has ended: it waits for a parent that the container may not have.
    """
    deadline = time.monotonic() + s_max
    while alive := [one for one in processes if _is_alive(one)]:
        if time.monotonic() > deadline:
            break
        psutil.wait_procs(alive, timeout=_POLL_S)
    return alive


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
