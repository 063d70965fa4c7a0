"""Pacing: how soon a consumer asks again.

aiokafka asks at once for what it has none of. While records trickle in, each answer then brings a
few of them, and a few cost all who handle them nearly as much as a thousand: the broker, the
consumer, and whoever reads what it writes. So fetches begin some time apart, unless more is known
to be there: the longer a record waits for company, the less it costs.

Kafka holds an empty fetch for `fetch_max_wait_ms`. The embedded broker answers it at once, and a
core was spent on asking thousands of times a second; pacing is the remedy for that, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.structs import TopicPartition

APART_S: Final = 0.05
"""For who follows a topic; a worker has its own, because its slices cost more."""


def pace(consumer: AIOKafkaConsumer, *, apart_s: float = APART_S) -> None:
    """Pace a started consumer; doing it again changes nothing.

    Args:
        consumer: The consumer.
        apart_s: How far apart fetches from a node begin while nothing waits [s].
    """
    fetcher = consumer._fetcher
    if "_get_actions_per_node" not in vars(fetcher):
        fetcher._get_actions_per_node = _Paced(fetcher, apart_s, fetcher._loop.time)


class _Paced:
    """In place of aiokafka's choice of what to ask for now: requests that are too early wait."""

    def __init__(self, fetcher: Any, apart_s: float, clock: Callable[[], float]) -> None:
        self._fetcher = fetcher
        self._actions = fetcher._get_actions_per_node
        self._apart_s = apart_s
        self._clock = clock
        self._began: dict[Any, float] = {}

    def __call__(self, assignment: Any) -> Any:
        requests, resets, timeout, invalid_metadata, resume_futures = self._actions(assignment)
        now, due = self._clock(), []
        for node, request in requests:
            rest = self._began.get(node, now - self._apart_s) + self._apart_s - now
            if rest > 0 and not self._more_waits(assignment, request):
                timeout = min(timeout, rest)
                continue
            self._began[node] = now
            due.append((node, request))
        return due, resets, timeout, invalid_metadata, resume_futures

    def _more_waits(self, assignment: Any, request: Any) -> bool:
        """Return whether an answer before has said that there is more than it brought."""
        committed = self._fetcher._isolation_level == READ_COMMITTED
        for topic, parts in request.topics:
            for partition, offset, *_ in parts:
                state = assignment.state_value(TopicPartition(topic, partition))
                end = state.lso if committed else state.highwater
                if end is not None and offset < end:
                    return True
        return False
