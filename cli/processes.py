"""One part as one process, for production: `worker`, `sink`, `api`, `migrate`, `topics`.

Everything is set by CARBONFLOW_* variables. A process ends with status 0 when it is asked to
(SIGTERM, SIGINT) and with 1 when it cannot go on; whoever supervises it starts it again.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.broker import settings_of
from cli.parsing import Failure

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from sinks.connect import Client, StoreSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """Where a process serves its Prometheus metrics; port 0 switches it off."""

    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgrammeSettings:
    """Files of programmes beside the shipped ones, as the workers have them."""

    programmes: tuple[str, ...] = ()


@click.command(epilog="\b\nExample:\n  CARBONFLOW_BOOTSTRAP=kafka:9092 carbonflow worker")
def worker() -> None:
    """Run one worker: activities become transfers and balances."""
    from carbon.programmes import ProgrammeError
    from streams.settings import WorkerSettings
    from streams.worker import TopicsMissing, run_worker

    try:
        sys.exit(run_worker(settings_of(WorkerSettings)))
    except (ProgrammeError, TopicsMissing, OSError) as error:
        raise Failure(str(error)) from error


@click.command(
    epilog="\b\nExample:\n  CARBONFLOW_BOOTSTRAP=kafka:9092 "
    "CARBONFLOW_CLICKHOUSE_URL=http://clickhouse:8123 carbonflow sink"
)
def sink() -> None:
    """Run one sink: everything on Kafka comes to rest in ClickHouse."""
    from aiokafka.errors import KafkaError
    from prometheus_client import CollectorRegistry

    from sinks.connect import StoreSettings
    from sinks.metrics import SinkMetrics
    from sinks.sink import SinkError, SinkSettings, run_sink

    settings = settings_of(SinkSettings)
    client = _client(settings_of(StoreSettings))
    registry = CollectorRegistry()
    metrics = SinkMetrics(registry)
    _serve_metrics(registry)

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await run_sink(settings, client, metrics, stop)

    try:
        asyncio.run(run())
    except (SinkError, KafkaError) as error:
        raise Failure(f"{error!r}") from error


@click.command(
    epilog="\b\nExample:\n  CARBONFLOW_CLICKHOUSE_URL=http://clickhouse:8123 carbonflow api"
)
def api() -> None:
    """Run the HTTP API over ClickHouse; GET /docs describes it, /metrics measures it."""
    from prometheus_client import CollectorRegistry

    from api.app import create_app, serve
    from api.settings import ApiSettings
    from carbon.programmes import ProgrammeError
    from producers.programmes.load import load_programmes
    from sinks.connect import StoreSettings
    from sinks.queries import Queries

    settings = settings_of(ApiSettings)
    store = settings_of(StoreSettings)
    try:
        programmes = load_programmes(
            [Path(name) for name in settings_of(ProgrammeSettings).programmes]
        )
    except (ProgrammeError, OSError) as error:
        raise Failure(str(error)) from error
    app = create_app(
        Queries(_client(store), database=store.database),
        settings=settings,
        registry=CollectorRegistry(),
        programmes=programmes,
    )
    try:
        asyncio.run(serve(app, settings, listening=lambda url: print(url, flush=True)))
    except OSError as error:
        raise Failure(
            f"cannot listen on {settings.api_host}:{settings.api_port}: {error}"
        ) from error


@click.command(
    epilog="\b\nExample:\n  CARBONFLOW_CLICKHOUSE_URL=http://clickhouse:8123 carbonflow migrate"
)
def migrate() -> None:
    """Bring the ClickHouse database to the newest version; safe to repeat."""
    from sinks.connect import StoreSettings
    from sinks.migrate import MigrationError
    from sinks.migrate import migrate as run

    settings = settings_of(StoreSettings)
    try:
        applied = run(_client(settings), database=settings.database, replicated=settings.replicated)
    except MigrationError as error:
        raise Failure(str(error)) from error
    done = ", ".join(str(version) for version in applied)
    print(f"applied {done}" if applied else "up to date")


@click.command(epilog="\b\nExample:\n  CARBONFLOW_BOOTSTRAP=kafka:9092 carbonflow topics")
def topics() -> None:
    """Make the topics that do not exist yet; safe to repeat."""
    from aiokafka.errors import KafkaError

    from producers.topics import ensure_topics
    from schemas.catalogue import TOPICS
    from schemas.settings import BrokerSettings

    settings = settings_of(BrokerSettings)
    try:
        asyncio.run(ensure_topics(settings))
    except (KafkaError, TimeoutError) as error:
        raise Failure(f"the broker {settings.bootstrap}: {error!r}") from error
    for name, topic in TOPICS.items():
        print(f"{settings.prefix}{name}: {topic.partitions} partitions, {topic.cleanup}")


def _client(settings: StoreSettings) -> Client:
    from embedded.store import StoreError
    from sinks.connect import connect

    try:
        return connect(settings.clickhouse_url)
    except (ValueError, StoreError) as error:
        raise Failure(f"ClickHouse: {error}") from error


def _serve_metrics(registry: CollectorRegistry) -> None:
    from prometheus_client import start_http_server

    settings = settings_of(MetricsSettings)
    if settings.metrics_port:
        start_http_server(settings.metrics_port, settings.metrics_host, registry)
