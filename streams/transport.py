"""Faust's aiokafka consumer, handing over slices: one message for each fetched partition.

Faust keeps what it is good at: agents, group membership, assignment, supervision. Plain Faust
spends about 100 µs on each message before any work is done; here a message is thousands of
records. Topics other than the given ones keep Faust's own path.

The activity topics are declared with `acks=False`: their offsets are committed in the book's
transactions, and a late, lower commit of Faust would rewind them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

from faust import App
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from yarl import URL

from streams.slice import Slice


class SliceThread(driver.AIOKafkaConsumerThread):
    """The consumer's thread, reading committed records only."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust reads uncommitted records unless its own transactions are on; they are not used.
        consumer._isolation_level = "read_committed"
        return consumer


class SliceConsumer(driver.Consumer):
    """Yields each fetched partition of an activity topic as one message with a `Slice`."""

    def _new_consumer_thread(self) -> SliceThread:
        return SliceThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(  # The signature is Faust's.
        self,
        timeout: float,  # noqa: ASYNC109
    ) -> AsyncIterator[tuple[TP, Any]]:
        """Fetch once and yield a message for each slice.

        A partition paused by back-pressure waits out the fetch under way after it is resumed, so a
        fetch waits a fraction of Faust's second.
        """
        transport = cast(SliceTransport, self.transport)
        wait_s = min(timeout, transport.fetch_wait_s)
        records, active = await self._wait_next_records(wait_s)
        generation = self.app.consumer_generation_id
        if records is None or self.should_stop:
            return
        if not self.flow_active:
            await self.perform_seek()
            return
        for tp, fetched in records.items():
            if generation != self.app.consumer_generation_id or not self.flow_active:
                break
            if not fetched or not (
                active is None or tp in active or tp in self._buffered_partitions
            ):
                continue
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
            name = transport.activity_topics.get(tp.topic)
            if name is None:
                for record in fetched:
                    yield tp, self._to_message(tp, record)
                continue
            message = self._to_message(tp, fetched[-1])
            # Faust hands the value of a raw topic on as it is.
            message.value = cast(bytes, Slice.of(name, tp.partition, fetched))
            yield tp, message


class SliceTransport(driver.Transport):
    """A Faust transport whose consumer yields slices.

    Attributes:
        activity_topics: Full names of the topics fetched as slices, to their names without prefix.
        fetch_wait_s: How long a fetch waits for records [s].
    """

    Consumer = SliceConsumer

    def __init__(
        self, url: URL, app: App, *, activity_topics: Mapping[str, str], fetch_wait_s: float
    ) -> None:
        super().__init__([url], app)
        self.activity_topics = activity_topics
        self.fetch_wait_s = fetch_wait_s
