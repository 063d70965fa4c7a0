"""Pacing and quantiles: what makes a measurement of latency an honest one.

An open loop has its schedule fixed before it starts: event `i` is due at `start + i / rate`,
whatever became of those before it, and its latency counts from when it was due. A loop that waits
for each answer before it asks again stops asking exactly while the system is slow, and so never
sees how slow (coordinated omission).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Float64s = npt.NDArray[np.float64]

LATE_MS_MAX: Final = 50.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When each of some events is due.

    Attributes:
        rate_per_s: Events in a second.
        seconds: For how long.
    """

    rate_per_s: int
    seconds: float

    @property
    def events(self) -> int:
        """How many events there are.

        >>> Schedule(rate_per_s=200, seconds=1.5).events
        300
        """
        return round(self.rate_per_s * self.seconds)

    def due_s(self, start_s: float) -> Float64s:
        """Return when each event is due [s], if the first is at `start_s`.

        >>> Schedule(rate_per_s=4, seconds=1).due_s(10.0)
        array([10.  , 10.25, 10.5 , 10.75])
        """
        return start_s + np.arange(self.events) / self.rate_per_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """Latencies summed up [ms].

    Attributes:
        count: How many were measured.
        lost: How many of those never ended; they count with the time they were waited for, so the
            quantiles are lower bounds where there are any.
    """

    p50_ms: float
    p99_ms: float
    max_ms: float
    count: int
    lost: int = 0

    @property
    def shown(self) -> str:
        """The two that matter, for people.

        >>> Quantiles(p50_ms=1.0, p99_ms=2.55, max_ms=3.0, count=9).shown
        'p50 1.0 ms, p99 2.5 ms'
        """
        least = "at least " if self.lost else ""
        return f"p50 {least}{self.p50_ms:,.1f} ms, p99 {least}{self.p99_ms:,.1f} ms"


def quantiles(latencies_s: Sequence[float] | Float64s, *, lost: int = 0) -> Quantiles:
    """Return the quantiles of some latencies; a quantile is one that was measured, none between.

    Args:
        latencies_s: Latencies [s], at least one.
        lost: How many of them never ended.

    Raises:
        ValueError: There are none.

    >>> quantiles([0.003, 0.001, 0.002])
    Quantiles(p50_ms=2.0, p99_ms=3.0, max_ms=3.0, count=3, lost=0)
    """
    if len(latencies_s) == 0:
        raise ValueError("nothing was measured")
    p50, p99, most = np.quantile(
        np.asarray(latencies_s) * 1000.0, (0.5, 0.99, 1.0), method="inverted_cdf"
    ).tolist()
    return Quantiles(p50_ms=p50, p99_ms=p99, max_ms=most, count=len(latencies_s), lost=lost)
