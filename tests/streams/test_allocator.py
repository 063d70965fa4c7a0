"""The allocator of a worker: Arrow takes the system's memory, and pandas is not imported."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import pyarrow as pa
from streams.allocator import keep_little
{before}
pa.array(["a"])
print(pa.default_memory_pool().backend_name, "pandas" in sys.modules)
"""


def said(before: str) -> str:
    program = [sys.executable, "-c", PROGRAM.format(before=before)]
    return subprocess.run(program, check=True, capture_output=True, text=True).stdout.strip()


def test_a_process_that_keeps_little_has_no_pandas_and_no_allocator_beside_the_systems() -> None:
    assert said("").endswith("True"), "pyarrow imports pandas here, or this test shows nothing"
    assert said("keep_little(give_back=False); keep_little(give_back=True)") == "system False"
