"""Sending: what the synchronous and the asynchronous face of the client share.

    RefusedError        the record is wrong: the worker would refuse it, with the same code
    NoKeyError          its programme has no key of pseudonyms; nothing is sent in clear instead
    BufferFullError     there was no room for it within `client_block_s_max`
    NotDeliveredError   the broker did not acknowledge it in time
    SpoolError          the disk does not take it

A record that `send` has returned a delivery for is on its way; after any of these exceptions from
`send` it is not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Final, Protocol

from carbon.refusal import REFUSALS
from producers.client.delivery import Delivery, Message, NotDeliveredError, Report
from producers.client.direct import LOG, Direct
from producers.client.records import SCHEMA_ID_OF, Activity, RefusedError, written
from producers.client.settings import ClientSettings
from producers.client.spool import SpoolError
from producers.client.spooled import Spooled
from producers.pseudonyms import Pseudonyms
from producers.targets import topic_of
from schemas.catalogue import schema_of
from schemas.traceparents import headers_of

ROOM_S: Final = 0.05
"""How long to wait for room at a time."""


class BufferFullError(TimeoutError):
    """Too much waits for the broker, and did so for as long as `send` may wait."""


class Way(Protocol):
    """A way to the broker: directly, or by way of a spool."""

    @property
    def waiting(self) -> int:
        """Records that the broker may not have."""

    def offer(self, message: Message, delivery: Delivery) -> bool:
        """Take a message, or return False: there is no room for it now."""

    def make_room(self, s_max: float) -> None:
        """Wait so long for room."""

    def flush(self, s_max: float) -> int:
        """Wait until the broker has what was sent; return how many it lacks."""

    def close(self, s_max: float) -> int:
        """Flush and end; return how many are not delivered and will not be."""


def now_ms() -> int:
    """Return the time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Messages:
    """Records to messages, checked, under the pseudonyms of their accounts."""

    def __init__(
        self,
        settings: ClientSettings,
        pseudonyms: Pseudonyms | None,
        clock_ms: Callable[[], int],
        traceparent: Callable[[], str | None] | None = None,
    ) -> None:
        self._traceparent = traceparent
        self._topics = {
            kind: settings.broker.topic(topic_of(schema_of(schema_id).record))
            for kind, schema_id in SCHEMA_ID_OF.items()
        }
        self._pseudonyms, self._naming = pseudonyms, Lock()
        self._clock_ms = clock_ms

    def of(self, record: Activity) -> Message:
        """Return a record as a message, checked, under the pseudonym of its account.

        Raises:
            RefusedError: The worker would refuse it.
            NoKeyError: Its programme has no key.
            ValueError: What is said to be its span is none.
        """
        timestamp_ms = self._clock_ms()
        value, account = written(record, timestamp_ms), record.account_id
        if self._pseudonyms is not None:
            natural_id = account.strip()  # As the loaders do: one id is one account.
            if not natural_id:
                raise RefusedError("identity_invalid", REFUSALS["identity_invalid"])
            with self._naming:  # Any thread may send.
                account = self._pseudonyms.of(record.programme, natural_id)
            value = written(record._replace(account_id=account), timestamp_ms)
        headers = None if self._traceparent is None else headers_of(self._traceparent())
        return self._topics[type(record)], account.encode(), value, timestamp_ms, headers


class Sending:
    """Messages on their way."""

    def __init__(
        self,
        settings: ClientSettings,
        pseudonyms: Pseudonyms | None,
        on_delivered: Callable[[Report], None] | None,
        clock_ms: Callable[[], int],
        traceparent: Callable[[], str | None] | None = None,
    ) -> None:
        self.block_s_max = settings.client_block_s_max
        self._close_s_max = settings.client_close_s_max
        self.way: Way = (
            Direct(settings) if settings.client_spool is None else Spooled(settings, on_delivered)
        )
        self.message_of = Messages(settings, pseudonyms, clock_ms, traceparent).of

    def close(self, *, failing: bool) -> None:
        """Flush and end.

        Args:
            failing: Something else was raised, which what is raised here would hide: it is logged.

        Raises:
            NotDeliveredError: Records are not delivered.
            SpoolError: What is in the spool cannot be sent.
        """
        try:
            if left := self.way.close(self._close_s_max):
                raise missing(left)
        except (NotDeliveredError, SpoolError) as error:
            if not failing:
                raise
            LOG.warning("%s", error)

    def full(self) -> BufferFullError:
        """Return the error of a record for which there was no room."""
        return BufferFullError(
            f"no room within {self.block_s_max} s: {self.way.waiting} records wait for the broker"
        )


def missing(left: int) -> NotDeliveredError:
    """Return the error of records that were not delivered in time."""
    return NotDeliveredError(
        f"{left} records are not delivered: the broker did not acknowledge them in time"
    )
