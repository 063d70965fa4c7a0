"""Whose turn it is on a busy machine: first who is asked, then who works, then what is upkeep.

A laptop runs all parts of a stack on a few processors. The API needs little, and somebody waits for
it; beside parts that need much, one of its turns in a hundred waited eight milliseconds. And some
parts are busy with themselves: the broker saves, the store merges. Each took half a processor from
those somebody waits for.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

BEHIND: Final = 3
"""More steps are too near to the lowest: with ten upkeep took a seventh of what work got."""
LOWEST: Final = 19


def stand_back(niceness: int) -> None:
    """Lower the priority of this thread, on Linux, and of all threads it starts from now on.

    Elsewhere it is that of the process. There is no way back but for root.
    """
    os.nice(niceness)


def put_last(pid: int, *, thread: str) -> None:
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
