"""The commands `gateway`, which takes records in by HTTP, and `pull`, which fetches a partner's."""

from __future__ import annotations

import asyncio
import gc
import sys
from datetime import datetime
from typing import TYPE_CHECKING

import click

from cli.broker import settings_of, use_registered
from cli.logs import logged, traced
from cli.parsing import INSTANT, Failure, json_option
from cli.printing import print_json
from cli.processes import asked_to_stop, end_well_when_asked
from cli.pseudonym import PseudonymSettings, told

if TYPE_CHECKING:
    from api.gateway.intake import Intake, Result
    from api.gateway.kept import Kept
    from api.gateway.pulling import Pulled
    from api.gateway.senders import Known, Senders
    from api.gateway.settings import GatewaySettings
    from producers.client.reaching import Reaching
    from schemas.tracing import Tracing

START_S_MAX = 10.0
REACH_S_MAX = 2.0
TIDY_EVERY_S = 10.0


@click.command(
    epilog="\b\nExamples:\n  CARBONFLOW_BOOTSTRAP=kafka:9092 "
    "CARBONFLOW_GATEWAY_SENDERS_FILE=senders.toml carbonflow gateway\n\n"
    "\b\nIt listens on CARBONFLOW_GATEWAY_HOST (127.0.0.1) and CARBONFLOW_GATEWAY_PORT (8090),\n"
    "and lets in who has a token of CARBONFLOW_GATEWAY_TOKENS_FILE; on 127.0.0.1 anybody, if\n"
    "there is none. Metrics and health are on CARBONFLOW_GATEWAY_METRICS_HOST (127.0.0.1) and\n"
    "CARBONFLOW_GATEWAY_METRICS_PORT (8091). CARBONFLOW_LOG_LEVEL is the level of the log (INFO),\n"
    "CARBONFLOW_LOG_FORMAT is json or text (auto: text in a terminal)."
)
def gateway() -> None:
    """Run the HTTP gateway: sessions and trips come in and go to Kafka; GET /docs describes it."""
    from api.gateway.settings import GatewaySettings
    from schemas.logs import LogSettings
    from schemas.tracing import TracingSettings

    end_well_when_asked()
    settings = settings_of(GatewaySettings)
    traces = settings_of(TracingSettings)
    with (
        logged(settings_of(LogSettings), "gateway", settings),
        traced("gateway", traces) as tracing,
    ):
        _take_in(settings, tracing)


def _take_in(settings: GatewaySettings, tracing: Tracing | None) -> None:
    import uvloop
    from prometheus_client import CollectorRegistry, ProcessCollector

    from api.gateway.app import create_app, create_service
    from api.gateway.columns import warm_up
    from api.gateway.intake import FailedError, Intake
    from api.gateway.metrics import GatewayMetrics
    from api.server import ListenError, serve
    from api.tokens import TokensError, read_tokens
    from schemas.certificates import CertificateMetrics
    from schemas.loop import Loop

    senders = _senders(settings)
    try:
        path = settings.gateway_tokens_file
        tokens = None if path is None else read_tokens(path)
    except TokensError as error:
        raise Failure(f"CARBONFLOW_GATEWAY_TOKENS_FILE: {error}") from error
    if tokens is None and senders.only() is None:
        raise Failure(
            f"there are {len(senders)} senders: without CARBONFLOW_GATEWAY_TOKENS_FILE nobody "
            "can tell who sends"
        )
    use_registered(settings)
    reaching = _reached(settings)
    registry = CollectorRegistry()
    metrics = GatewayMetrics(registry)
    ProcessCollector(registry=registry)
    CertificateMetrics(registry, {"CARBONFLOW_SSL_CAFILE": settings.ssl_cafile})
    kept = _kept(settings, senders)

    async def run(intake: Intake) -> None:
        app = create_app(
            senders,
            intake,
            settings=settings,
            tokens=tokens,
            metrics=metrics,
            kept=kept,
            tracing=tracing,
        )
        service = create_service(
            intake,
            lambda: reaching.obstacle(REACH_S_MAX),
            settings=settings,
            registry=registry,
            metrics=metrics,
        )
        await serve(
            app,
            settings,
            stop=asked_to_stop(),
            service=service,
            listening=lambda url: print(url, flush=True),
            service_listening=lambda url: print(f"{url}/metrics", flush=True),
            beside=lambda: _beside(intake, kept),
        )

    try:
        with Intake(settings, metrics, is_traced=tracing is not None) as intake:
            warm_up()  # The producer gets ready meanwhile, for which a first record would wait.
            # Records on their way are many and none of them is a cycle, but Python would walk them
            # all the time, and all modules now and then: 100 ms, in which nobody is answered.
            # `_beside` has it done instead.
            gc.collect()
            gc.freeze()
            gc.disable()
            uvloop.run(run(intake), loop_factory=Loop)
    except (ListenError, FailedError) as error:
        raise Failure(str(error)) from error
    finally:
        if kept is not None:
            kept.close()


@click.command(
    epilog="\b\nExamples:\n  CARBONFLOW_GATEWAY_SENDERS_FILE=senders.toml carbonflow pull acme\n"
    "  carbonflow pull acme --since 2026-03-01T00:00:00Z"
)
@click.argument("sender")
@click.option("--since", type=INSTANT, help="OCPI only: what was changed from then on.")
@json_option
def pull(sender: str, since: str | None, as_json: bool) -> None:
    """Fetch what a partner offers, iLEAP's activity data or OCPI's CDRs or Sessions, and send it.

    SENDER is one of CARBONFLOW_GATEWAY_SENDERS_FILE that says where. Pulling again is harmless:
    what was sent before counts once. A refused document is told on standard error, and no failure.
    """
    from prometheus_client import CollectorRegistry

    from api.gateway.fetching import Fetcher, PullError, opened
    from api.gateway.intake import Intake
    from api.gateway.metrics import GatewayMetrics
    from api.gateway.pulling import pull as run
    from api.gateway.settings import GatewaySettings

    settings = settings_of(GatewaySettings)
    known = _senders(settings).of(sender)
    if known is None or known.pull is None:
        why = "is no sender" if known is None else "says not where it is pulled from"
        raise Failure(f"{settings.gateway_senders_file}: {sender!r} {why}")
    use_registered(settings)
    _reached(settings)

    async def pulled(known: Known) -> Pulled:
        with Intake(settings, GatewayMetrics(CollectorRegistry())) as intake:
            async with opened() as http:
                return await run(
                    known,
                    intake,
                    Fetcher(http),
                    since=None if since is None else datetime.fromisoformat(since),
                    tell=_tell,
                )

    try:
        found = asyncio.run(pulled(known))
    except PullError as error:
        raise Failure(f"{sender}: {error}") from error
    counts = {status.value: count for status, count in sorted(found.counts.items())}
    if as_json:
        print_json({"sender": sender, "pages": found.pages, "documents": counts})
        return
    said = ", ".join(f"{count} {status}" for status, count in counts.items()) or "no documents"
    print(f"{sender}: {said}; {found.pages} pages")


def _tell(number: int, result: Result) -> None:
    from api.gateway.intake import Status

    if result.status in {Status.REFUSED, Status.CONFLICT}:
        why = f"{result.code} {result.path} {result.reason}".strip()
        print(f"document {number}: {result.status.value}: {why}", file=sys.stderr)


def _senders(settings: GatewaySettings) -> Senders:
    from api.gateway.senders import SendersError, read_senders
    from producers.keyfile import read_keys
    from producers.pseudonyms import Pseudonyms

    if settings.gateway_senders_file is None:
        raise Failure("CARBONFLOW_GATEWAY_SENDERS_FILE says not who may send")
    keys = settings_of(PseudonymSettings).pseudonym_keys
    with told():
        pseudonyms = None if keys is None else Pseudonyms(read_keys(keys))
    try:
        return read_senders(settings.gateway_senders_file, pseudonyms)
    except SendersError as error:
        raise Failure(f"CARBONFLOW_GATEWAY_SENDERS_FILE: {error}") from error


def _reached(settings: GatewaySettings) -> Reaching:
    from producers.client.reaching import Reaching

    reaching = Reaching(settings.client)
    if why := reaching.obstacle(START_S_MAX):
        raise Failure(f"{settings.bootstrap}: {why}")
    return reaching


def _kept(settings: GatewaySettings, senders: Senders) -> Kept | None:
    """Return the file of Sessions that are not over, where somebody sends Sessions."""
    from api.gateway.kept import Kept, KeptError
    from producers.client.sending import now_ms

    if not any(known.module == "sessions" for known in senders):
        return None
    if settings.gateway_sessions is None:
        raise Failure(
            "CARBONFLOW_GATEWAY_SESSIONS names no file for the Sessions that are not over"
        )
    try:
        return Kept(settings.gateway_sessions, days=settings.gateway_sessions_days, clock_ms=now_ms)
    except KeptError as error:
        raise Failure(f"CARBONFLOW_GATEWAY_SESSIONS: {error}") from error


async def _beside(intake: Intake, kept: Kept | None) -> None:
    """Collect cycles and forget old Sessions now and then, until librdkafka has given up."""
    watching = asyncio.create_task(intake.watch())
    try:
        while True:
            gc.collect()
            if kept is not None:
                kept.forget_old()
            await asyncio.wait({watching}, timeout=TIDY_EVERY_S)
            if watching.done():
                watching.result()
    finally:
        watching.cancel()
