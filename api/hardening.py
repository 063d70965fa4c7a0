"""Hardening: headers that every answer has, whoever gives it.

Nothing of what is answered may be kept by caches between, guessed to be of another kind, or shown
in a frame. The page of documentation may load its script and style from where FastAPI has them.
"""

import base64
import hashlib
import re
from typing import Final, TypeAlias

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Headers: TypeAlias = list[tuple[bytes, bytes]]

DOCS_PATH: Final = "/docs"
HSTS_S: Final = 365 * 86_400

_CSP: Final = "default-src 'none'; frame-ancestors 'none'"
_CDN: Final = "https://cdn.jsdelivr.net"
_INLINE: Final = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


def security_headers(*, is_behind_tls: bool, csp: str = _CSP) -> Headers:
    """Return the headers that every answer has.

    Args:
        is_behind_tls: Browsers reach the API by https only, and may hold on to that.
        csp: What a page may load.
    """
    headers = [
        (b"x-content-type-options", b"nosniff"),
        (b"cache-control", b"no-store"),
        (b"content-security-policy", csp.encode()),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-resource-policy", b"same-origin"),
    ]
    if is_behind_tls:
        headers.append((b"strict-transport-security", b"max-age=%d" % HSTS_S))
    return headers


def csp_of(page: bytes) -> str:
    """Return what the page of documentation may load: its own inline script, and FastAPI's CDN."""
    own = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"
        for script in _INLINE.findall(page)
    )
    return (
        f"{_CSP}; script-src {_CDN} {own}; style-src {_CDN} 'unsafe-inline'; "
        "img-src https://fastapi.tiangolo.com data:; connect-src 'self'"
    )


class Hardened:
    """ASGI middleware that adds headers to every answer.

    Args:
        app: Who answers.
        headers: What each answer gets.
        docs: What the page of documentation gets instead.
    """

    def __init__(self, app: ASGIApp, headers: Headers, docs: Headers | None = None) -> None:
        self._app = app
        self._headers = headers
        self._docs = docs or headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back with more headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        more = self._docs if scope["path"] == DOCS_PATH else self._headers

        async def adding(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *more]
            await send(message)

        await self._app(scope, receive, adding)
