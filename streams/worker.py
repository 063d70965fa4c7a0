"""The worker: one Faust application in one process, built from its settings and run to its end.

Two kinds of wrong. Bad input is refused inside the step. Anything else (broker, schema, disk, a
bug) ends the process with the offsets where they were, because Faust would acknowledge the event
of an agent that raised, and because only a fresh start opens the books in the right order. A
supervisor starts it again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import faust
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError
from faust.types import TP
from prometheus_client import CollectorRegistry, ProcessCollector
from yarl import URL

from carbon.programmes import Programme
from producers.programmes.load import load_programmes
from schemas.certificates import CertificateMetrics
from schemas.log_events import numbers_of, tell
from schemas.loop import LoopPolicy
from schemas.probes import Signs, serve_probes
from schemas.reaching import denied, obstacle
from schemas.tracing import Tracing
from sinks.connect import StoreSettings
from streams.allocator import keep_little
from streams.delivery import WRITTEN_TOPICS
from streams.factors import LiveRules
from streams.limit import SliceLimit
from streams.lookup import Lookup
from streams.metrics import WorkerMetrics
from streams.owned import Owned
from streams.settings import WorkerSettings
from streams.stop import EXIT_FAILED, stop_process_on_failure
from streams.transport import SliceConsumer, SliceTransport
from streams.warm import warm_up

log = logging.getLogger("carbonflow.worker")

POLL_S: Final = 0.5
NOT_JOINED: Final = "the group has not taken it in yet"


class NotJoined(RuntimeError):
    """The consumer group did not take this worker in, or the broker refused its settings."""


class TopicsMissing(RuntimeError):
    """The broker or its topics are not there, or the topics differ in partitions."""


def run_worker(
    settings: WorkerSettings, store: StoreSettings | None, tracing: Tracing | None = None
) -> int:
    """Work until a signal says stop; return the exit status.

    Args:
        settings: Settings.
        store: The store to ask about late events; None where they are refused.
        tracing: Records the spans of slices; None where traces are off.

    Raises:
        TopicsMissing: The topics did not appear in time.
        ProgrammeError: A programme file is not one.
    """
    keep_little(give_back=settings.store == "rocksdb")
    asyncio.set_event_loop_policy(LoopPolicy())
    programmes = load_programmes([Path(name) for name in settings.programmes])
    began = time.monotonic()
    warm_up()
    tell(log, "kernels_ready", seconds=time.monotonic() - began)
    registry, signs = CollectorRegistry(), Signs()
    metrics = WorkerMetrics(registry)
    if settings.metrics_port:
        ProcessCollector(registry=registry)
        certificates = {"CARBONFLOW_SSL_CAFILE": settings.ssl_cafile}
        if store is not None:
            certificates["CARBONFLOW_CLICKHOUSE_CAFILE"] = store.clickhouse_cafile
        CertificateMetrics(registry, certificates)
        serve_probes(registry, signs, host=settings.metrics_host, port=settings.metrics_port)
    partitions = asyncio.run(_partitions(settings))
    app = build_app(settings, programmes, partitions, metrics, store, signs, tracing)
    worker = faust.Worker(
        app, loglevel=logging.WARNING, override_logging=False, quiet=True, redirect_stdouts=False
    )
    worker.spinner = None  # It would write to standard output that there is a cursor.
    try:
        worker.execute_from_commandline()
    except SystemExit as end:
        started = worker._starting_fut
        if started and not started.cancelled() and isinstance(started.exception(), KafkaError):
            # It was there a moment ago; Faust only logs that it is not.
            trouble = asyncio.run(obstacle(settings))
            raise TopicsMissing(f"the broker {settings.bootstrap} {trouble}") from None
        return end.code if isinstance(end.code, int) else EXIT_FAILED
    return 0


def build_app(
    settings: WorkerSettings,
    programmes: Mapping[str, Programme],
    partitions: int,
    metrics: WorkerMetrics,
    store: StoreSettings | None = None,
    signs: Signs | None = None,
    tracing: Tracing | None = None,
) -> faust.App:
    """Return the Faust application that works slices; nothing is opened yet."""
    urls = [URL(f"kafka://{server.strip()}") for server in settings.bootstrap.split(",")]
    app = faust.App(
        settings.group_id,
        broker=urls,
        broker_credentials=_credentials(settings),
        consumer_group_instance_id=settings.instance,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=settings.slice_bytes_max,
        broker_max_poll_records=settings.slice_records_max,
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.session_timeout_s / 5,
        broker_rebalance_timeout=2 * settings.session_timeout_s,
        stream_buffer_maxsize=settings.buffer_slices_max,
        stream_wait_empty=False,
        topic_partitions=partitions,
        topic_allow_declare=False,
        # It is there to elect a leader, whom nobody asks for anything.
        topic_disable_leader=True,
        store="memory://",
        datadir=str(settings.data_dir),
        web_enabled=False,
    )
    limit = SliceLimit(records_max=settings.slice_records_max, ms_max=settings.slice_ms_max)
    app.transport = SliceTransport(
        urls,
        app,
        activity_topics={settings.topic(name): name for name in settings.source_topics},
        fetch_wait_s=settings.fetch_wait_ms_max / 1000,
        fetch_apart_s=settings.fetch_apart_ms / 1000,
        slice_limit=limit,
    )
    rules = LiveRules(settings, programmes, partitions)
    lookup = Lookup(settings, store) if store else None
    _add_agent(app, settings, rules, metrics, limit, lookup, signs or Signs(), tracing)
    return app


def _add_agent(
    app: faust.App,
    settings: WorkerSettings,
    rules: LiveRules,
    metrics: WorkerMetrics,
    limit: SliceLimit,
    lookup: Lookup | None,
    signs: Signs,
    tracing: Tracing | None,
) -> None:
    owned = Owned(
        settings,
        metrics,
        limit,
        rules=lambda: rules.current,
        # The application makes its consumer when it starts.
        assignment=lambda: app.consumer.assignment(),  # noqa: PLW0108
        left=lambda tp, offset: cast(SliceConsumer, app.consumer).left(tp, offset),
        lookup=lookup,
        release=lambda tp: cast(SliceConsumer, app.consumer).release(tp),
        tracing=tracing,
    )
    joined = asyncio.Event()
    signs.waits_for(lambda: owned.waits_for() if joined.is_set() else NOT_JOINED)
    source = app.topic(
        *(settings.topic(name) for name in settings.source_topics),
        key_type=bytes,
        key_serializer="raw",
        value_type=bytes,
        value_serializer="raw",
        acks=False,
    )

    async def close_books(_app: faust.App, revoked: set[TP], **_kwargs: Any) -> None:
        tell(log, "partitions_revoked", partitions=numbers_of(revoked))
        await owned.revoke({tp.partition for tp in revoked})

    async def note_joined(_app: faust.App, assigned: set[TP], **_kwargs: Any) -> None:
        tell(log, "partitions_assigned", partitions=numbers_of(assigned))
        joined.set()

    app.on_partitions_revoked.connect(close_books)  # type: ignore[arg-type]
    app.on_partitions_assigned.connect(note_joined)  # type: ignore[arg-type]

    @app.agent(source, concurrency=1, name="accounts")
    async def work(stream: Any) -> None:
        async with stop_process_on_failure(), rules:
            metrics.take_factors(rules.current.factors)
            # Not tasks of the application: those begin only when the group has taken it in.
            beside = [
                asyncio.create_task(_follow(rules, metrics)),
                asyncio.create_task(_join_in_time(joined, settings)),
                asyncio.create_task(signs.keep()),
            ]
            try:
                async for event in stream.events():
                    await owned.take(event.value, event.message.tp)
            finally:
                for task in beside:
                    task.cancel()
                await owned.finish()


def _credentials(settings: WorkerSettings) -> Any:
    """Return the broker credentials as Faust wants them; None for a plain connection."""
    options = settings.client_options()
    context = options.get("ssl_context")
    if "sasl_mechanism" in options:
        return faust.SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            mechanism=options["sasl_mechanism"],
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context is not None else None


@stop_process_on_failure()
async def _join_in_time(joined: asyncio.Event, settings: WorkerSettings) -> None:
    # Faust logs a group that refuses it and waits for ever; the supervisor should know.
    try:
        await asyncio.wait_for(joined.wait(), settings.startup_wait_s_max)
    except TimeoutError:
        raise NotJoined(
            f"not a member of group {settings.group_id} after {settings.startup_wait_s_max} s"
            f"{await _hindered(settings)}"
        ) from None


async def _hindered(settings: WorkerSettings) -> str:
    """Return what the broker says about the group, which Faust does not."""
    admin = AIOKafkaAdminClient(**settings.client_options())
    try:
        await admin.start()
        await admin.list_consumer_group_offsets(settings.group_id)
    except KafkaError as error:
        return f": the broker {denied(error) or f'says {error!r}'}"
    finally:
        await admin.close()
    return ""


@stop_process_on_failure()
async def _follow(rules: LiveRules, metrics: WorkerMetrics) -> None:
    await rules.follow(lambda: metrics.take_factors(rules.current.factors))


async def _partitions(settings: WorkerSettings) -> int:
    """Wait for broker and topics and return the topics' common number of partitions."""
    deadline = time.monotonic() + settings.startup_wait_s_max
    while True:
        try:
            found = await _found(settings)
            needed = (*settings.source_topics, *WRITTEN_TOPICS)
            counts = {name: found.get(settings.topic(name), 0) for name in needed}
            # The order of publication decides which factor holds; only a partition has an order.
            factors = found.get(settings.topic("emission-factors"), 0)
            if factors == 1 and len(set(counts.values())) == 1 and 0 not in counts.values():
                return counts[needed[0]]
            told = ", ".join(f"{settings.topic(name)} {n}" for name, n in counts.items())
            trouble = (
                "topics must exist with equal numbers of partitions, and emission-factors with "
                f"one, found: {told}, {settings.topic('emission-factors')} {factors}"
            )
            if settings.sasl_username is not None:
                trouble += f"; what {settings.sasl_username!r} has no right to see counts as 0"
        except KafkaConnectionError:
            trouble = f"the broker {settings.bootstrap} {await obstacle(settings)}"
        except KafkaError as error:
            why = denied(error) or f"cannot be asked: {error!r}"
            trouble = f"the broker {settings.bootstrap} {why}"
        if time.monotonic() > deadline:
            raise TopicsMissing(trouble)
        await asyncio.sleep(POLL_S)


async def _found(settings: WorkerSettings) -> dict[str, int]:
    """Return the number of partitions of every topic there is."""
    admin = AIOKafkaAdminClient(**settings.client_options())
    try:
        await admin.start()
        topics = await admin.describe_topics()  # All: asking for a missing one may create it.
        return {topic["topic"]: len(topic["partitions"]) for topic in topics}
    finally:
        await admin.close()
