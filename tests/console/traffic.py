"""Traffic: a made-up sample sent into a running stack, piece by piece, from a thread of its own.

A page driven by Playwright has an event loop in the thread of the test, so that another loop needs
another thread. All pieces are of one sample: two samples would have the same ids.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final

from producers.client.columns import CarbonflowProducer
from producers.sample import SampleBatch, SamplePart, SampleRaw, sample
from schemas.settings import BrokerSettings

SEND_S_MAX: Final = 120.0
BEAT_S: Final = 0.5
# How busy it is, beat by beat: a chart of a straight line shows nothing.
WAVES: Final = (0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.2, 1.1, 1.0, 0.9, 0.8, 0.7)


class Traffic:
    """One sample on its way to a broker.

    Args:
        bootstrap: The broker.
        events: How many there are in all.
        seed: Another seed makes another sample.
    """

    def __init__(self, bootstrap: str, events: int, *, seed: int) -> None:
        self._settings = BrokerSettings(bootstrap=bootstrap)
        self._parts = sample(events, seed=seed)
        self._left: list[SamplePart] = []

    def send(self, events: int) -> None:
        """Send the next events, and return when the broker has them."""

        async def once(producer: CarbonflowProducer) -> None:
            await self._put(producer, events)

        _Beside(lambda: self._produce(once)).join()

    def send_broken(self, count: int) -> None:
        """Send messages that nobody can read."""

        async def once(producer: CarbonflowProducer) -> None:
            messages = [(b"cn-driver-000000", b'{"energy_kwh": %d}' % n) for n in range(count)]
            await producer.send_raw("charging-sessions", messages)

        _Beside(lambda: self._produce(once)).join()

    @contextmanager
    def flowing(self, per_s: int) -> Iterator[None]:
        """Send the next events little by little while the context is entered."""
        stop = threading.Event()

        async def flow(producer: CarbonflowProducer) -> None:
            beat = 0
            while not stop.is_set():
                await self._put(producer, round(per_s * BEAT_S * WAVES[beat % len(WAVES)]))
                await asyncio.to_thread(stop.wait, BEAT_S)
                beat += 1

        work = _Beside(lambda: self._produce(flow))
        try:
            yield
        finally:
            stop.set()
            work.join()

    async def _produce(
        self, work: Callable[[CarbonflowProducer], Coroutine[Any, Any, None]]
    ) -> None:
        async with CarbonflowProducer(self._settings) as producer:
            await work(producer)

    async def _put(self, producer: CarbonflowProducer, events: int) -> None:
        while events:
            if not self._left:
                self._left.append(next(self._parts))
            part = self._left.pop()
            piece, rest = _cut(part, events)
            if rest is not None:
                self._left.append(rest)
            events -= _size(piece)
            if isinstance(piece, SampleRaw):
                await producer.send_raw(piece.topic, piece.messages)
            else:
                await producer.send_batch(piece.record, piece.batch)


class _Beside:
    """A coroutine in a thread of its own, whose error is raised where it is waited for."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(work,))
        self._thread.start()

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join(SEND_S_MAX)
        assert not self._thread.is_alive(), f"nothing was sent in {SEND_S_MAX} s"
        if self._error is not None:
            raise self._error

    def _run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            asyncio.run(work())
        except BaseException as error:  # noqa: BLE001 - It is raised in `join`.
            self._error = error


def _size(part: SamplePart) -> int:
    return len(part.messages) if isinstance(part, SampleRaw) else part.batch.num_rows


def _cut(part: SamplePart, events: int) -> tuple[SamplePart, SamplePart | None]:
    """Return so many events of a part at most, and the rest of it."""
    if _size(part) <= events:
        return part, None
    if isinstance(part, SampleRaw):
        return (
            SampleRaw(part.topic, part.messages[:events]),
            SampleRaw(part.topic, part.messages[events:]),
        )
    return (
        SampleBatch(part.record, part.batch.slice(0, events)),
        SampleBatch(part.record, part.batch.slice(events)),
    )
