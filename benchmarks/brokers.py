"""The brokers to measure on: each a context that gives an address and the broker's name."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path

from benchmarks.measure import BenchmarkError
from benchmarks.surroundings import kafka_version
from embedded.broker import Broker
from tests.kafka.server import KafkaServer, fetch_jars, missing

Running = tuple[str, str]
"""Bootstrap and name."""


@contextmanager
def embedded(folder: Path) -> Iterator[Running]:
    """Start the embedded broker over a folder."""
    with Broker.start(folder) as broker:
        yield broker.bootstrap, f"noida-db {version('noida-db')}"


@contextmanager
def apache(folder: Path) -> Iterator[Running]:
    """Start Apache Kafka over a folder, one node, as the tests do.

    Raises:
        BenchmarkError: Java or its jars are not there.
    """
    reason = missing()
    if reason is not None:
        raise BenchmarkError(reason)
    with KafkaServer(folder, fetch_jars()) as server:
        yield server.bootstrap, f"Apache Kafka {kafka_version()}"


def given(bootstrap: str) -> Callable[[Path], AbstractContextManager[Running]]:
    """Return how to use a broker that is running, for which the folder is nothing."""
    return lambda _folder: nullcontext((bootstrap, f"Kafka at {bootstrap}"))
