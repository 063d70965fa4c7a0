"""Room for slices in work: what a slice takes in memory is let go before others begin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Room:
    """Room for so many records in work at a time, given in the order in which it is asked for.

    Args:
        records_max: How many; more than these at once have it for themselves.
    """

    def __init__(self, records_max: int) -> None:
        self._records_max = records_max
        self._records = 0
        self._turn = asyncio.Lock()
        self._less = asyncio.Event()

    @asynccontextmanager
    async def taken(self, records: int) -> AsyncIterator[None]:
        """Wait for room for some records, and hold it."""
        # Whoever has the turn waits with it, so that small slices cannot overtake a large one for
        # ever.
        async with self._turn:
            while self._records and self._records + records > self._records_max:
                self._less.clear()
                await self._less.wait()
            self._records += records
        try:
            yield
        finally:
            self._records -= records
            self._less.set()
