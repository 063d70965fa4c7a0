"""Asking the store which late events were booked before; it may be away for as long as it likes.

The store must hold what accounts have forgotten. So the end of the partition's transfers is noted
first, and the store asked once the sink has stored everything before it. That is enough: whatever
could be booked twice was booked before its record came to the late lane, or in a slice of the lane
before this one, and both lie before that end. It is the end of all that is written: what has just
been committed can be read only when the broker has written its markers, some time after. One thing
is left: an event reported once more with another time, young enough to be booked at once, while its
first report waits. Its account knows it, unless that forgets in the same moment; it would take
50,000 other events.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Final, TypeVar

import numpy as np
import pyarrow as pa
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from carbon.exact import BoolArray
from sinks.booked import booked_already
from sinks.connect import Client, StoreError, StoreSettings, connect, reason
from streams.read import read
from streams.settings import WorkerSettings
from streams.slice import Slice
from streams.transfers import EMISSION, transfer_ids

log = logging.getLogger("carbonflow.worker")

RETRY_S: Final = 0.02
RETRY_S_MAX: Final = 1.0
ANSWER_S_MAX: Final = 30
BEHIND_S: Final = 10.0
"""A sink that is further behind is told about."""

T = TypeVar("T")


class Lookup:
    """Asks one store for one worker.

    Args:
        settings: The worker's settings.
        store: Where the store is.
    """

    def __init__(self, settings: WorkerSettings, store: StoreSettings) -> None:
        self._settings = settings
        self._store = store
        self._client: Client | None = None
        self._waiting_since: float | None = None
        self._told = False

    async def stored(self, part: Slice) -> BoolArray:
        """Return which records of a slice of a late lane are booked already, shape (n,).

        It waits until the store answers, and may be cancelled at any time.
        """
        accounts, ids, positions = await asyncio.to_thread(_asked, part)
        found = np.zeros(len(part), dtype=np.bool_)
        wait_s = RETRY_S
        while True:
            try:
                await self._until_stored(part.partition)
                known = await _beside(partial(self._ask, accounts, ids))
            except StoreError as error:
                self._client = None
                self._wait_began(f"the store is away: {reason(error)}")
            except KafkaError as error:
                if not error.retriable:
                    raise
                self._wait_began(f"the broker does not say where the sink is: {error!r}")
            else:
                self._wait_ended()
                found[positions] = known
                return found
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_S_MAX)

    def waiting_s(self) -> float:
        """Return for how long the store has been waited for, 0 if it is not."""
        since = self._waiting_since
        return 0.0 if since is None else time.monotonic() - since

    def _ask(self, accounts: pa.StringArray, ids: pa.StringArray) -> BoolArray:
        if self._client is None:
            self._client = connect(self._store, answer_s_max=ANSWER_S_MAX)
        return booked_already(self._client, accounts, ids, database=self._store.database)

    async def _until_stored(self, partition: int) -> None:
        """Wait until the sink has stored what the partition's transfers hold now."""
        place = TopicPartition(self._settings.topic("transfers"), partition)
        options = self._settings.client_options()
        consumer = AIOKafkaConsumer(**options, group_id=None, isolation_level="read_uncommitted")
        admin = AIOKafkaAdminClient(**options)
        began, wait_s = time.monotonic(), RETRY_S
        try:
            await consumer.start()
            end = int((await consumer.end_offsets([place]))[place])
            await admin.start()
            while (stored := await self._sink_at(admin, place)) < end:
                if time.monotonic() - began > BEHIND_S:
                    where = f"{place.topic} {partition}"
                    self._wait_began(f"the sink has stored {stored} of {end} of {where}", began)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, RETRY_S_MAX)
        finally:
            await admin.close()
            await consumer.stop()

    async def _sink_at(self, admin: AIOKafkaAdminClient, place: TopicPartition) -> int:
        group = self._settings.prefix + self._settings.sink_group
        answer = await admin.list_consumer_group_offsets(group, partitions=[place])
        # A coordinator that is still loading leaves the partition out; then nothing is known yet.
        return max(0, int(answer[place].offset)) if place in answer else -1

    def _wait_began(self, why: str, since: float | None = None) -> None:
        if self._waiting_since is None:
            self._waiting_since = time.monotonic() if since is None else since
        if not self._told:
            log.warning("late events wait, all others go on: %s", why)
            self._told = True

    def _wait_ended(self) -> None:
        if self._told:
            log.warning("late events go on after %.1f s", self.waiting_s())
        self._waiting_since, self._told = None, False


def _asked(part: Slice) -> tuple[pa.StringArray, pa.StringArray, Any]:
    """Return accounts and transfers to ask about, and their positions in the slice."""
    taken = read(part)
    ids = transfer_ids(taken.activities, EMISSION)
    return taken.activities.account, ids, taken.positions


async def _beside(work: Callable[[], T]) -> T:
    """Run something on a thread that nobody has to wait for: the process may end before it."""
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 (whoever waits gets it)
            done.set_exception(error)

    threading.Thread(target=run, name="lookup", daemon=True).start()
    return await asyncio.wrap_future(done)
