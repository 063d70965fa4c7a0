"""The API's metrics, each described here and nowhere else; routes are named by their templates."""

import time
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Paths nobody serves share one label: a scanner must not make a time series of each of its guesses.
UNMATCHED: Final = "unmatched"


class ApiMetrics:
    """All metrics of one API process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "carbonflow_api_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=registry,
        )
        self.seconds = Histogram(
            "carbonflow_api_request_seconds",
            "From request to the end of its answer [s].",
            ["method", "route"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
            registry=registry,
        )


class Requests(Protocol):
    """Metrics of requests: labelled method, route and status; and method and route."""

    requests: Counter
    seconds: Histogram


class Measured:
    """ASGI middleware that counts and times requests."""

    def __init__(self, app: ASGIApp, metrics: Requests) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and note its status and time."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # What raises before it answers becomes a 500 further out.
        status = 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        started = time.monotonic()
        try:
            await self._app(scope, receive, noting)
        finally:
            route = getattr(scope.get("route"), "path", UNMATCHED)
            self._metrics.requests.labels(scope["method"], route, str(status)).inc()
            self._metrics.seconds.labels(scope["method"], route).observe(time.monotonic() - started)
