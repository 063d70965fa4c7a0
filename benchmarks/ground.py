"""What a run stands on: a broker, fresh topics with the load in them, and a folder of its own.

Every run gets topics of its own and they are deleted after it: the embedded broker keeps all data
in memory and saves it as it goes, so nobody shall pay for what another has written.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from benchmarks.generate import Message
from producers.client.columns import CarbonflowProducer
from producers.factors.release import load_release
from producers.topics import ensure_topics
from schemas.catalogue import TOPICS
from schemas.settings import BrokerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What one run stands on.

    Attributes:
        bootstrap: The broker.
        prefix: Of every topic and group of the run.
        folder: Takes logs and state.
        environ: The environment that contestants inherit.
    """

    bootstrap: str
    prefix: str
    folder: Path
    environ: Mapping[str, str]

    @property
    def topic(self) -> str:
        """The topic with the load."""
        return f"{self.prefix}charging-sessions"

    @property
    def output(self) -> str:
        """The topic that takes the results of a peer."""
        return f"{self.prefix}results"

    @property
    def partitions(self) -> int:
        """Of the topic with the load, and of the output."""
        return TOPICS["charging-sessions"].partitions


async def fill(ground: Ground, records: Sequence[Message]) -> None:
    """Make the topics of a run and send the records and the shipped factors."""
    settings = BrokerSettings(bootstrap=ground.bootstrap, prefix=ground.prefix)
    await ensure_topics(settings)
    async with _admin(ground) as admin:
        await admin.create_topics([NewTopic(ground.output, ground.partitions, 1)])
    async with CarbonflowProducer(settings) as producer:
        await producer.publish_factors(load_release().factors)
        await producer.send_raw("charging-sessions", records)


async def clear(ground: Ground) -> None:
    """Delete every topic of a run; some frameworks put words of their own before the prefix."""
    async with _admin(ground) as admin:
        topics = [name for name in await admin.list_topics() if ground.prefix in name]
        await admin.delete_topics(topics)


@asynccontextmanager
async def _admin(ground: Ground) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=ground.bootstrap)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()
