"""The span of a request, which goes on from its sender's and into the records that it brought."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics import UNMATCHED
from schemas.tracing import Tracing

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Others are anything that a client can think of."""
SENT_IN: Final = ContextVar[str | None]("traceparent", default=None)
"""The span of the request that is being answered."""


class Traced:
    """ASGI middleware that records requests.

    Args:
        app: What answers.
        tracing: Records spans.
    """

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on within its span."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        given = next((value for name, value in scope["headers"] if name == b"traceparent"), None)
        span = self._tracing.span(
            method,
            "server",
            {"http.request.method": method},
            parent=None if given is None else given.decode("latin-1"),
        )
        status = 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        within = SENT_IN.set(span.traceparent)
        try:
            await self._app(scope, receive, noting)
        finally:
            SENT_IN.reset(within)
            route = getattr(scope.get("route"), "path", UNMATCHED)
            span.rename(f"{method} {route}")
            span.note({"http.route": route, "http.response.status_code": status})
            span.end(failed=f"status {status}" if status >= 500 else "")
