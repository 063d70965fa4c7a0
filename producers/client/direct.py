"""The direct way: records wait in librdkafka's memory until the broker has them.

Why librdkafka (confluent-kafka) and not aiokafka, of which the pipeline is made: measured with a
report for every record, one process pays 3.0 us of processor time a record here, and 11.6 us with
aiokafka's `send`, which is too much for 100,000 records/s before anything is checked or written.
Batches filled by hand and given to aiokafka take 2.4 us, but linger, limits, order over retries
and a thread with an event loop for the synchronous face would then be ours. librdkafka has all of
that, compresses and sends outside the interpreter's lock, and needs no other package.

Reports are served in the thread that sends, every SERVED_EVERY records: a report takes the
interpreter's lock, and a thread of its own would wait for it, five milliseconds at a time, while
the other one is busy. A thread serves them only while little is sent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Thread
from typing import Any, Final

from confluent_kafka import KafkaException, Producer

from producers.client.delivery import Message, NotDeliveredError
from producers.client.settings import ClientSettings

LOG: Final = logging.getLogger("carbonflow.client")
SERVED_EVERY: Final = 256
ANY: Final = -1
BUSY_S: Final = 0.005
QUIET_S: Final = 0.05
LAST_REPORTS_S: Final = 5.0
"""More than reports of what was given up take."""


def produced(kafka: Producer, message: Message, report: Callable[[object, Any], None]) -> bool:
    """Give librdkafka a message, or return False: its memory is full.

    Raises:
        KafkaException: It takes nothing any more.
    """
    topic, key, value, timestamp_ms, headers = message
    try:
        # By position, in half the time: value, key, any partition, callback, its alias, timestamp
        # and headers, whose type is narrower than what may be in them.
        kafka.produce(topic, value, key, ANY, report, None, timestamp_ms, headers)  # type: ignore[arg-type]
    except BufferError:
        return False
    return True


class Direct:
    """Sends messages straight to the broker; every report is DELIVERED or FAILED."""

    def __init__(self, settings: ClientSettings) -> None:
        self._kafka = Producer(settings.librdkafka(), logger=LOG)
        self._offered = 0
        self._closing = Event()
        self._server = Thread(target=self._serve, name="carbonflow-client", daemon=True)
        self._server.start()

    @property
    def waiting(self) -> int:
        """Records, and reports of them, that are still on their way."""
        return len(self._kafka)

    def offer(self, message: Message, delivery: Callable[[object, Any], None]) -> bool:
        """Take a message, or return False: there is no room for it now.

        Args:
            message: The message.
            delivery: A `Delivery`, or what else takes librdkafka's report, in any thread.

        Raises:
            NotDeliveredError: librdkafka takes nothing any more.
        """
        try:
            if not produced(self._kafka, message, delivery):
                return False
        except KafkaException as error:
            raise NotDeliveredError(str(error)) from error
        self._offered += 1
        if self._offered % SERVED_EVERY == 0:
            self._kafka.poll(0)
        return True

    def make_room(self, s_max: float) -> None:
        """Serve reports, waiting so long for the first."""
        self._kafka.poll(s_max)

    def flush(self, s_max: float) -> int:
        """Send what waits at once; return how many have no report after that time."""
        left: int = self._kafka.flush(s_max)
        return left

    def close(self, s_max: float) -> int:
        """Flush and end; return how many failed because there was no report in time."""
        left = self.flush(s_max)
        self._closing.set()
        self._server.join()
        if left:
            self._kafka.purge()
            self._kafka.flush(LAST_REPORTS_S)
        return left

    def _serve(self) -> None:
        before = 0
        while not self._closing.is_set():
            offered = self._offered
            if offered - before >= SERVED_EVERY:
                self._closing.wait(BUSY_S)
            else:
                self._kafka.poll(QUIET_S)
            before = offered
