"""The allocator of a worker: Arrow takes the system's memory, and nothing is imported unasked."""

from __future__ import annotations

import subprocess
import sys

PARTS = ("pandas", "scipy.linalg")
PROGRAM = f"""
import sys
PARTS = {PARTS}
import pyarrow as pa
from streams.allocator import keep_little
from streams.warm import warm_up
{{before}}
warm_up()
print(pa.default_memory_pool().backend_name, *(each in sys.modules for each in PARTS))
"""


def said(before: str) -> str:
    program = [sys.executable, "-c", PROGRAM.format(before=before)]
    return subprocess.run(program, check=True, capture_output=True, text=True).stdout.strip()


def test_a_process_that_keeps_little_imports_nothing_unasked_and_has_one_allocator() -> None:
    assert said("").endswith("True True"), "both are imported here, or this test shows nothing"
    assert said("keep_little(give_back=False); keep_little(give_back=True)") == "system False False"
