"""A process logs its own lines from a level on; libraries speak only where they are asked to."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.logs import lines_of

SAYS = """
import logging
from cli.logs import CLIENTS
from schemas.logs import LogSettings, Speaker, log_to_stderr
log_to_stderr(LogSettings(log_level={level!r}), Speaker("sink", "s-0"), quiet=CLIENTS)
logging.getLogger("carbonflow.sink").info("ours")
logging.getLogger("urllib3.connectionpool").warning("theirs")
"""


@pytest.mark.parametrize(
    ("level", "said"), [("INFO", ["ours"]), ("WARNING", []), ("DEBUG", ["ours", "theirs"])]
)
def test_a_level_decides_who_speaks(level: str, said: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SAYS.format(level=level)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line["message"] for line in lines_of(done.stderr)] == said
