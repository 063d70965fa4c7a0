"""Delivery: a message and what became of it, for a thread that waits, a coroutine or a callback.

    DELIVERED   the broker has it on all replicas in sync; partition and offset say where
    SPOOLED     it is in the spool, from where it will be delivered; `number` says which it is
    FAILED      the broker did not acknowledge it in time, or refused it: it may be there or not

Reports come for hundreds of thousands of records in a second, so a delivery makes no lock and no
event until somebody waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import StrEnum
from threading import Event, Lock
from typing import Any, Final, TypeAlias

from schemas.traceparents import Headers

_LOCK: Final = Lock()


Message: TypeAlias = tuple[str, bytes, bytes, int, Headers | None]
"""A record as it goes to the broker: topic with its prefix, key, value, timestamp [ms], and the
header that says in which span it was sent, or None."""


class State(StrEnum):
    """What a report says."""

    DELIVERED = "delivered"
    SPOOLED = "spooled"
    FAILED = "failed"


_DELIVERED: Final = State.DELIVERED


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of a record.

    Attributes:
        state: What.
        topic: Where it is, with prefix.
        partition: Of the topic; -1 where it isn't there.
        offset: In the partition; -1 where it isn't there.
        number: Counts the records of a spool from 0; -1 without one.
        reason: Why it failed.
    """

    state: State
    topic: str
    partition: int = -1
    offset: int = -1
    number: int = -1
    reason: str = ""


class NotDeliveredError(Exception):
    """The broker did not acknowledge a record, or several, in time."""


class Delivery:
    """The report of one record, once there is one. Waited for, awaited or called back with."""

    __slots__ = ("_error", "_number", "_offset", "_partition", "_state", "_topic", "_waiting")

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._state: State | None = None
        self._partition = self._offset = self._number = -1
        self._error = ""
        self._waiting: list[Callable[[Delivery], None]] | None = None

    @property
    def state(self) -> State | None:
        """What became of the record; None while there is no report."""
        return self._state

    def report(self) -> Report:
        """Return the report.

        Raises:
            RuntimeError: There is none yet.
        """
        if self._state is None:
            raise RuntimeError("there is no report yet")
        return Report(
            state=self._state,
            topic=self._topic,
            partition=self._partition,
            offset=self._offset,
            number=self._number,
            reason=self._error,
        )

    def result(self, timeout_s: float | None = None) -> Report:
        """Wait for the report and return it; for ever where no time is given.

        Raises:
            NotDeliveredError: It failed.
            TimeoutError: There is no report in time.
        """
        if self._state is None:
            told = Event()
            self.add_done_callback(lambda _: told.set())
            if not told.wait(timeout_s):
                raise TimeoutError(f"no report within {timeout_s} s")
        return self._sound()

    def __await__(self) -> Generator[Any, None, Report]:
        """Return the report once there is one; raises NotDeliveredError if it failed."""
        if self._state is None:
            loop = asyncio.get_running_loop()
            told: asyncio.Future[None] = loop.create_future()

            def tell() -> None:
                if not told.done():
                    told.set_result(None)

            def wake(_: Delivery) -> None:
                loop.call_soon_threadsafe(tell)

            self.add_done_callback(wake)
            yield from told
        return self._sound()

    def add_done_callback(self, call: Callable[[Delivery], None]) -> None:
        """Call with this delivery once there is a report; at once if there is one.

        It is called in the thread that learns of it, and has to be short.
        """
        with _LOCK:
            self._waiting = [*(self._waiting or ()), call]
        if self._state is not None:
            self._tell()

    def __call__(self, error: object, message: Any) -> None:
        """Take librdkafka's report of the record. It calls the delivery itself: that's cheaper."""
        if error is None:
            self._partition, self._offset = message.partition(), message.offset()
            self._settle(_DELIVERED)
        else:
            self.failed(str(error))

    def spooled(self, number: int) -> None:
        """Take the spool's word that it has the record."""
        self._number = number
        self._settle(State.SPOOLED)

    def failed(self, reason: str) -> None:
        """Take it that the record was not acknowledged."""
        self._error = reason
        self._settle(State.FAILED)

    def _settle(self, state: State) -> None:
        # The state is set before anybody is looked for, and who waits looks for it after saying so.
        self._state = state
        if self._waiting is not None:
            self._tell()

    def _tell(self) -> None:
        with _LOCK:
            waiting, self._waiting = self._waiting, None
        for call in waiting or ():
            call(self)

    def _sound(self) -> Report:
        report = self.report()
        if report.state is State.FAILED:
            raise NotDeliveredError(report.reason)
        return report
