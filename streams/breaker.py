"""The breaker: a broken producer or schema must not empty a topic into refusals."""

from __future__ import annotations

from typing import Final

from streams.step import Outcome

UNREADABLE: Final = frozenset({"not_framed", "unknown_schema", "wrong_record", "undecodable"})


class BreakerOpen(RuntimeError):
    """Too many records in a row could not be decoded; nothing of their slice was delivered."""


class Breaker:
    """Counts records in a row that cannot be decoded.

    A slice with a single readable record resets the count: the breaker is for a schema or a
    producer that went wrong as a whole, refusals take care of the rest.
    """

    def __init__(self, records_max: int) -> None:
        self._records_max = records_max
        self._run = 0

    def check(self, outcome: Outcome, records: int) -> None:
        """Take note of a slice of so many records, before it is delivered.

        Raises:
            BreakerOpen: The run of unreadable records reached the limit.
        """
        unreadable = sum(bad.code in UNREADABLE for bad in outcome.refused)
        self._run = self._run + records if unreadable == records else 0
        if self._records_max and self._run >= self._records_max:
            raise BreakerOpen(
                f"{self._run} records in a row cannot be decoded; mend their producer, or let them "
                "be refused with a higher CARBONFLOW_BREAKER_RECORDS (0: no limit)"
            )
