"""One part as one process, for production: `worker`, `sink`, `api`, `migrate`, `topics`.

Everything is set by CARBONFLOW_* variables. A process ends with status 0 when it is asked to
(SIGTERM, SIGINT) and with 1 when it cannot go on; whoever supervises it starts it again.
"""

from __future__ import annotations

import asyncio
import errno
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from cli.broker import settings_of, use_registered
from cli.logs import logged, traced
from cli.outages import broker_at, store_at
from cli.parsing import Failure, json_option
from cli.printing import print_json
from cli.programmes import read_programmes

if TYPE_CHECKING:
    from pathlib import Path

    from prometheus_client import CollectorRegistry

    from schemas.probes import Signs
    from schemas.settings import BrokerSettings
    from sinks.connect import StoreSettings

_METRICS = (
    "\n\n\b\nMetrics and health are served on CARBONFLOW_METRICS_HOST (127.0.0.1) and\n"
    "CARBONFLOW_METRICS_PORT (0, which is nowhere). CARBONFLOW_LOG_LEVEL is the level of the\n"
    "log (INFO), CARBONFLOW_LOG_FORMAT is json or text (auto: text in a terminal)."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """Where a process serves its Prometheus metrics; port 0 switches it off."""

    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no port."""
        if not 0 <= self.metrics_port <= 65_535:
            raise ValueError(f"CARBONFLOW_METRICS_PORT is {self.metrics_port}, not a port")


@click.command(
    epilog="\b\nExample:\n  CARBONFLOW_BOOTSTRAP=kafka:9092 carbonflow worker" + _METRICS
)
def worker() -> None:
    """Run one worker: activities become transfers and balances."""
    from carbon.programmes import ProgrammeError
    from schemas.logs import LogSettings
    from schemas.settings import RegistrySettings
    from schemas.tracing import TracingSettings
    from sinks.connect import StoreSettings
    from streams.settings import WorkerSettings
    from streams.worker import TopicsMissing, run_worker

    end_well_when_asked()
    settings = settings_of(WorkerSettings)
    store = settings_of(StoreSettings) if settings.late_events == "ask" else None
    metrics = settings_of(MetricsSettings)
    read = [settings, settings_of(RegistrySettings), *([] if store is None else [store])]
    log = settings_of(LogSettings)
    traces = settings_of(TracingSettings)
    with (
        logged(log, "worker", *read, instance=settings.instance, quiet=()),
        traced("worker", traces, settings.instance) as tracing,
    ):
        use_registered(settings)
        try:
            sys.exit(run_worker(settings, store, tracing))
        except (ProgrammeError, TopicsMissing) as error:
            raise Failure(str(error)) from error
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise _taken(metrics) from error
            raise Failure(str(error)) from error


@click.command(
    epilog="\b\nExample:\n  CARBONFLOW_BOOTSTRAP=kafka:9092 "
    "CARBONFLOW_CLICKHOUSE_URL=http://clickhouse:8123 carbonflow sink" + _METRICS
)
def sink() -> None:
    """Run one sink: everything on Kafka comes to rest in ClickHouse."""
    from prometheus_client import CollectorRegistry

    from schemas.certificates import CertificateMetrics
    from schemas.logs import LogSettings
    from schemas.probes import Signs
    from schemas.settings import RegistrySettings
    from schemas.tracing import Tracing, TracingSettings
    from sinks.connect import StoreSettings, connect
    from sinks.metrics import SinkMetrics
    from sinks.sink import SinkError, SinkSettings, run_sink
    from sinks.writer import BrokenRecordError

    end_well_when_asked()
    settings = settings_of(SinkSettings)
    store = settings_of(StoreSettings)
    served = settings_of(MetricsSettings)
    log = settings_of(LogSettings)
    registered = settings_of(RegistrySettings)
    registry, signs = CollectorRegistry(), Signs()
    metrics = SinkMetrics(registry)
    CertificateMetrics(registry, trusted_files(settings, store))

    async def run(tracing: Tracing | None) -> None:
        await run_sink(settings, client, metrics, asked_to_stop(), signs, tracing)

    instance = settings.sink_instance_id
    traces = settings_of(TracingSettings)
    with (
        logged(log, "sink", settings, store, served, registered, instance=instance),
        traced("sink", traces, instance) as tracing,
        store_at(store),
    ):
        use_registered(settings)
        client = connect(store)
        serve_metrics(registry, served, signs)
        try:
            with broker_at(settings):
                asyncio.run(run(tracing))
        except (SinkError, BrokenRecordError) as error:
            raise Failure(str(error)) from error


@click.command(
    epilog="\b\nExample:\n  CARBONFLOW_CLICKHOUSE_URL=http://clickhouse:8123 carbonflow api\n\n"
    "\b\nIt listens on CARBONFLOW_API_HOST (127.0.0.1) and CARBONFLOW_API_PORT (8080), and lets\n"
    "in who has a token of CARBONFLOW_API_TOKENS_FILE; on 127.0.0.1 anybody, if there is none.\n"
    "Metrics and health are on CARBONFLOW_API_METRICS_HOST (127.0.0.1) and\n"
    "CARBONFLOW_API_METRICS_PORT (8081). Balances come from their topic at CARBONFLOW_BOOTSTRAP,\n"
    "or from the store where CARBONFLOW_API_BALANCES is store. CARBONFLOW_LOG_LEVEL is the level\n"
    "of the log (INFO), CARBONFLOW_LOG_FORMAT is json or text (auto: text in a terminal)."
)
def api() -> None:
    """Run the HTTP API over ClickHouse; GET /docs describes it."""
    import uvloop
    from prometheus_client import CollectorRegistry, ProcessCollector

    from api.app import create_app, create_service
    from api.server import ListenError, serve
    from api.settings import ApiSettings
    from api.tokens import TokensError
    from schemas.certificates import CertificateMetrics
    from schemas.logs import LogSettings
    from schemas.loop import Loop
    from schemas.settings import BrokerSettings, RegistrySettings
    from sinks.connect import StoreSettings, connect
    from sinks.following import FollowedBalances
    from sinks.metrics import FollowingMetrics
    from sinks.queries import Queries
    from sinks.writer import BrokenRecordError

    end_well_when_asked()
    settings = settings_of(ApiSettings)
    broker = settings_of(BrokerSettings)
    store = settings_of(StoreSettings)
    read = (settings, broker, store, settings_of(RegistrySettings))
    with logged(settings_of(LogSettings), "api", *read):
        use_registered(broker)
        programmes = read_programmes()
        with store_at(store):
            queries = Queries(connect(store), database=store.database)
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        CertificateMetrics(registry, trusted_files(broker, store))
        followed = None
        if settings.api_balances == "topic":
            followed = FollowedBalances(broker, FollowingMetrics(registry))
        try:
            app = create_app(
                queries,
                settings=settings,
                registry=registry,
                programmes=programmes,
                balances=followed,
                follower=followed,
            )
        except TokensError as error:
            raise Failure(f"CARBONFLOW_API_TOKENS_FILE: {error}") from error
        service = create_service(queries, settings=settings, registry=registry, balances=followed)

        async def run() -> None:
            await serve(
                app,
                settings,
                stop=asked_to_stop(),
                service=service,
                listening=lambda url: print(url, flush=True),
                service_listening=lambda url: print(f"{url}/metrics", flush=True),
                beside=followed.run if followed else None,
            )

        try:
            with broker_at(broker):
                uvloop.run(run(), loop_factory=Loop)
        except (BrokenRecordError, ListenError) as error:
            raise Failure(str(error)) from error
        except OSError as error:  # Certificates of the broker that cannot be read.
            raise Failure(_words(error)) from error


@click.command(
    epilog="\b\nExample:\n  CARBONFLOW_CLICKHOUSE_URL=http://clickhouse:8123 carbonflow migrate"
)
@json_option
def migrate(as_json: bool) -> None:
    """Bring the ClickHouse database to the newest version; safe to repeat."""
    from sinks.connect import StoreSettings, connect
    from sinks.migrate import MigrationError
    from sinks.migrate import migrate as run

    settings = settings_of(StoreSettings)
    with store_at(settings):
        client = connect(settings)
        try:
            applied = run(client, database=settings.database, replicated=settings.replicated)
        except MigrationError as error:
            raise Failure(str(error)) from error
    if as_json:
        print_json({"database": settings.database, "applied": list(applied)})
        return
    done = ", ".join(str(version) for version in applied)
    print(f"applied {done}" if applied else "up to date")


@click.command(
    epilog="\b\nExamples:\n  CARBONFLOW_BOOTSTRAP=kafka:9092 carbonflow topics\n"
    "  CARBONFLOW_BOOTSTRAP=kafka:9092 carbonflow topics --replication 3 --partitions 24"
)
@click.option(
    "--partitions",
    type=click.IntRange(1, 10_000),
    help="Of each topic that is made and may have several [default: the catalogue's].",
)
@click.option(
    "--replication",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="On how many brokers each partition is kept.",
)
@json_option
def topics(partitions: int | None, replication: int, as_json: bool) -> None:
    """Make the topics that do not exist yet; those that do stay as they are."""
    from producers.topics import ensure_topics
    from schemas.catalogue import shipped
    from schemas.settings import BrokerSettings

    settings = settings_of(BrokerSettings)
    with broker_at(settings):
        made = asyncio.run(ensure_topics(settings, partitions=partitions, replication=replication))
    catalogue = shipped() if partitions is None else shipped().repartitioned(partitions)
    names = [settings.topic(name) for name in catalogue.topics]
    if as_json:
        print_json({"made": list(made), "found": [name for name in names if name not in made]})
        return
    for name, topic in zip(names, catalogue.topics.values(), strict=True):
        how = f"made, {topic.partitions} partitions, {topic.cleanup}"
        print(f"{name}: {how if name in made else 'is there'}")


def end_well_when_asked() -> None:
    """Let SIGTERM and SIGINT end a process with status 0 that is still starting."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))


def asked_to_stop() -> asyncio.Event:
    """Return what SIGTERM and SIGINT set, for the running loop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def trusted_files(broker: BrokerSettings, store: StoreSettings) -> dict[str, Path | None]:
    """Return the files of certificates that a process trusts, by the settings that name them."""
    return {
        "CARBONFLOW_SSL_CAFILE": broker.ssl_cafile,
        "CARBONFLOW_CLICKHOUSE_CAFILE": store.clickhouse_cafile,
    }


def serve_metrics(
    registry: CollectorRegistry, settings: MetricsSettings, signs: Signs | None = None
) -> None:
    """Serve health and metrics, with what the system knows of this process; unless switched off.

    Args:
        registry: The metrics.
        settings: Where.
        signs: How the process is; where None it is well as long as it answers.

    Raises:
        Failure: The port cannot be had.
    """
    from prometheus_client import ProcessCollector

    from schemas.probes import Signs, serve_probes

    if not settings.metrics_port:
        return
    ProcessCollector(registry=registry)
    if signs is None:
        signs = Signs()
        signs.waits_for(str)
    try:
        serve_probes(registry, signs, host=settings.metrics_host, port=settings.metrics_port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise _taken(settings) from error
        where = f"{settings.metrics_host}:{settings.metrics_port}"
        raise Failure(f"cannot serve metrics on {where}: {_words(error)}") from error


def _taken(settings: MetricsSettings) -> Failure:
    return Failure(
        f"port {settings.metrics_port} of {settings.metrics_host} is taken: "
        "CARBONFLOW_METRICS_PORT gives another"
    )


def _words(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
