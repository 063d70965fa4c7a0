"""What brings store and broker together again after one of them lost something.

The broker may have been set back: killed with -9, it reads back a consistent but earlier moment
(see `embedded.broker`). The store may then hold rows whose messages are gone, and their offsets
would win over those of the messages that will replace them. Everything in the store came from the
broker, so the store is emptied and filled from it again. The same happens to a store that is new
while the broker is not.

This runs before anything is produced: once new messages take the lost offsets, nobody could tell.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition

from sinks.connect import Client, database_name
from sinks.migrate import migrate
from sinks.sink import SinkSettings
from sinks.writer import ROUTES


def store_is_ahead(
    client: Client, settings: SinkSettings, ends: Mapping[TopicPartition, int]
) -> bool:
    """Return whether the store holds rows of messages that the broker does not have.

    Args:
        client: Client to the store, whose database is migrated.
        settings: Names the database and the prefix of the topics.
        ends: End offset of each partition of the broker's topics.
    """
    database = database_name(settings.database)
    for topic, route in ROUTES.items():
        rows = client.query(
            f"SELECT _partition, max(_offset) FROM {database}.{route.table} GROUP BY _partition"
        ).result_rows
        for partition, offset in rows:
            if offset >= ends.get(TopicPartition(settings.prefix + topic, int(partition)), 0):
                return True
    return False


def empty_store(client: Client, settings: SinkSettings) -> None:
    """Drop everything in the store, and make its tables anew."""
    client.command(f"DROP DATABASE IF EXISTS {database_name(settings.database)} SYNC")
    migrate(client, database=settings.database)


async def rewind_sink(settings: SinkSettings, ends: Mapping[TopicPartition, int]) -> None:
    """Let the sink read everything again; it must not be running."""
    names = {settings.prefix + topic for topic in ROUTES}
    starts = {partition: 0 for partition in ends if partition.topic in names}
    if not starts:
        return
    async with AIOKafkaConsumer(
        **settings.client_options(),
        group_id=settings.group_id,
        enable_auto_commit=False,
    ) as consumer:
        consumer.assign(list(starts))
        await consumer.commit(starts)
