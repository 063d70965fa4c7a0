"""The gate: who asks is known, and asks no more than they may, before anything else is done.

    401    no token, or nobody's
    403    a token that is for another door: the API's or the gateway's
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
from collections.abc import Callable, Set
from http import HTTPStatus
from typing import Final, TypeAlias

from fastapi.responses import JSONResponse
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.access import EVERYTHING, SCOPE_KEY, WHO_KEY, Kind
from api.problems import answer
from api.tokens import Tokens

Given: TypeAlias = Callable[[Scope], bytes | None]
"""How a request carries its token; None where it has none."""

_NOBODY: Final = ""
_SCHEME: Final = b"bearer "
_HERE: Final = re.compile(rb"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?", re.IGNORECASE)


class Rate:
    """How much each may ask: `burst` at once, and `per_s` in the long run.

    Args:
        per_s: Requests, or what else is counted, a second.
        burst: How many at once.
        now: The time [s].
    """

    def __init__(
        self, *, per_s: float, burst: int, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.burst = burst
        self._apart_s = 1 / per_s
        self._ahead_s = (burst - 1) / per_s
        self._now = now
        # When the bucket of each will be full again, which is all there is to know about it.
        self._full_at_s: dict[str, float] = {}

    def wait_s(self, who: str, count: int = 1) -> float:
        """Return 0 and count so many, or how long they have to wait [s], uncounted.

        More than `burst` at once never pass.
        """
        now = self._now()
        full_at = max(now, self._full_at_s.get(who, now))
        early = full_at - now + (count - 1) * self._apart_s - self._ahead_s
        if early > 1e-9:  # What rounding makes of nothing.
            return early
        self._full_at_s[who] = full_at + count * self._apart_s
        return 0.0


class Gate:
    """ASGI middleware that lets in who may ask, and notes what they may see.

    Args:
        app: Who answers.
        tokens: Who is let in; anybody where None.
        rate: How much each may ask.
        is_local: An open API answers this machine only.
        kinds: Tokens of which kinds are let in.
        given: How a request carries its token.
        public: Paths that need no token.
    """

    def __init__(
        self,
        app: ASGIApp,
        tokens: Tokens | None,
        rate: Rate,
        *,
        is_local: bool,
        kinds: Set[Kind],
        public: Set[str],
        given: Given | None = None,
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._rate = rate
        self._is_local = is_local
        self._kinds = kinds
        self._given = given or bearer
        self._public = public

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
        scope[SCOPE_KEY], scope[WHO_KEY] = EVERYTHING, _NOBODY
        return None

    def _known(self, scope: Scope, tokens: Tokens) -> JSONResponse | None:
        given = self._given(scope)
        token = None if given is None else tokens.find(given)
        wait_s = self._rate.wait_s(_NOBODY if token is None else token.name)
        if wait_s:
            return too_many(Request(scope), wait_s)
        if token is not None and token.access.kind in self._kinds:
            scope[SCOPE_KEY], scope[WHO_KEY] = token.access, token.name
        elif scope["path"] not in self._public:
            return _unknown(scope) if token is None else self._elsewhere(scope, token.access.kind)
        return None

    def _elsewhere(self, scope: Scope, kind: Kind) -> JSONResponse:
        kinds = " or ".join(sorted(self._kinds))
        return answer(
            Request(scope),
            HTTPStatus.FORBIDDEN,
            "out-of-scope",
            f"This is for tokens of {kinds}; yours is of {kind}.",
        )


def bearer(scope: Scope, scheme: bytes = _SCHEME) -> bytes | None:
    """Return the token of a request, behind the name of its scheme; two are none."""
    given: list[bytes] = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(given) != 1 or given[0][: len(scheme)].lower() != scheme:
        return None
    return given[0][len(scheme) :].strip()


def too_many(request: Request, wait_s: float) -> JSONResponse:
    """Return the problem that somebody asks too much, and when to come again."""
    again_s = math.ceil(wait_s)
    refused = answer(
        request,
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
