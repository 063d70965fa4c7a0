"""Progress: a line now and then that says how much was done and how much waits."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from schemas.log_events import tell

EVERY_S: Final = 60.0


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
