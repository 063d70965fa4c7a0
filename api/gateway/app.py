"""The gateway's application: what senders call, and what tells how it is.

A request passes headers for every answer, metrics, the gate and the limit of its body, in this
order, as the API's do. Everything runs in the event loop: a record costs some ten microseconds, and
a thread for each request would cost more.
"""

from collections.abc import Callable
from importlib.metadata import version
from typing import Final

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from api.access import SENDING
from api.application import Guarded, Hard
from api.bodies import Limited
from api.gate import Gate, Rate
from api.gateway.events import events
from api.gateway.intake import Intake, away
from api.gateway.kept import Kept
from api.gateway.metrics import GatewayMetrics
from api.gateway.ocpi import Receiver, given, receiving
from api.gateway.records import records
from api.gateway.senders import Senders
from api.gateway.settings import GatewaySettings
from api.gateway.spans import Traced
from api.health import Health
from api.listening import is_loopback
from api.metrics import Measured
from api.problems import add_problem_handlers, responses
from api.tokens import Tokens
from schemas.tracing import Tracing

_ABOUT = """
Takes in charging sessions and freight trips.

An answer says `accepted` of a record once the broker has it on all replicas in sync. Sending a
record again is harmless: an event is known by account, source, id and revision, and counts once.
Every error is `application/problem+json` (RFC 9457) with a stable `type`.
"""

_SCHEME: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "A token of a sender: `carbonflow api-token --sender NAME`. OCPI's paths take "
    "it as `Authorization: Token` and base64.",
}


def create_app(
    senders: Senders,
    intake: Intake,
    *,
    settings: GatewaySettings,
    tokens: Tokens | None,
    metrics: GatewayMetrics,
    kept: Kept | None = None,
    tracing: Tracing | None = None,
) -> Hard:
    """Return the application that senders call.

    Args:
        senders: Who may send.
        intake: Where records go.
        settings: Limits.
        tokens: Who is let in; anybody, as the only sender, where None.
        metrics: What is counted.
        kept: Sessions that are not over; needed where a sender sends Sessions by OCPI.
        tracing: Records the spans of requests; None where traces are off.
    """
    app = Guarded(
        scheme=_SCHEME,
        is_behind_tls=settings.gateway_behind_tls,
        title="Carbonflow gateway",
        version=version("carbonflow"),
        description=_ABOUT,
    )
    quota = None
    if tokens is not None:
        quota = Rate(
            per_s=settings.gateway_records_per_s,
            burst=settings.gateway_records_burst,
        )
    add_problem_handlers(app)
    # The last that is added is asked first.
    app.add_middleware(Limited, bytes_max=settings.gateway_body_bytes_max)
    app.add_middleware(
        Gate,
        tokens=tokens,
        rate=Rate(per_s=settings.gateway_rate_per_s, burst=settings.gateway_burst),
        is_local=not settings.gateway_open and is_loopback(settings.gateway_host),
        kinds=SENDING,
        public=app.public(),
        given=given,
    )
    app.add_middleware(Measured, metrics=metrics)
    if tracing is not None:
        app.add_middleware(Traced, tracing=tracing)
    records_max = settings.gateway_records_max
    app.include_router(records(senders, intake, records_max=records_max, quota=quota))
    app.include_router(events(senders, intake, records_max=records_max, quota=quota))
    app.include_router(receiving(Receiver(senders, intake, kept, quota, settings.gateway_url)))
    return app


def create_service(
    intake: Intake,
    obstacle: Callable[[], str],
    *,
    settings: GatewaySettings,
    registry: CollectorRegistry,
    metrics: GatewayMetrics,
) -> Hard:
    """Return the application that tells how the gateway is: its health and its metrics.

    Args:
        intake: Whose records wait.
        obstacle: Says why nothing can be sent, "" if it can; called on another thread.
        settings: Limits.
        registry: What `/metrics` shows.
        metrics: What is counted.
    """
    app = Hard(
        is_behind_tls=settings.gateway_behind_tls,
        title="Carbonflow gateway service",
        openapi_url=None,
    )
    add_problem_handlers(app)
    router = APIRouter(tags=["service"])
    metrics.waiting.set_function(lambda: intake.waiting)

    @router.get("/healthz", responses=responses(is_guarded=False))
    async def healthz() -> Health:
        """Say that the process answers."""
        return Health(status="ok")

    @router.get("/readyz", responses=responses(is_guarded=False))
    async def readyz() -> Health:
        """Say whether the broker answers and has the topics."""
        if why := await run_in_threadpool(obstacle):
            raise away(f"{why[0].upper()}{why[1:]}.")
        return Health(status="ready")

    @router.get("/metrics", response_class=Response, responses=responses(is_guarded=False))
    async def scrape() -> Response:
        """Return the metrics of this process for Prometheus."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    app.include_router(router)
    return app
