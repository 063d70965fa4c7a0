"""The whole stack under measurement: `carbonflow up` in a process of its own, as a user runs it."""

import asyncio
import signal
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Final

import numpy as np

from benchmarks.generate import sessions
from benchmarks.measure import BenchmarkError, worked
from embedded.broker import HOST, free_port
from embedded.children import end, log_tail, spawn
from producers.client.columns import CarbonflowProducer
from schemas.settings import BrokerSettings

READY_S_MAX: Final = 120.0
PRIMED_S_MAX: Final = 60.0
STOP_S_MAX: Final = 60.0
LOOK_EVERY_S: Final = 0.05
EVENTS: Final = "carbonflow_events_total"
ROWS: Final = "carbonflow_sink_rows_total"
PRIMERS: Final = 256
PRIMERS_FROM: Final = 900_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A stack that is up: where its broker, its API and its worker's metrics are."""

    bootstrap: str
    api_port: int
    api_metrics_port: int
    metrics_port: int

    @property
    def api_url(self) -> str:
        """Where the API is."""
        return f"http://{HOST}:{self.api_port}"

    def worked(self) -> int:
        """Return how many events the worker has worked."""
        return worked(self.metrics_port, EVENTS)

    def stored(self) -> int:
        """Return how many rows the sink has stored."""
        return worked(self.api_metrics_port, ROWS)

    def is_ready(self) -> bool:
        """Return whether the API answers and has its tables."""
        try:
            url = f"http://{HOST}:{self.api_metrics_port}/readyz"
            with urllib.request.urlopen(url, timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False


@contextmanager
def standing() -> Iterator[Standing]:
    """Run a stack over a folder of its own while the context is entered.

    A few events are worked by then, so that the books of all partitions are open.

    Raises:
        BenchmarkError: It does not come up; the message has its last words.
    """
    with tempfile.TemporaryDirectory(prefix="bench-stack-") as folder, _up(Path(folder)) as stack:
        asyncio.run(_send_primers(stack.bootstrap))
        wait_until(lambda: stack.worked() >= PRIMERS, "the worker works nothing", PRIMED_S_MAX)
        yield stack


@contextmanager
def _up(folder: Path) -> Iterator[Standing]:
    log = folder / "up.log"
    broker, api, api_metrics, metrics = (free_port() for _ in range(4))
    command = [sys.executable, "-m", "cli.main", "up", "--data-dir", str(folder / "data")]
    command += ["--broker-port", str(broker), "--api-port", str(api)]
    command += ["--api-metrics-port", str(api_metrics), "--metrics-port", str(metrics)]
    child = spawn(command, log_path=log, death_signal=signal.SIGTERM)
    stack = Standing(
        bootstrap=f"{HOST}:{broker}",
        api_port=api,
        api_metrics_port=api_metrics,
        metrics_port=metrics,
    )

    def is_up() -> bool:
        if child.poll() is not None:
            raise BenchmarkError(f"the stack ended with {child.returncode}:\n{log_tail(log)}")
        return stack.is_ready()

    try:
        wait_until(is_up, "the stack does not come up", READY_S_MAX)
        yield stack
    finally:
        end(child, term_s=STOP_S_MAX)


def wait_until(is_so: Callable[[], bool], otherwise: str, s_max: float) -> None:
    """Return as soon as something is so.

    Raises:
        BenchmarkError: It is not after `s_max` seconds.
    """
    deadline = time.monotonic() + s_max
    while not is_so():
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{otherwise} within {s_max:.0f} s")
        Event().wait(LOOK_EVERY_S)


async def _send_primers(bootstrap: str) -> None:
    numbers = np.arange(PRIMERS) + PRIMERS_FROM
    batch = sessions(numbers, numbers, np.random.default_rng(0))
    async with CarbonflowProducer(BrokerSettings(bootstrap=bootstrap)) as producer:
        await producer.send_batch("charging_session", batch)
