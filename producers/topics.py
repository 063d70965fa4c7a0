"""Topics: what the catalogue says should exist is made to exist.

Creating is idempotent and safe to race: a topic that is there, or that another process creates
meanwhile, is left as it is, whatever its partitions.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, for_code

from schemas.catalogue import full_name, shipped
from schemas.settings import BrokerSettings

NO_ERROR: Final = 0
ALREADY_EXISTS: Final = 36
VISIBLE_SECONDS_MAX: Final = 30.0


class TopicsError(Exception):
    """The broker did not create a topic, or doesn't show it."""


async def ensure_topics(
    settings: BrokerSettings, *, partitions: int | None = None, replication: int = 1
) -> Sequence[str]:
    """Create the catalogue's topics that are missing, and return once the broker shows all of them.

    Args:
        settings: The broker and the prefix of the topics' names.
        partitions: Of every topic that is created; the catalogue's number where it is None.
        replication: On how many brokers each partition is kept.

    Returns:
        The names, with prefix, of the topics created.

    Raises:
        TopicsError: The broker refused a topic, or doesn't show it within half a minute.
    """
    catalogue = shipped() if partitions is None else shipped().repartitioned(partitions)
    wanted = {full_name(settings.prefix, topic.name): topic for topic in catalogue.topics.values()}
    admin = AIOKafkaAdminClient(**settings.client_options())
    try:
        await admin.start()
        missing = sorted(wanted.keys() - set(await admin.list_topics()))
        if missing:
            await _create(
                admin,
                [
                    NewTopic(
                        name,
                        wanted[name].partitions,
                        replication,
                        topic_configs=wanted[name].config,
                    )
                    for name in missing
                ],
            )
            await _visible(admin, missing)
    finally:
        await admin.close()
    return missing


async def _create(admin: AIOKafkaAdminClient, topics: Sequence[NewTopic]) -> None:
    try:
        response = await admin.create_topics(list(topics))
    except KafkaError as wrong:
        raise TopicsError(f"the broker created no topics: {wrong!r}") from wrong
    for name, code, *said in response.topic_errors:
        if code not in (NO_ERROR, ALREADY_EXISTS):
            message = said[0] if said and said[0] else for_code(code).__name__
            raise TopicsError(f"the broker did not create the topic {name}: {message}")


async def _visible(admin: AIOKafkaAdminClient, names: Sequence[str]) -> None:
    """Wait until every broker can show the topics: a controller answers before they spread."""
    try:
        async with asyncio.timeout(VISIBLE_SECONDS_MAX):
            # The broker sends no word when it is done, so it is asked again and again.
            while not set(names) <= set(await admin.list_topics()):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise TopicsError(
            f"the broker doesn't show {', '.join(names)} after creating them"
        ) from None
