"""Threads beside the event loop: large slices share two, small ones take turns on one.

Around its kernels, which let go of the interpreter's lock, a slice is some hundreds of calls of
Python, however few records it has. In a small slice they are most of the time, and threads that
have only that to do wait for each other: of 650 records each, one thread did 114,000 events/s, two
76,000 and four 51,000, on two cores. From 4,096 records on two were faster than one; three never.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

SMALL: Final = 4_096
"""Slices of fewer records are small."""

_small: Final = ThreadPoolExecutor(1, thread_name_prefix="small-slices")
_large: Final = ThreadPoolExecutor(2, thread_name_prefix="large-slices")


async def on_thread(records: int, work: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Return what a call returns that works a slice of so many records, made on a thread."""
    threads = _small if records < SMALL else _large
    call = functools.partial(work, *args, **options)
    return await asyncio.get_running_loop().run_in_executor(threads, call)
