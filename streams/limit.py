"""How large a slice may be: as many records as are worked in a given time.

A slice holds what has come in since the last one, so it is small when little happens and grows with
the backlog, where size is what makes a record cheap. A limit keeps it from growing beyond what
others of its worker can wait for, on a machine of any speed.
"""

from __future__ import annotations

from typing import Final

RECORDS_MIN: Final = 256
"""Smaller slices would not be faster: what they cost is the call."""


class SliceLimit:
    """The number of records of the next slice at most; called to be asked.

    Args:
        records_max: It is never more.
        ms_max: How long a slice should take to be worked and committed.
    """

    def __init__(self, *, records_max: int, ms_max: int) -> None:
        self._records_max = records_max
        self._s_max = ms_max / 1000
        self._records = records_max

    def __call__(self) -> int:
        """Return the limit now."""
        return self._records

    def worked(self, records: int, seconds: float) -> None:
        """Take note of how long a slice took.

        One that took too long lowers the limit to what would have been in time; a quick one raises
        it to the double at most, because a small slice says little about a large one.
        """
        fitting = int(records * self._s_max / max(seconds, 1e-9))
        if seconds > self._s_max:
            limit = fitting
        elif records * 2 > self._records:
            limit = min(fitting, 2 * self._records)
        else:
            return
        self._records = max(min(limit, self._records_max), min(RECORDS_MIN, self._records_max))
