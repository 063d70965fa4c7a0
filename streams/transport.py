"""Faust's aiokafka consumer, handing over slices: one message for each fetched partition.

Faust keeps what it is good at: agents, group membership, assignment, supervision. Plain Faust
spends about 100 µs on each message before any work is done; here a message is thousands of
records. Topics other than the given ones keep Faust's own path. A late lane is fetched from again
only when what was fetched of it is worked, because it may wait as long as the store is away.

The activity topics are declared with `acks=False`: their offsets are committed in the book's
transactions, and a late, lower commit of Faust would rewind them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

from aiokafka.errors import IllegalStateError, TopicAuthorizationFailedError
from faust import App
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from yarl import URL

from schemas.fetching import fetch_columns
from schemas.pacing import pace
from streams.slice import NotOurs, Slice
from streams.stop import stop_process

CREATE_TIME = 0

T = TypeVar("T")


class SliceThread(driver.AIOKafkaConsumerThread):
    """The consumer's thread, reading committed records only."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust reads uncommitted records unless its own transactions are on; they are not used.
        consumer._isolation_level = "read_committed"
        # A partition whose records have just been taken is asked for only after the fetch of all
        # others has been answered.
        transport = cast(SliceTransport, self.transport)
        consumer._fetch_max_wait_ms = int(transport.fetch_wait_s * 1000)
        return consumer

    async def on_start(self) -> None:
        """Start the consumer and let it hand over columns, before it has anything to fetch."""
        await super().on_start()
        transport = cast(SliceTransport, self.transport)
        pace(self._consumer, apart_s=transport.fetch_apart_s)
        fetch_columns(
            self._consumer,
            records_max=transport.slice_limit,
            of=transport.activity_topics.__contains__,
        )

    def wake(self) -> None:
        """Let a fetch that waits look again at which partitions it may take from."""
        if self._consumer is not None:
            self.thread_loop.call_soon_threadsafe(_wake, self._consumer._fetcher)

    def passed(self, tp: TP) -> int:
        """Return the offset that the next fetch begins at, 0 where there is none yet.

        It is behind the markers of transactions, which nobody is ever handed.
        """
        subscription = self._consumer and self._consumer._subscription.subscription
        assigned = subscription and subscription.assignment
        if not assigned or tp not in assigned.tps:
            return 0
        state = assigned.state_value(tp)
        return int(state.position) if state.has_valid_position else 0


def _wake(fetcher: Any) -> None:
    for waiter in list(fetcher._fetch_waiters):
        fetcher._notify(waiter)


class SliceConsumer(driver.Consumer):
    """Yields each fetched partition of an activity topic as one message with a `Slice`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._passed: dict[TP, int] = {}
        self._fetched: dict[TP, int] = {}
        self._room = asyncio.Event()
        self._held: dict[TP, int] = {}

    def _new_consumer_thread(self) -> SliceThread:
        return SliceThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(  # The signature is Faust's.
        self,
        timeout: float,  # noqa: ASYNC109
    ) -> AsyncIterator[tuple[TP, Any]]:
        """Fetch once and yield a message for each slice."""
        transport = cast(SliceTransport, self.transport)
        wait_s = min(timeout, transport.fetch_wait_s)
        if not self._get_active_partitions():
            # Faust would sleep for a second; here the first partition with room ends the wait.
            self._room.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._room.wait(), wait_s)
        try:
            records, active = await self._wait_next_records(wait_s)
        except TopicAuthorizationFailedError as error:
            # Faust would end as well, but say it pages before its last line.
            stop_process(error)
        generation = self.app.consumer_generation_id
        if records is None or self.should_stop:
            return
        gone_back: set[TP] = set()
        for tp, pieces in records.items():
            if tp.topic in transport.activity_topics and pieces:
                self._fetched[tp] = int(pieces[-1].offsets[-1]) + 1
        for tp, fetched in in_turns(records):
            name = transport.activity_topics.get(tp.topic)
            flows = generation == self.app.consumer_generation_id and self.flow_active
            if not flows or not (active is None or tp in active or tp in self._buffered_partitions):
                if name is not None:
                    self._pass_over(tp, int(fetched.offsets[0]))
                continue
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
            if name is None:
                yield tp, self._to_message(tp, fetched)
                continue
            if tp in gone_back or await self._goes_back(tp, int(fetched.offsets[0])):
                gone_back.add(tp)
                continue
            try:
                part = Slice.of(name, tp.partition, fetched)
            except NotOurs as error:
                stop_process(error)
            if part.late_from is not None:
                self._held[tp] = generation
            yield tp, self._message(tp, part)

    def left(self, tp: TP, next_offset: int) -> int:
        """Return how many offsets from one on are not worked yet, as far as the last fetch knew.

        A transaction's marker counts only while it is not known to be one: once all that was
        fetched is worked, and the end is passed, there is nothing left.

        Args:
            tp: A partition that is assigned.
            next_offset: The offset after the last record that is worked.
        """
        end = self.highwater(tp) or 0
        thread = cast(SliceThread, self._thread)
        if next_offset >= self._fetched.get(tp, 0) and thread.passed(tp) >= end:
            return 0
        return max(0, end - next_offset)

    def on_buffer_drop(self, tp: TP) -> None:
        """Take a partition in again that has room, at once: also a fetch that waits already."""
        super().on_buffer_drop(tp)
        self._room.set()
        cast(SliceThread, self._thread).wake()

    def release(self, tp: TP) -> None:
        """Fetch from the partition of a late lane again: what was fetched of it is worked."""
        self._held.pop(tp, None)
        self._room.set()

    async def _getmany(
        self,
        active_partitions: set[TP] | None,
        timeout: float,  # noqa: ASYNC109
    ) -> Any:
        """Fetch from partitions, but for late lanes that have not been worked since the last."""
        generation = self.app.consumer_generation_id
        held = {tp for tp, taken_in in self._held.items() if taken_in == generation}
        if not held or active_partitions is None:
            return await super()._getmany(active_partitions, timeout)
        if active := active_partitions - held:
            return await super()._getmany(active, timeout)
        self._room.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._room.wait(), timeout)
        return {}

    def _pass_over(self, tp: TP, first: int) -> None:
        """Remember that records from an offset on were fetched while they could not be taken.

        A rebalance has stopped the flow. To seek now would meet partitions that are being taken
        away. Faust seeks the committed offsets before the flow goes on, but maybe before this fetch
        ended, and not at all where nothing has been committed.
        """
        self._passed[tp] = min(first, self._passed.get(tp, first))

    async def _goes_back(self, tp: TP, first: int) -> bool:
        """Return whether records were passed over before `first`; then they are fetched again."""
        passed = self._passed.pop(tp, first)
        if first <= passed:
            return False
        # Where the partition has just been taken away, its next assignment begins at what is
        # committed.
        with suppress(IllegalStateError):
            await self.seek_wait({tp: passed})
        return True

    def _message(self, tp: TP, part: Slice) -> ConsumerMessage:
        """Return the message Faust sees: at the slice's last offset, its value the slice."""
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            part.next_offset - 1,
            float(part.timestamps_ms[-1]) / 1000,
            CREATE_TIME,
            [],
            None,
            cast(bytes, part),  # Faust hands the value of a raw topic on as it is.
            None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )


def in_turns(records: Mapping[TP, Sequence[T]]) -> Iterator[tuple[TP, T]]:
    """Yield the first of each partition, then the second of each, and so on.

    While one partition's slice is committed, that of another is stepped.

    >>> [record for _, record in in_turns({TP("t", 0): "ab", TP("t", 1): "c"})]
    ['a', 'c', 'b']
    """
    for turn in range(max(map(len, records.values()), default=0)):
        for tp, fetched in records.items():
            if turn < len(fetched):
                yield tp, fetched[turn]


class SliceTransport(driver.Transport):
    """A Faust transport whose consumer yields slices.

    Attributes:
        activity_topics: Full names of the topics fetched as slices, to their names without prefix.
        fetch_wait_s: How long a fetch waits for records [s].
        fetch_apart_s: How far apart fetches begin while no backlog waits [s].
        slice_limit: Asked for the records of one slice.
    """

    Consumer = SliceConsumer

    def __init__(
        self,
        urls: list[URL],
        app: App,
        *,
        activity_topics: Mapping[str, str],
        fetch_wait_s: float,
        fetch_apart_s: float,
        slice_limit: Callable[[], int],
    ) -> None:
        super().__init__(urls, app)
        self.activity_topics = activity_topics
        self.fetch_wait_s = fetch_wait_s
        self.fetch_apart_s = fetch_apart_s
        self.slice_limit = slice_limit
