"""Lines now and then about what happens all the time: what was done, and what goes wrong alike."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from threading import Lock
from typing import Final

from schemas.log_events import tell

EVERY_S: Final = 60.0
SELDOM_S: Final = 10.0


class Progress:
    """Counts records, and tells of them at most once in so many seconds, if there were any.

    Args:
        log: Who tells.
        now: The clock [s].
        every_s: How often.
    """

    def __init__(
        self,
        log: logging.Logger,
        *,
        now: Callable[[], float] = time.monotonic,
        every_s: float = EVERY_S,
    ) -> None:
        self._log, self._now, self._every_s = log, now, every_s
        self._records, self._since_s = 0, now()

    def worked(self, records: int) -> None:
        """Count records."""
        self._records += records

    def is_due(self) -> bool:
        """Return whether it is time to tell."""
        return self._records > 0 and self._now() - self._since_s >= self._every_s

    def told(self, lag: int) -> None:
        """Tell, if it is due, that so many records wait."""
        if not self.is_due():
            return
        seconds = self._now() - self._since_s
        rate = round(self._records / seconds, 1)
        tell(
            self._log,
            "progress",
            records=self._records,
            seconds=seconds,
            records_per_s=rate,
            lag=lag,
        )
        self._records, self._since_s = 0, self._now()


class Seldom:
    """Counts what is told at most once in so many seconds. Any thread may.

    Args:
        now: The clock [s].
        every_s: How often.
    """

    def __init__(
        self, *, now: Callable[[], float] = time.monotonic, every_s: float = SELDOM_S
    ) -> None:
        self._now, self._every_s = now, every_s
        self._lock = Lock()
        self._times, self._told_s = 0, -math.inf

    def times(self) -> int:
        """Count once more; return how often since it was told, 0 if it need not be told now."""
        with self._lock:
            self._times += 1
            if self._now() - self._told_s < self._every_s:
                return 0
            times, self._times, self._told_s = self._times, 0, self._now()
            return times
