"""The asynchronous client: the same as `sync.Client`, for a program with an event loop.

    async with AsyncClient(ClientSettings()) as client:
        delivery = await client.send(session)    # checked, and on its way when this returns
        report = await delivery                  # the broker has it

It belongs to the loop it was opened in. Waiting for room, reports or the end holds up nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Final, Self

from producers.client.delivery import Delivery, Report
from producers.client.records import Activity
from producers.client.sending import Sending, missing, now_ms
from producers.client.settings import ClientSettings
from producers.pseudonyms import Pseudonyms

TURN_EVERY: Final = 256
"""Records after which others in the loop have their turn."""
ROOM_S: Final = 0.005


class AsyncClient:
    """Sends sessions and trips; an async context manager. Arguments as `sync.Client` has them."""

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
        self._sent = 0

    async def __aenter__(self) -> Self:
        self._sending = await asyncio.to_thread(self._open)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        sending, self._sending = self._opened, None
        await asyncio.to_thread(sending.close, failing=error is not None)

    @property
    def waiting(self) -> int:
        """Records that the broker may not have."""
        return self._opened.way.waiting

    async def send(self, record: Activity) -> Delivery:
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
                sending.way.make_room(0)
                await asyncio.sleep(ROOM_S)
        self._sent += 1
        if self._sent % TURN_EVERY == 0:
            await asyncio.sleep(0)
        return delivery

    async def flush(self, s_max: float) -> None:
        """Wait until the broker has all that was sent, without lingering.

        Raises:
            NotDeliveredError: It has not within this time; what is missing is still on its way.
            SpoolError: What is in the spool cannot be sent.
        """
        if left := await asyncio.to_thread(self._opened.way.flush, s_max):
            raise missing(left)

    @property
    def _opened(self) -> Sending:
        if self._sending is None:
            raise RuntimeError("use the client in an `async with` block")
        return self._sending
