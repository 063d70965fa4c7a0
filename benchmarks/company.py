"""Company: what the rest of the machine did while something was measured.

A latency measured while somebody else's tests run says more about them than about us. So every
measurement tells how many cores others used, and a reader can tell a good one from a bad one.
"""

import os
import time
from dataclasses import dataclass
from typing import Final, Self

import psutil  # type: ignore[import-untyped] # It ships no type information.

from benchmarks.measure import cpu_s

CORES_MAX: Final = 0.15


@dataclass(frozen=True, slots=True)
class Company:
    """Processor time until some moment [s]: of the whole machine, and of what this process runs."""

    at_s: float
    all_s: float
    ours_s: float

    @classmethod
    def now(cls) -> Self:
        """Look now."""
        times = psutil.cpu_times()
        busy_s = sum(times) - times.idle - times.iowait - times.guest - times.guest_nice
        return cls(time.monotonic(), busy_s, cpu_s(os.getpid()))

    def cores_since(self) -> float:
        """Return how many cores others used since then, on average."""
        now = self.now()
        others_s = (now.all_s - self.all_s) - (now.ours_s - self.ours_s)
        return max(0.0, others_s / (now.at_s - self.at_s))


def warning(cores: float) -> str | None:
    """Return what to say about a measurement in company, None if it was as good as alone.

    >>> warning(0.02)
    >>> warning(0.5)
    'others used 0.5 cores meanwhile: measure again when the machine is quiet'
    """
    if cores <= CORES_MAX:
        return None
    return f"others used {cores:.1f} cores meanwhile: measure again when the machine is quiet"
