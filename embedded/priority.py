"""Whose turn it is on a busy machine: what nobody waits for takes what others leave.

A laptop runs all parts of a stack on a few processors, and some of them are busy with themselves:
the broker saves, the store merges. Each took half a processor from those somebody waits for.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

LOWEST: Final = 19


def stand_back(pid: int, *, thread: str, nice: int = LOWEST) -> int:
    """Lower the priority of the threads of a name, where the system has priorities for threads.

    Args:
        pid: Their process.
        thread: Their name, as the system has it.
        nice: What they get, up to LOWEST.

    Returns:
        How many there are; 0 where the system does not tell.
    """
    found = 0
    for task in Path(f"/proc/{pid}/task").glob("*"):
        try:
            if (task / "comm").read_text("utf-8").strip() == thread:
                os.setpriority(os.PRIO_PROCESS, int(task.name), nice)
                found += 1
        except (FileNotFoundError, ProcessLookupError):
            continue  # It has ended meanwhile.
    return found
