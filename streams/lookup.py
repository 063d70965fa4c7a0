"""Asking the store which late events were booked before; it may be away for as long as it likes.

The store must hold what accounts have forgotten. So the end of the partition's transfers is noted
first, and the store asked once the sink has stored everything before it. That is enough: whatever
could be booked twice was booked before its record came to the late lane, or in a slice of the lane
before this one, and both lie before that end. The end is that of all that is written: a commit is
answered before its marker is, so what was just committed may not count as readable yet. One thing
is left: an event reported once more with another time, young enough to be booked at once, while its
first report waits. Its account knows it, unless that forgets it in the same moment, because of
50,000 other events, or because records with old timestamps stand beside new ones.
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
from aiokafka.errors import KafkaError, KafkaTimeoutError
from aiokafka.structs import TopicPartition

from carbon.exact import BoolArray
from schemas.between import LOOK_RECORDS, first_between
from schemas.fetching import fetch_columns
from schemas.log_events import tell
from sinks.booked import booked_already
from sinks.connect import Client, StoreError, StoreSettings, connect, reason
from streams.read import read
from streams.settings import WorkerSettings
from streams.slice import Slice
from streams.threads import on_thread
from streams.transfers import EMISSION, transfer_ids

log = logging.getLogger("carbonflow.worker")

RETRY_S: Final = 0.02
RETRY_S_MAX: Final = 1.0
ANSWER_S_MAX: Final = 30
BEHIND_S: Final = 10.0
"""A sink that is further behind is told about."""

ASKED_MAX: Final = 16_384
ASKED_MIN: Final = 1024
"""Events asked about in one query: fewer after each that failed, which may have taken too long."""

Lane = tuple[str, int]
"""A topic and a partition."""

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
        self._waiting_since: dict[Lane, float] = {}

    async def stored(self, part: Slice) -> BoolArray:
        """Return which records of a slice of a late lane are booked already, shape (n,).

        It waits until the store answers, and may be cancelled at any time.
        """
        accounts, ids, positions = await on_thread(len(part), _asked, part)
        found = np.zeros(len(part), dtype=np.bool_)
        lane = part.topic, part.partition
        wait_s, portion = RETRY_S, ASKED_MAX
        try:
            while True:
                try:
                    await self._until_stored(lane)
                    known = await _beside(partial(self._ask, accounts, ids, portion))
                except StoreError as error:
                    self._client, portion = None, max(ASKED_MIN, portion // 2)
                    self._wait_began(lane, f"the store is away: {reason(error)}")
                except KafkaError as error:
                    if not (error.retriable or isinstance(error, KafkaTimeoutError)):
                        raise
                    self._wait_began(lane, f"the broker does not say where the sink is: {error!r}")
                else:
                    self._wait_ended(lane)
                    found[positions] = known
                    return found
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, RETRY_S_MAX)
        finally:
            self._waiting_since.pop(lane, None)

    def waiting_s(self) -> float:
        """Return for how long the store has been waited for, 0 if it is not."""
        since = min(self._waiting_since.values(), default=None)
        return 0.0 if since is None else time.monotonic() - since

    def _ask(self, accounts: pa.StringArray, ids: pa.StringArray, portion: int) -> BoolArray:
        if self._client is None:
            self._client = connect(self._store, answer_s_max=ANSWER_S_MAX)
        found = [
            booked_already(
                self._client,
                accounts[start : start + portion],
                ids[start : start + portion],
                database=self._store.database,
                answer_s_max=ANSWER_S_MAX,
            )
            for start in range(0, len(ids), portion)
        ]
        return np.concatenate(found) if found else np.zeros(0, dtype=np.bool_)

    async def _until_stored(self, lane: Lane) -> None:
        """Wait until the sink has stored what the partition's transfers hold now."""
        place = TopicPartition(self._settings.topic("transfers"), lane[1])
        options = self._settings.client_options()
        written = AIOKafkaConsumer(**options, group_id=None, isolation_level="read_uncommitted")
        admin = AIOKafkaAdminClient(**options)
        began, wait_s, before = time.monotonic(), RETRY_S, None
        try:
            await written.start()
            end = int((await written.end_offsets([place]))[place])
            await admin.start()
            while (stored := await self._sink_at(admin, place)) is None or stored < end:
                # A sink commits nothing where it got nothing: there may be only markers left.
                if stored == before is not None and await self._is_empty(place, before, end):
                    return
                if time.monotonic() - began > BEHIND_S:
                    where = f"{place.topic} {place.partition}"
                    why = f"the sink has stored {stored or 0} of {end} of {where}"
                    self._wait_began(lane, why, began)
                await asyncio.sleep(wait_s)
                wait_s, before = min(2 * wait_s, RETRY_S_MAX), stored
        finally:
            await admin.close()
            await written.stop()

    async def _is_empty(self, place: TopicPartition, start: int, end: int) -> bool:
        reader = AIOKafkaConsumer(
            **self._settings.client_options(),
            group_id=None,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        try:
            await reader.start()
            fetch_columns(reader, records_max=lambda: LOOK_RECORDS)
            return await first_between(reader, place, start, end) is None
        finally:
            await reader.stop()

    async def _sink_at(self, admin: AIOKafkaAdminClient, place: TopicPartition) -> int | None:
        """Return the sink's next offset; None while nobody can say."""
        group = self._settings.prefix + self._settings.sink_group
        answer = await admin.list_consumer_group_offsets(group, partitions=[place])
        # A coordinator that is still loading leaves the partition out.
        return max(0, int(answer[place].offset)) if place in answer else None

    def _wait_began(self, lane: Lane, why: str, since: float | None = None) -> None:
        if not self._waiting_since:
            tell(log, "late_waits", topic=lane[0], partition=lane[1], reason=why)
        self._waiting_since.setdefault(lane, time.monotonic() if since is None else since)

    def _wait_ended(self, lane: Lane) -> None:
        since = self._waiting_since.pop(lane, None)
        if since is not None and not self._waiting_since:
            topic, partition = lane
            seconds = time.monotonic() - since
            tell(log, "late_goes_on", topic=topic, partition=partition, seconds=seconds)


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
