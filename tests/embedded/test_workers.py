"""Workers that end are started again, and a reason to stop trying is told."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from embedded.workers import LIVED_S, RESTARTS_MAX, WorkerError, Workers, environ_within
from schemas.settings import RegistrySettings, read_settings
from sinks.sink import SinkSettings

WAITS = "import threading; threading.Event().wait()"
FAILS = "import sys; sys.exit('no such broker')"


def until(true: Callable[[], bool], *, s_max: float = 20.0) -> None:
    """Wait for a condition, or fail."""
    deadline = time.monotonic() + s_max
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def told() -> list[str]:
    """What the supervisor said."""
    return []


@pytest.fixture
def supervised(tmp_path: Path, told: list[str]) -> Iterator[Callable[[str], Workers]]:
    """Supervise one worker that is a Python program."""
    made: list[Workers] = []

    def supervise(program: str) -> Workers:
        workers = Workers(
            environ={"CARBONFLOW_BOOTSTRAP": "x:1"},
            metrics_ports=(),
            log_dir=tmp_path,
            tell=told.append,
            command=(sys.executable, "-c", program),
        )
        made.append(workers)
        workers.start(1)
        return workers

    yield supervise
    for workers in made:
        workers.stop()


def test_a_worker_gets_its_settings(supervised: Callable[[str], Workers], tmp_path: Path) -> None:
    names = ("CARBONFLOW_BOOTSTRAP", "CARBONFLOW_INSTANCE", "CARBONFLOW_METRICS_PORT")
    supervised(f"import os; print([os.environ[n] for n in {names}], flush=True); {WAITS}")
    log = tmp_path / "worker-0.log"
    until(lambda: "['x:1', 'worker-0', '0']" in log.read_text())


def test_workers_of_a_stack_use_no_registry_whatever_the_environment_says() -> None:
    within = environ_within(SinkSettings(), store_url="http://127.0.0.1:1")
    outside = {"CARBONFLOW_SCHEMA_REGISTRY_URL": "http://registry:8080/apis/ccompat/v7"}
    assert read_settings(RegistrySettings, outside).schema_registry_url is not None
    assert read_settings(RegistrySettings, outside | within).schema_registry_url is None


def test_a_key_pressed_for_its_owner_is_not_for_a_worker_and_they_share_a_session(
    supervised: Callable[[str], Workers],
) -> None:
    child = supervised(WAITS).places[0].child
    assert os.getpgid(child.pid) != os.getpgid(0)
    assert os.getsid(child.pid) == os.getsid(0)


def test_a_killed_worker_is_started_again(
    supervised: Callable[[str], Workers], told: list[str]
) -> None:
    workers = supervised(WAITS)
    first = workers.places[0].child
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    workers.check()
    assert workers.places[0].child.poll() is None
    assert told == ["worker-0 ended with status -9 and is started again: no message"]


def test_a_worker_that_keeps_failing_is_given_up_with_its_words(
    supervised: Callable[[str], Workers], told: list[str]
) -> None:
    workers = supervised(FAILS)

    def check_until_it_raises() -> None:
        while True:
            workers.places[0].child.wait()
            workers.check()

    with pytest.raises(WorkerError, match="ended 6 times, last with status 1: no such broker"):
        check_until_it_raises()
    assert len(told) == RESTARTS_MAX


def test_a_worker_that_was_well_for_a_while_is_not_given_up(
    supervised: Callable[[str], Workers], told: list[str]
) -> None:
    workers = supervised(FAILS)
    clock_s = 0.0
    workers.now = lambda: clock_s
    workers.places[0].started_s = 0.0
    for _ in range(RESTARTS_MAX + 3):
        workers.places[0].child.wait()
        clock_s += LIVED_S
        workers.check()
    assert workers.places[0].restarts == 1
    assert len(told) == RESTARTS_MAX + 3


def test_stopping_ends_them(supervised: Callable[[str], Workers]) -> None:
    workers = supervised(WAITS)
    child = workers.places[0].child
    workers.stop()
    assert child.poll() is not None
