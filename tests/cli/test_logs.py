"""A process logs its own lines from a level on; libraries speak only where they are asked to."""

from __future__ import annotations

import subprocess
import sys

import pytest

SAYS = """
import logging
from cli.logs import LogSettings, log_to_stderr
log_to_stderr(LogSettings(log_level={level!r}))
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
    assert [line.rpartition(" ")[2] for line in done.stderr.splitlines()] == said
