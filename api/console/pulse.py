"""Pulse: how the pipeline is, once a second, asked once for all who look.

Nobody looks: nothing is asked. The first who comes begins it, the last who leaves ends it, and
whoever comes in between gets what was before, too. A question that takes long is asked less often,
so that those who look take a fifth of one of the store's threads at most.

    balances     what the programmes add up to: from the topic where the API follows it, exact and
                 some milliseconds old; else from the store
    freshness    how old the event behind each balance was when that came to hand; needs the topic
    received     what the sink has stored of the activity topics, booked or not
    refused      what the workers refused

A store that is away is said, not hidden: the beat then has what is known without it.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from api.problems import AGAIN_S, ProblemError
from schemas.log_events import tell
from sinks.connect import StoreError, is_away, reason
from sinks.following import NotLevelError
from sinks.overview import Overview, Received, Refused
from sinks.records import ProgrammeSum

EVERY_S: Final = 1.0
SHARE_MAX: Final = 0.2
"""Of the time, how much may be spent on asking."""
REMEMBERED: Final = 300
FRESH_S: Final = 5.0
"""Freshness is that of so many last seconds."""

log = logging.getLogger("carbonflow.api")

Ages = Mapping[str, npt.NDArray[np.int64]]


class Follower(Protocol):
    """What a follower of the topic of balances knows; see `sinks.following`."""

    @property
    def lag_offsets(self) -> int:
        """Records that are to be taken in yet."""

    async def sums(self) -> tuple[ProgrammeSum, ...]:
        """Return what each programme adds up to."""

    def ages_ms(self, since_s: float) -> Ages:
        """Return how old events were when their balances came to hand, by programme [ms]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """How the pipeline was at one moment.

    Attributes:
        at_ms: When.
        is_followed: Balances come from the topic, not from the store.
        sums: What each programme adds up to; None while that is not known.
        ages_ms: How old the events of the last seconds were when their balances came to hand, by
            programme; empty where the topic is not followed, or none came.
        lag_offsets: Balances that are to be taken in yet; None where the topic is not followed.
        received: What is stored of the activity topics; None while the store is away.
        refused: What was refused; None then, too.
    """

    at_ms: int
    is_followed: bool
    sums: tuple[ProgrammeSum, ...] | None
    ages_ms: Ages
    lag_offsets: int | None
    received: Received | None
    refused: Refused | None


class Pulse:
    """The pulse of one API process.

    Args:
        overview: Questions to the store.
        follower: What follows the topic of balances; None where balances come from the store.
        listeners_max: How many may look at a time.
        ending: Set when the server ends.
        now: The time [s since 1970].
    """

    def __init__(
        self,
        overview: Overview,
        follower: Follower | None,
        *,
        listeners_max: int,
        ending: asyncio.Event,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._overview = overview
        self._follower = follower
        self._listeners_max = listeners_max
        self._ending = ending
        self._now = now
        self._beats = deque[Beat](maxlen=REMEMBERED)
        self._count = 0
        self._changed = asyncio.Condition()
        self._listeners = 0
        self._beating: asyncio.Task[None] | None = None

    @property
    def listeners(self) -> int:
        """How many look."""
        return self._listeners

    async def listen(self) -> AsyncIterator[list[Beat]]:
        """Yield what was before, then each beat as it comes, until the server ends.

        Raises:
            ProblemError: There are listeners enough.
            Exception: What asking raised.
        """
        with self._one_more():
            seen = self._count
            if self._beats:
                yield list(self._beats)
            while not self._ending.is_set():
                assert self._beating is not None
                await self._news(seen)
                if self._beating.done() and not self._ending.is_set():
                    self._beating.result()
                new, seen = self._count - seen, self._count
                if new:
                    yield list(self._beats)[-new:]

    def check(self) -> None:
        """Look whether one more may look.

        Raises:
            ProblemError: There are listeners enough.
        """
        if self._listeners >= self._listeners_max:
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "too-many-listeners",
                f"{self._listeners_max} look at the pipeline already.",
                {"retry-after": str(10 * AGAIN_S)},
            )

    async def _news(self, seen: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._count > seen or self._is_over())

    @contextmanager
    def _one_more(self) -> Iterator[None]:
        self.check()
        self._listeners += 1
        if self._beating is None or self._beating.done():
            # What was before is over: rates over the pause would mean nothing.
            self._beats.clear()
            self._beating = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            self._listeners -= 1
            if not self._listeners:
                # Whoever comes before it has ended begins another.
                self._beating.cancel()
                self._beating = None

    def _is_over(self) -> bool:
        return self._ending.is_set() or (self._beating is not None and self._beating.done())

    async def _beat(self) -> None:
        try:
            while not self._ending.is_set():
                began_s = time.monotonic()
                self._beats.append(await self._look())
                self._count += 1
                async with self._changed:
                    self._changed.notify_all()
                took_s = time.monotonic() - began_s
                pause_s = max(EVERY_S - took_s, took_s * (1 / SHARE_MAX - 1))
                try:
                    await asyncio.wait_for(self._ending.wait(), pause_s)
                except TimeoutError:
                    continue
        finally:
            async with self._changed:
                self._changed.notify_all()

    async def _look(self) -> Beat:
        received = refused = sums = None
        try:
            received = await asyncio.to_thread(self._overview.received)
            refused = await asyncio.to_thread(self._overview.refused)
            if self._follower is None:
                sums = await asyncio.to_thread(self._overview.sums)
        except StoreError as error:
            if not is_away(error):
                raise
            tell(log, "pulse_waits", what="store", reason=reason(error))
        if self._follower is not None:
            try:
                sums = await self._follower.sums()
            except NotLevelError as early:
                tell(log, "pulse_waits", what="balances", reason=str(early))
        now_s, follower = self._now(), self._follower
        return Beat(
            at_ms=int(now_s * 1000),
            is_followed=follower is not None,
            sums=sums,
            ages_ms={} if follower is None else follower.ages_ms(now_s - FRESH_S),
            lag_offsets=None if follower is None else follower.lag_offsets,
            received=received,
            refused=refused,
        )
