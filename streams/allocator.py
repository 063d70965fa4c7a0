"""Memory that a slice needed goes back to the system instead of waiting for the next one.

A worker's slices come and go in a few threads. Left alone, glibc keeps a heap for each of them and
Arrow's own allocator a third kind, and all keep what they once had: 130 MB with slices of 16,384
records. pyarrow and numba also import pandas and scipy where other parts have brought them, which
takes 29 and 15 MB and is never asked for.
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
UNASKED: Final = frozenset({"pandas", "scipy"})
"""Packages that are imported where there are any; a worker's image has none."""

FREE_BYTES_MAX: Final = 1 << 20
"""Free memory at the end of a heap, and what is taken from the system by itself."""


def keep_little(*, give_back: bool) -> None:
    """Let this process keep little memory that it does not use; to be called before it has threads.

    What concerns heaps is done where the C library is glibc; packages are passed over that nobody
    has imported yet.

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
    if not any(isinstance(finder, _Without) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Without())


class _Without(MetaPathFinder):
    def find_spec(  # The signature is importlib's.
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> None:
        # numba has looked for scipy's version by then; what takes the memory are its parts.
        if (package := fullname.partition(".")[0]) in UNASKED:
            raise ModuleNotFoundError(f"a worker does without {package}", name=fullname)
