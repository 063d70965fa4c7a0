"""Whose turn it is on a busy machine: what nobody waits for takes what others leave.

A laptop runs all parts of a stack on a few processors, and some of them are busy with themselves:
the broker saves, the store merges. Each took half a processor from those somebody waits for.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

LOWEST: Final = 19


def stand_back(pid: int, *, thread: str) -> None:
    """Give the threads of a name the lowest priority, where the system has one for threads.

    Args:
        pid: Their process.
        thread: Their name, as the system has it.
    """
    for task in Path(f"/proc/{pid}/task").glob("*"):
        try:
            if (task / "comm").read_text("utf-8").strip() == thread:
                os.setpriority(os.PRIO_PROCESS, int(task.name), LOWEST)
        except (FileNotFoundError, ProcessLookupError):
            continue  # It has ended meanwhile.
