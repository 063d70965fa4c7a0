"""Hardening: headers that every answer has, whoever gives it.

Nothing of what is answered may be kept by caches between, guessed to be of another kind, or shown
in a frame. Pages and their files have headers of their own (`api.shipped`).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Headers: TypeAlias = list[tuple[bytes, bytes]]

DOCS_PATH: Final = "/docs"
HSTS_S: Final = 365 * 86_400

_CSP: Final = "default-src 'none'; frame-ancestors 'none'"
_NONE: Final[Mapping[str, Headers]] = MappingProxyType({})


def security_headers(*, is_behind_tls: bool, csp: str = _CSP, cache: str = "no-store") -> Headers:
    """Return the headers that every answer has.

    Args:
        is_behind_tls: Browsers reach the API by https only, and may hold on to that.
        csp: What a page may load.
        cache: What a browser may keep.
    """
    headers = [
        (b"x-content-type-options", b"nosniff"),
        (b"cache-control", cache.encode()),
        (b"content-security-policy", csp.encode()),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-resource-policy", b"same-origin"),
    ]
    if is_behind_tls:
        headers.append((b"strict-transport-security", b"max-age=%d" % HSTS_S))
    return headers


class Hardened:
    """ASGI middleware that adds headers to every answer.

    Args:
        app: Who answers.
        headers: What each answer gets.
        pages: What those of these paths get instead.
    """

    def __init__(
        self, app: ASGIApp, headers: Headers, pages: Mapping[str, Headers] = _NONE
    ) -> None:
        self._app = app
        self._headers = headers
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back with more headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        more = self._pages.get(scope["path"], self._headers)

        async def adding(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *more]
            await send(message)

        await self._app(scope, receive, adding)
