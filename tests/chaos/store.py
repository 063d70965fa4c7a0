"""The store of a run: ClickHouse's HTTP interface before chDB, a process that can be taken away.

`tests.clickhouse_server` is that process; this keeps its folder and port, so that it comes back as
a server would after an outage.
"""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final
from urllib.request import urlopen

from embedded.broker import free_port
from embedded.children import log_tail, spawn

START_S_MAX: Final = 60.0
LOOK_S: Final = 0.1


class Store:
    """A store over one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._log_path = folder.with_suffix(".log")
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is, while it is there."""
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Start it and return when it answers.

        Raises:
            RuntimeError: It ended.
            TimeoutError: It does not answer.
        """
        self._child = spawn(
            (sys.executable, "-m", "tests.clickhouse_server", str(self._folder), str(self._port)),
            log_path=self._log_path,
            death_signal=signal.SIGKILL,
        )
        async with asyncio.timeout(START_S_MAX):
            while not await asyncio.to_thread(self._answers):
                if self._child.poll() is not None:
                    raise RuntimeError(f"the store ended:\n{log_tail(self._log_path, lines=20)}")
                await asyncio.sleep(LOOK_S)

    def kill(self) -> None:
        """End it as kill -9 does; what it has acknowledged stays."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/ping", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
