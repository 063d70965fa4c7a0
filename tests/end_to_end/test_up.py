"""`carbonflow up`: what is produced can be asked for over HTTP, and its parts end together."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

from embedded.priority import BEHIND, LOWEST
from producers.client.columns import CarbonflowProducer
from schemas.columns import decode
from schemas.settings import BrokerSettings
from schemas.singles import encode_one
from streams.warm import SESSION
from tests.end_to_end.under_way import still_running
from tests.end_to_end.up import STOP_S, up

SESSIONS = 3


async def send(bootstrap: str) -> None:
    values = [
        encode_one("charging_session", {**SESSION, "session_id": f"s{number}"})
        for number in range(SESSIONS)
    ]
    async with CarbonflowProducer(BrokerSettings(bootstrap=bootstrap)) as producer:
        await producer.send_batch("charging_session", decode("charging_session", values).batch)


def test_what_is_produced_is_asked_for_over_http(tmp_path: Path) -> None:
    # Settings of another broker and another API are none of the stack's.
    elsewhere = {"CARBONFLOW_PREFIX": "other.", "CARBONFLOW_API_HOST": "192.0.2.1"}
    with up(tmp_path, **elsewhere) as stack:
        stack.until(stack.is_ready)
        asyncio.run(send(stack.bootstrap))
        account = f"/v1/accounts/{SESSION['account_id']}"
        stack.until(lambda: stack.has(f"{account}/balance", "session_count", SESSIONS))
        stack.until(lambda: stack.get("/v1/verify") == {"ok": True, "drift": [], "waiting": 0})
        assert len(stack.get(f"{account}/statement")["transfers"]) == 2 * SESSIONS
        with urlopen(f"{stack.service}/metrics", timeout=10) as answer:
            metrics = answer.read().decode()
        assert f'carbonflow_sink_rows_total{{table="transfers"}} {2.0 * SESSIONS}' in metrics
        assert re.search(r"^carbonflow_balances_followed_total [1-9]", metrics, re.MULTILINE)


def priorities(pid: int) -> dict[str, int]:
    """Return the priority of each thread of a process, by the thread's id and name."""
    found = {}
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(FileNotFoundError, ProcessLookupError):  # One may end meanwhile.
            name = (task / "comm").read_text().strip()
            found[f"{task.name} {name}"] = os.getpriority(os.PRIO_PROCESS, int(task.name))
    return found


def test_who_is_asked_goes_before_who_works(tmp_path: Path) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    behind = min(own + BEHIND, LOWEST)
    with up(tmp_path) as stack:
        stack.until(stack.is_ready)
        asyncio.run(send(stack.bootstrap))
        stack.until(lambda: stack.get("/v1/verify")["ok"])
        api = stack.api_pid()
        working = [pid for pid in stack.children() if pid != api]
        assert len(working) == 2  # broker and worker
        assert set(priorities(api).values()) == {own}
        for pid in working:
            assert min(priorities(pid).values()) == behind
        # The store's idle threads are as it makes them; those that work for the sink are these.
        threads = priorities(stack.process.pid)
        mine = f"{stack.process.pid} "
        works = [name for name in threads if name.startswith(mine) or name.endswith(" ThreadPool")]
        assert len(works) > 1
        assert {threads[name] for name in works} == {behind}


def test_a_killed_api_ends_the_stack_with_a_word(tmp_path: Path) -> None:
    with up(tmp_path) as stack:
        stack.until(stack.is_ready)
        subprocess.run(["kill", "-9", str(stack.api_pid())], check=True)
        assert stack.process.wait(STOP_S) == 1
        assert "the API ended with status -9" in stack.warned.read_text()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_the_api_ends_with_the_stack(tmp_path: Path, how: signal.Signals) -> None:
    with up(tmp_path) as stack:
        stack.until(stack.is_ready)
        api = stack.api_pid()
        stack.process.send_signal(how)
        stack.process.wait(STOP_S)
        assert still_running([api], s_max=STOP_S) == []
