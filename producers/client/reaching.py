"""Reaching: does the broker answer, and has it the topics that records are sent to?"""

from __future__ import annotations

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from producers.client.direct import LOG
from producers.client.records import SCHEMA_ID_OF
from producers.client.settings import ClientSettings
from producers.targets import topic_of
from schemas.catalogue import schema_of


class Reaching:
    """Asks the broker what topics it has; any thread may."""

    def __init__(self, settings: ClientSettings) -> None:
        self._kafka = AdminClient(settings.librdkafka(), logger=LOG)
        self._wanted = {
            settings.broker.topic(topic_of(schema_of(schema_id).record))
            for schema_id in SCHEMA_ID_OF.values()
        }

    def obstacle(self, s_max: float) -> str:
        """Return why nothing can be sent, or "" where the broker answers and has the topics."""
        try:
            found = self._kafka.list_topics(timeout=s_max).topics
        except KafkaException as error:
            return f"the broker does not answer: {error.args[0].str()}"
        missing = sorted(self._wanted - found.keys())
        return f"the broker has no topic {', '.join(missing)}" if missing else ""
