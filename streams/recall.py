"""What goes with the offsets a worker commits: how many partitions there were, and the account that
its breaker keeps of refusals.

It is committed with each slice, and read once, before the first slice of a process is checked. The
newest account of the partitions that the process has then is what it, or who had them before, last
knew. With another number of partitions than any offset was committed with, accounts would begin
anew in partitions that are not theirs, beside what they had: nothing is worked then.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Collection, Iterable
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupLoadInProgressError, KafkaError
from aiokafka.structs import TopicPartition

from schemas.log_events import tell
from streams.restore import PartitionsChanged
from streams.settings import WorkerSettings

log = logging.getLogger("carbonflow.worker")

RETRY_S: Final = 0.1
ANSWER_WAIT_S_MAX: Final = 30


def beside_offset(partitions: int, account: str) -> str:
    """Return the text that goes with an offset.

    Args:
        partitions: How many each activity topic has.
        account: What the breaker keeps, a JSON object.

    >>> beside_offset(4, '{"at":1,"refused":[]}')
    '{"partitions":4,"at":1,"refused":[]}'
    """
    return f'{{"partitions":{partitions},{account[1:]}'


def check_partitions(texts: Iterable[str], partitions: int) -> None:
    """Refuse to work with another number of partitions than before.

    Args:
        texts: Those that went with offsets; one that somebody else wrote says nothing.
        partitions: How many there are now.

    Raises:
        PartitionsChanged: One was committed with another number.
    """
    for text in texts:
        try:
            kept = json.loads(text)
        except ValueError:
            continue
        before = kept.get("partitions", partitions) if isinstance(kept, dict) else partitions
        if before != partitions:
            raise PartitionsChanged(
                f"each activity topic has {partitions} partitions now and had {before} when it was "
                "worked; accounts cannot move, see docs/operations.md"
            )


async def texts_beside_offsets(
    settings: WorkerSettings, places: Collection[TopicPartition]
) -> dict[TopicPartition, str]:
    """Return the texts that the group has committed beside offsets of some partitions, by those.

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


async def _texts_now(
    settings: WorkerSettings, places: Collection[TopicPartition]
) -> dict[TopicPartition, str]:
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
    return {place: one.metadata for place, one in committed.items() if one.metadata}
