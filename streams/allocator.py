"""Memory that a slice needed goes back to the system instead of waiting for the next one.

A worker's slices come and go in a few threads. Left alone, glibc keeps a heap for each of them and
Arrow's own allocator a third kind, and all keep what they once had: 130 MB of a worker that needs
250. pyarrow also imports pandas where that is installed, which takes 29 MB and is never asked.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import Final

import pyarrow as pa

# What `mallopt` of glibc takes.
M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8

HEAPS: Final = 2
FREE_BYTES_MAX: Final = 1 << 20
"""Free memory at the end of a heap, and what is taken from the system by itself."""


def keep_little(*, give_back: bool) -> None:
    """Let this process keep little memory that it does not use; to be called before it has threads.

    What concerns heaps is done where the C library is glibc; pandas is passed over where nobody has
    imported it.

    Args:
        give_back: Whether what is free at the end of a heap goes back to the system, too. It takes
            another 25 MB less, but a microsecond an event: the system clears each page anew.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(M_ARENA_MAX, HEAPS)
        if give_back:
            libc.mallopt(M_TRIM_THRESHOLD, FREE_BYTES_MAX)
            libc.mallopt(M_MMAP_THRESHOLD, FREE_BYTES_MAX)
    if not any(isinstance(finder, _WithoutPandas) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WithoutPandas())


class _WithoutPandas(MetaPathFinder):
    def find_spec(  # The signature is importlib's.
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("a worker does without pandas", name=fullname)
