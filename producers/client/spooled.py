"""The spooled way: messages go to the disk, and from there to the broker for as long as it takes.

A record's report is SPOOLED, and comes before `send` returns; from then on it is ours to deliver.
One thread carries messages from the spool into librdkafka, in order, and notes how far the broker
has them without a gap. Nothing is given up: what the broker refuses, or a producer that librdkafka
declares dead, makes it begin anew from that note, with a new producer. So a record may be on its
topic twice, but the first of each are in order: a partition takes a producer's batches in order or
not at all.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from threading import Condition, Event, Thread
from typing import Any, Final

from confluent_kafka import KafkaException, Producer

from producers.client.delivery import Delivery, Message, Report, State
from producers.client.direct import LAST_REPORTS_S, LOG, SERVED_EVERY, produced
from producers.client.settings import ClientSettings
from producers.client.spool import Spool, SpoolError

AGAIN_S: Final = 1.0
CAUGHT_UP_S: Final = 0.02
ROOM_S: Final = 0.1


class Carried:
    """A message of the spool on its way to the broker."""

    __slots__ = ("error", "number", "offset", "partition", "topic")

    def __init__(self, number: int, topic: str) -> None:
        self.number = number
        self.topic = topic
        self.partition = self.offset = -1
        self.error: str | None = None

    def __call__(self, error: object, message: Any) -> None:
        """Take librdkafka's report."""
        if error is None:
            self.partition, self.offset = message.partition(), message.offset()
        else:
            self.error = str(error)

    @property
    def is_there(self) -> bool:
        """Whether the broker has it."""
        return self.offset >= 0

    def report(self) -> Report:
        """Return that it was delivered."""
        return Report(
            state=State.DELIVERED,
            topic=self.topic,
            partition=self.partition,
            offset=self.offset,
            number=self.number,
        )


class Spooled:
    """Sends messages by way of a spool.

    Args:
        settings: With `client_spool` set.
        on_delivered: Called in order for every message that the broker has, again for one that
            was sent again; in the carrying thread, so it has to be short. What it raises ends the
            sending.
    """

    def __init__(
        self, settings: ClientSettings, on_delivered: Callable[[Report], None] | None
    ) -> None:
        assert settings.client_spool is not None, "a spooled way needs a spool"
        self._settings = settings
        self._on_delivered = on_delivered
        self._spool = Spool(
            settings.client_spool,
            bytes_max=settings.client_spool_bytes_max,
            fsync_ms=settings.client_spool_fsync_ms,
        )
        if self._spool.torn_bytes:
            LOG.warning(
                "%s: cut off %d bytes of an unfinished message, now in `torn`",
                self._spool.folder,
                self._spool.torn_bytes,
            )
        self._on_the_way: deque[Carried] = deque()
        self._more, self._closing, self._moved = Event(), Event(), Condition()
        self._broken: Exception | None = None
        # Made here, so that a configuration it does not take is raised to who opens the client.
        first = self._producer()
        self._carrier = Thread(
            target=self._carry, args=(first,), name="carbonflow-spool", daemon=True
        )
        self._carrier.start()

    @property
    def waiting(self) -> int:
        """Messages in the spool that the broker may not have."""
        return self._spool.end - self._spool.delivered

    def offer(self, message: Message, delivery: Delivery) -> bool:
        """Put a message into the spool, or return False: it is full.

        Raises:
            SpoolError: The disk does not take it, or what is in the spool cannot be sent.
        """
        self._check()
        number = self._spool.append(message)
        if number is None:
            return False
        delivery.spooled(number)
        if not self._more.is_set():
            self._more.set()
        return True

    def make_room(self, s_max: float) -> None:
        """Wait so long for the broker to have more."""
        with self._moved:
            self._moved.wait(s_max)

    def flush(self, s_max: float) -> int:
        """Wait until the broker has all that is in the spool now; return how many it lacks.

        Raises:
            SpoolError: What is in the spool cannot be sent.
        """
        left = self._wait(s_max)
        self._check()
        return left

    def _wait(self, s_max: float) -> int:
        end, deadline = self._spool.end, time.monotonic() + s_max
        with self._moved:
            while self._spool.delivered < end and self._broken is None:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._moved.wait(min(left, ROOM_S))
        return max(0, end - self._spool.delivered)

    def close(self, s_max: float) -> int:
        """Flush and end. What is left stays in the spool for the next client: that's no failure.

        Raises:
            SpoolError: What is in the spool cannot be sent.
        """
        self._wait(s_max)
        self._closing.set()
        self._more.set()
        self._carrier.join()
        self._spool.close()
        self._check()
        return 0

    def _check(self) -> None:
        if self._broken is not None:
            raise SpoolError(f"the spool is not emptied any more: {self._broken}") from self._broken

    def _producer(self) -> Producer:
        return Producer(self._settings.librdkafka(), logger=LOG)

    def _carry(self, kafka: Producer) -> None:
        try:
            while not self._closing.is_set():
                self._on_the_way.clear()
                messages = self._spool.messages(self._spool.delivered)
                failure = self._pass_on(kafka, messages)
                kafka.purge()
                kafka.flush(LAST_REPORTS_S)
                self._note()
                if failure:
                    LOG.warning("sending from message %d again: %s", self._spool.delivered, failure)
                    self._closing.wait(AGAIN_S)
                    kafka = self._producer()
        except Exception as error:  # noqa: BLE001 -- whatever it is, who sends has to hear of it
            LOG.error("the spool is not emptied any more: %s", error)
            self._broken = error

    def _pass_on(self, kafka: Producer, messages: Iterator[tuple[int, Message] | None]) -> str:
        """Pass messages on until the client closes, then return ""; or why it must begin anew."""
        for at, found in enumerate(messages):
            if found is None:
                self._more.clear()
                kafka.poll(CAUGHT_UP_S if self._on_the_way else 0)
                if not self._on_the_way:
                    self._more.wait(CAUGHT_UP_S)
            else:
                number, message = found
                carried = Carried(number, message[0])
                try:
                    while not produced(kafka, message, carried):
                        kafka.poll(ROOM_S)
                        if (failure := self._note()) or self._closing.is_set():
                            return failure
                except KafkaException as error:
                    return str(error)
                self._on_the_way.append(carried)
            if found is None or at % SERVED_EVERY == 0:
                kafka.poll(0)
                if (failure := self._note()) or self._closing.is_set():
                    return failure
        raise AssertionError("a spool has no end")

    def _note(self) -> str:
        """Note what the broker has without a gap; return why the next message failed, if it did."""
        failure = ""
        delivered = self._spool.delivered
        while self._on_the_way:
            first = self._on_the_way[0]
            if not first.is_there:
                failure = first.error or ""
                break
            self._on_the_way.popleft()
            delivered = first.number + 1
            if self._on_delivered is not None:
                self._on_delivered(first.report())
        self._spool.note(delivered)
        with self._moved:
            self._moved.notify_all()
        return failure
