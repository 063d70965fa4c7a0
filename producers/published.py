"""What is published already: the factors on `emission-factors`, read to its end as workers do.

Among factors for the same thing the latest published wins. So publishing a release again is not
harmless: it would move ahead of what an operator published after it. `unpublished` says which
factors the topic does not hold as they are.
"""

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import UnknownTopicOrPartitionError

from carbon.factors import Factor, FactorError
from schemas.framing import WireError
from schemas.pacing import pace
from schemas.settings import BrokerSettings
from schemas.singles import decode_one

READ_S_MAX = 60.0
_TOPIC = "emission-factors"


class UnreadTopicError(Exception):
    """The topic is not there, or cannot be read to its end in time; the message says which."""


async def unpublished(factors: Sequence[Factor], settings: BrokerSettings) -> list[Factor]:
    """Return the factors that the topic does not hold as they are, in their order.

    Raises:
        UnreadTopicError: The topic does not exist, or its end is not reached.
        aiokafka.errors.KafkaError: The broker is away.
    """
    held = await published(settings)
    return [factor for factor in factors if held.get((factor.release, factor.factor_id)) != factor]


async def published(settings: BrokerSettings) -> dict[tuple[str, str], Factor]:
    """Return the factors in force by release and id, in the order of their publication.

    What is on the topic and is no factor is left out: publishing it again puts it right.

    Raises:
        UnreadTopicError: The topic does not exist, or its end is not reached.
        aiokafka.errors.KafkaError: The broker is away.
    """
    topic = settings.topic(_TOPIC)
    consumer = AIOKafkaConsumer(
        **settings.client_options(),
        group_id=None,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    try:
        await consumer.start()
        pace(consumer)
        # Asking for all topics, because asking for one that does not exist may create it.
        if topic not in await consumer.topics():
            raise UnreadTopicError(f"there is no topic {topic}: `carbonflow topics` makes it")
        async with asyncio.timeout(READ_S_MAX):
            return await _read(consumer, TopicPartition(topic, 0))
    except TimeoutError:
        raise UnreadTopicError(f"{topic} was not read in {READ_S_MAX:.0f} s") from None
    except UnknownTopicOrPartitionError:
        raise UnreadTopicError(f"there is no topic {topic}: `carbonflow topics` makes it") from None
    finally:
        await consumer.stop()


async def _read(
    consumer: AIOKafkaConsumer, source: TopicPartition
) -> dict[tuple[str, str], Factor]:
    consumer.assign([source])
    end = (await consumer.end_offsets([source]))[source]
    by_key: dict[bytes | None, Factor] = {}
    while await consumer.position(source) < end:
        fetched = await consumer.getmany(source, timeout_ms=500)
        for message in fetched.get(source, ()):
            # A key published again moves to the end.
            by_key.pop(message.key, None)
            factor = _factor(message.value)
            if factor is not None:
                by_key[message.key] = factor
    return {(factor.release, factor.factor_id): factor for factor in by_key.values()}


def _factor(value: bytes | None) -> Factor | None:
    try:
        _, fields = decode_one(value, record="emission_factor")
        return Factor(**fields)  # type: ignore[arg-type]
    except (WireError, FactorError):
        return None
