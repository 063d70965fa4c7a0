"""The programs of docs/client.md do what the page says."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final
from uuid import uuid4

import pytest

from producers.client.delivery import State
from producers.topics import ensure_topics
from schemas.settings import BrokerSettings
from tests.producers.client.sent import arrived

ROOT: Final = Path(__file__).resolve().parents[3]
PAGE: Final = (ROOT / "docs" / "client.md").read_text("utf-8")
PROGRAMS: Final = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(
    ("program", "topic", "said"),
    [
        (PROGRAMS[0], "charging-sessions", "energy_out_of_range"),
        (PROGRAMS[1], "freight-trips", "delivered"),
        (PROGRAMS[2], None, ""),
        (PROGRAMS[3], None, ""),
    ],
)
def test_a_program_of_the_page_runs(
    broker: str, program: str, topic: str | None, said: str
) -> None:
    settings = BrokerSettings(bootstrap=broker, prefix=f"page-{uuid4().hex[:8]}.")
    asyncio.run(ensure_topics(settings))
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={
            **os.environ,
            "CARBONFLOW_BOOTSTRAP": settings.bootstrap,
            "CARBONFLOW_PREFIX": settings.prefix,
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
    assert topic is None or len(arrived(settings, topic)) == 1


def test_the_page_tells_every_state() -> None:
    table = re.search(r"(?s)\| state \|.*?\n\n", PAGE)
    assert table
    assert re.findall(r"(?m)^\| `(\w+)` \|", table[0]) == list(State)
