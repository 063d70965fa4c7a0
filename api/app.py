"""The API: read-only HTTP over the store, and balances from the topic they are published on.

`create_app` builds an application from its parts and keeps nothing outside it; `serve` runs it.
Queries are synchronous, so routes are plain functions, which FastAPI calls on its own threads; a
chDB client takes them one at a time.
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version
from typing import Any

import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from api.accounts import accounts
from api.balances import Balances
from api.gathering import Gathering
from api.ledger import ledger
from api.metrics import ApiMetrics, Measured
from api.problems import add_problem_handlers, schemas
from api.reference import factors, refusals
from api.service import service
from api.settings import ApiSettings
from carbon.programmes import Programme
from sinks.queries import Queries

_ABOUT = """
Carbon accounts of charging sessions and freight trips, while they happen.

Amounts are integers in milligrams; every name ends with its unit. Instants are RFC 3339. Every
error is `application/problem+json` (RFC 9457) with a stable `type`.
"""


class _Api(FastAPI):
    """An application whose OpenAPI document also describes its problems."""

    def openapi(self) -> dict[str, Any]:
        """Return the document."""
        document = super().openapi()
        document["components"]["schemas"] |= schemas()
        return document


def create_app(
    queries: Queries,
    *,
    settings: ApiSettings,
    registry: CollectorRegistry,
    programmes: Mapping[str, Programme],
    balances: Balances | None = None,
) -> FastAPI:
    """Return the application.

    Args:
        queries: Questions to the store.
        settings: Limits.
        registry: Where its metrics go, and what `/metrics` shows.
        programmes: Programmes by name, to recompute explained transfers with.
        balances: Where balances come from; the store where not given.
    """
    app = _Api(
        title="Carbonflow", version=version("carbonflow"), description=_ABOUT, redoc_url=None
    )
    metrics = ApiMetrics(registry)
    source = balances or Gathering(queries.balances, accounts_max=settings.api_accounts_max)
    add_problem_handlers(app)
    app.add_middleware(Measured, metrics=metrics)
    app.include_router(accounts(queries, source, settings))
    app.include_router(ledger(queries, programmes))
    app.include_router(factors(queries, settings))
    app.include_router(refusals(queries, settings))
    app.include_router(service(queries, source, metrics))
    return app


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to whoever runs it."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        """Capture none."""
        return nullcontext()


async def serve(
    app: FastAPI,
    settings: ApiSettings,
    *,
    stop: asyncio.Event,
    listening: Callable[[str], None] | None = None,
    beside: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> None:
    """Serve an application until stopped.

    Args:
        app: The application.
        settings: Where to listen.
        stop: Set it to end.
        listening: Called with the URL once connections are accepted.
        beside: Makes what runs for as long, such as `FollowedBalances.run`; if it ends, so does
            serving.

    Raises:
        OSError: The port is taken.
        Exception: What `beside` raised.
    """
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off")
    server = _Server(config)
    with socket.create_server((settings.api_host, settings.api_port)) as door:
        # Its connections inherit it. asyncio sets it only on sockets that name their protocol, and
        # without it the body of an answer waits 40 ms for the client to acknowledge the head.
        door.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if listening is not None:
            listening(f"http://{settings.api_host}:{door.getsockname()[1]}")
        serving = asyncio.create_task(server.serve(sockets=[door]))
        ends: list[asyncio.Task[Any]] = [asyncio.create_task(stop.wait())]
        if beside is not None:
            ends.append(asyncio.create_task(beside()))
        try:
            await asyncio.wait({serving, *ends}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            server.should_exit = True
            await serving
            for task in ends:
                task.cancel()
            # What ran beside may have failed; that it was cancelled is no failure.
            for ended in await asyncio.gather(*ends, return_exceptions=True):
                if isinstance(ended, Exception):
                    raise ended
