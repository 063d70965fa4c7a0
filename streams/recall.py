"""What goes with the offsets a worker commits: the account that its breaker keeps of refusals.

It is committed with each slice, and read once, before the first slice of a process is checked, from
all partitions the process has then. The newest is what it, or who had them before, last knew.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupLoadInProgressError, KafkaError
from aiokafka.structs import TopicPartition

from schemas.log_events import tell
from streams.settings import WorkerSettings

log = logging.getLogger("carbonflow.worker")

RETRY_S: Final = 0.1
ANSWER_WAIT_S_MAX: Final = 30


async def texts_beside_offsets(
    settings: WorkerSettings, places: Collection[TopicPartition]
) -> list[str]:
    """Return the texts that the group has committed beside offsets of some partitions.

    Raises:
        KafkaError: The coordinator does not answer in time, or refuses.
    """
    deadline = time.monotonic() + ANSWER_WAIT_S_MAX
    while True:
        try:
            return await _texts_now(settings, places)
        except KafkaError as error:
            if not error.retriable or time.monotonic() > deadline:
                raise
            tell(log, "breaker_waits", reason=repr(error))
        await asyncio.sleep(RETRY_S)


async def _texts_now(settings: WorkerSettings, places: Collection[TopicPartition]) -> list[str]:
    admin = AIOKafkaAdminClient(**settings.client_options())
    try:
        await admin.start()
        committed = await admin.list_consumer_group_offsets(
            settings.group_id, partitions=list(places)
        )
    finally:
        await admin.close()
    if missing := set(places) - set(committed):
        # A coordinator that is still loading says so in a field that aiokafka does not look at.
        raise GroupLoadInProgressError(f"no answer about {sorted(missing)}")
    return [one.metadata for one in committed.values() if one.metadata]
