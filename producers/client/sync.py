"""The synchronous client.

    with Client(ClientSettings()) as client:
        delivery = client.send(session)     # checked, and on its way when this returns
        client.flush(s_max=30)              # all of them are there, or NotDeliveredError

Any thread may send. Leaving the context flushes, and raises if something is not delivered.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

from producers.client.delivery import Delivery, Report
from producers.client.records import Activity
from producers.client.sending import ROOM_S, Sending, missing, now_ms
from producers.client.settings import ClientSettings
from producers.pseudonyms import Pseudonyms


class Client:
    """Sends sessions and trips; a context manager.

    Args:
        settings: How.
        pseudonyms: What replaces natural ids of accounts; None sends accounts as they are.
        on_delivered: With a spool, called in order for each record that the broker has; may be
            called again for a record after a restart.
        clock_ms: The time, which is a record's timestamp.
        traceparent: Asked by `send` for the W3C traceparent of the span that sends a record, or
            None; what is sampled goes with the record.
    """

    def __init__(
        self,
        settings: ClientSettings,
        pseudonyms: Pseudonyms | None = None,
        *,
        on_delivered: Callable[[Report], None] | None = None,
        clock_ms: Callable[[], int] = now_ms,
        traceparent: Callable[[], str | None] | None = None,
    ) -> None:
        self._open = partial(Sending, settings, pseudonyms, on_delivered, clock_ms, traceparent)
        self._sending: Sending | None = None

    def __enter__(self) -> Self:
        self._sending = self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        sending, self._sending = self._opened, None
        sending.close(failing=error is not None)

    @property
    def waiting(self) -> int:
        """Records that the broker may not have."""
        return self._opened.way.waiting

    def send(self, record: Activity) -> Delivery:
        """Send a record, waiting for room if there is none.

        Raises:
            RefusedError, NoKeyError, BufferFullError, SpoolError: See `sending`.
        """
        sending = self._sending or self._opened
        message = sending.message_of(record)
        delivery = Delivery(message[0])
        if not sending.way.offer(message, delivery):
            deadline = time.monotonic() + sending.block_s_max
            while not sending.way.offer(message, delivery):
                if time.monotonic() >= deadline:
                    raise sending.full()
                sending.way.make_room(ROOM_S)
        return delivery

    def flush(self, s_max: float) -> None:
        """Wait until the broker has all that was sent, without lingering.

        Raises:
            NotDeliveredError: It has not within this time; what is missing is still on its way.
            SpoolError: What is in the spool cannot be sent.
        """
        if left := self._opened.way.flush(s_max):
            raise missing(left)

    @property
    def _opened(self) -> Sending:
        if self._sending is None:
            raise RuntimeError("use the client in a `with` block")
        return self._sending
