"""Kept: an answer that costs much is asked for once, and given to all who ask for a while."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

KEPT_S_MIN: Final = 5.0
COST_SHARE: Final = 0.1
"""Of the time, how much may be spent on asking."""

T = TypeVar("T")


class Kept(Generic[T]):
    """The answer to one question.

    Args:
        ask: Answers it; called on another thread, never twice at the same time.
        clock: The time [s].
    """

    def __init__(
        self, ask: Callable[[], T], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._asking = asyncio.Lock()
        self._answer: tuple[T, int] | None = None
        self._until_s = 0.0

    async def get(self) -> tuple[T, int]:
        """Return the answer, and when it was asked for [ms since 1970].

        Raises:
            Exception: What asking raised; the next who asks tries again.
        """
        async with self._asking:
            began_s = self._clock()
            if self._answer is None or began_s >= self._until_s:
                asked_at_ms = int(time.time() * 1000)
                self._answer = await asyncio.to_thread(self._ask), asked_at_ms
                cost_s = self._clock() - began_s
                self._until_s = began_s + max(KEPT_S_MIN, cost_s / COST_SHARE)
            return self._answer
