"""A minute of chaos: every kind of fault once, and then the books are the oracle's.

The five minutes of it are `make chaos`. The rate is low, so that two slow cores keep up; deadlines
are the run's own.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kafka.server import missing

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]

RUN = ("--minutes", "1", "--events", "20000", "--seed", "1", "--partitions", "4")


def test_a_minute_of_chaos_leaves_the_books_of_the_oracle(tmp_path: Path) -> None:
    if (reason := missing()) is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}; CI must run this test")
        pytest.skip(reason)
    done = subprocess.run(
        (sys.executable, "-m", "tests.chaos", *RUN, "--folder", str(tmp_path / "run")),
        capture_output=True,
        text=True,
        check=False,
    )
    said = f"{done.stdout}{done.stderr}"
    assert done.returncode == 0, said
    assert re.fullmatch(r"\d\d passed, 0 failed", done.stdout.splitlines()[-1]), said
