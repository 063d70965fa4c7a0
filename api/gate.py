"""The gate: who asks is known, and asks no more than they may, before anything else is done.

    401    no token, or nobody's
    421    an open API is asked under a name that is not this machine's
    429    more than a token may; Retry-After says when to come again

Each token has a bucket of its own. Whoever has none shares one with all others who have none, so
that guessing takes nothing from those with a token, and memory is bounded by the file of tokens.

An open API lets anybody in, who then sees everything. On loopback that is anybody on this machine,
and a page in a browser of it is not meant: a name that leads here (DNS rebinding) is refused.
"""

import math
import re
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Final

from fastapi.responses import JSONResponse
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.access import EVERYTHING, SCOPE_KEY
from api.hardening import DOCS_PATH
from api.problems import answer
from api.tokens import Tokens

PUBLIC: Final = frozenset({DOCS_PATH, "/openapi.json"})
"""What needs no token: what the API is, which its source says too."""

_NOBODY: Final = ""
_SCHEME: Final = b"bearer "
_HERE: Final = re.compile(rb"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?", re.IGNORECASE)


class Rate:
    """How much each may ask: `burst` requests at once, and `per_s` in the long run.

    Args:
        per_s: Requests a second.
        burst: Requests at once.
        now: The time [s].
    """

    def __init__(
        self, *, per_s: float, burst: int, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._apart_s = 1 / per_s
        self._ahead_s = (burst - 1) / per_s
        self._now = now
        # When the bucket of each will be full again, which is all there is to know about it.
        self._full_at_s: dict[str, float] = {}

    def wait_s(self, who: str) -> float:
        """Return 0 and count a request, or how long it has to wait [s], uncounted."""
        now = self._now()
        full_at = max(now, self._full_at_s.get(who, now))
        early = full_at - now - self._ahead_s
        if early > 1e-9:  # What rounding makes of nothing.
            return early
        self._full_at_s[who] = full_at + self._apart_s
        return 0.0


class Gate:
    """ASGI middleware that lets in who may ask, and notes what they may see.

    Args:
        app: Who answers.
        tokens: Who is let in; anybody where None.
        rate: How much each may ask.
        is_local: An open API answers this machine only.
    """

    def __init__(self, app: ASGIApp, tokens: Tokens | None, rate: Rate, *, is_local: bool) -> None:
        self._app = app
        self._tokens = tokens
        self._rate = rate
        self._is_local = is_local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http":
            tokens = self._tokens
            refused = self._open(scope) if tokens is None else self._known(scope, tokens)
            if refused is not None:
                await refused(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _open(self, scope: Scope) -> JSONResponse | None:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if self._is_local and not all(map(_HERE.fullmatch, hosts)):
            return answer(
                Request(scope),
                HTTPStatus.MISDIRECTED_REQUEST,
                "not-here",
                "This API answers this machine only, by its address or as localhost.",
            )
        scope[SCOPE_KEY] = EVERYTHING
        return None

    def _known(self, scope: Scope, tokens: Tokens) -> JSONResponse | None:
        given = _given(scope["headers"])
        token = None if given is None else tokens.find(given)
        wait_s = self._rate.wait_s(_NOBODY if token is None else token.name)
        if wait_s:
            return _too_many(scope, wait_s)
        if token is not None:
            scope[SCOPE_KEY] = token.access
        elif scope["path"] not in PUBLIC:
            return _unknown(scope)
        return None


def _given(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """Return the token of a request; two are none."""
    given = [value for name, value in headers if name == b"authorization"]
    if len(given) != 1 or given[0][: len(_SCHEME)].lower() != _SCHEME:
        return None
    return given[0][len(_SCHEME) :].strip()


def _too_many(scope: Scope, wait_s: float) -> JSONResponse:
    again_s = math.ceil(wait_s)
    refused = answer(
        Request(scope),
        HTTPStatus.TOO_MANY_REQUESTS,
        "too-many-requests",
        f"That is more than may be asked; ask again in {again_s} s.",
    )
    refused.headers["retry-after"] = str(again_s)
    return refused


def _unknown(scope: Scope) -> JSONResponse:
    refused = answer(
        Request(scope),
        HTTPStatus.UNAUTHORIZED,
        "unauthorized",
        "A token is needed, as `Authorization: Bearer ...`; there is none, or it is nobody's.",
    )
    refused.headers["www-authenticate"] = 'Bearer realm="carbonflow"'
    return refused
