"""A partner that offers documents: iLEAP with OAuth2, or OCPI, page by page, over a socket."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

CLIENT: Final = "us"
SECRET: Final = "a secret: of ours"
PAGE: Final = 2


@dataclass
class Partner:
    """What it offers, how it misbehaves, and what it was asked.

    Attributes:
        documents: What it offers.
        is_ocpi: It speaks OCPI; else iLEAP.
        discovery: Where it has its OpenID configuration; none where "".
        token_lasts: Requests that a token is good for.
        failing: Statuses of its next answers.
        next_host: Leads to its next page; its own where "".
        asked: Paths, and how often.
    """

    documents: Sequence[Any]
    is_ocpi: bool = False
    discovery: str = ""
    token_lasts: int = 1_000
    failing: list[int] = field(default_factory=list)
    next_host: str = ""
    envelope: dict[str, Any] = field(default_factory=lambda: {"status_code": 1000})
    asked: Counter[str] = field(default_factory=Counter)
    queries: list[dict[str, str]] = field(default_factory=list)
    _tokens: int = 0
    _left: int = 0

    async def __call__(self, request: web.Request) -> web.Response:
        """Answer a request."""
        self.asked[request.path] += 1
        if self.failing:
            return web.json_response({}, status=self.failing.pop(0), headers={"Retry-After": "7"})
        if request.path == "/.well-known/openid-configuration":
            if not self.discovery:
                return web.json_response({}, status=404)
            endpoint = f"{request.scheme}://{request.host}{self.discovery}"
            return web.json_response({"token_endpoint": endpoint})
        if request.path in {"/auth/token", self.discovery}:
            return await self._token(request)
        if not self._is_let_in(request):
            return web.json_response({"code": "TokenExpired"}, status=401)
        return self._page(request)

    async def _token(self, request: web.Request) -> web.Response:
        basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        form = dict(await request.post())
        if request.headers.get("Authorization") != f"Basic {basic}":
            return web.json_response({"error": "invalid_client"}, status=401)
        if request.method != "POST" or form != {"grant_type": "client_credentials"}:
            return web.json_response({"error": "unsupported_grant_type"}, status=400)
        self._tokens, self._left = self._tokens + 1, self.token_lasts
        return web.json_response({"access_token": f"token-{self._tokens}", "token_type": "bearer"})

    def _is_let_in(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization")
        if self.is_ocpi:
            return given == f"Token {base64.b64encode(SECRET.encode()).decode()}"
        self._left -= 1
        return given == f"Bearer token-{self._tokens}" and self._left >= 0

    def _page(self, request: web.Request) -> web.Response:
        self.queries.append(dict(request.query))
        first = int(request.query.get("offset", "0"))
        some = self.documents[first : first + PAGE]
        headers = {}
        if first + PAGE < len(self.documents):
            host = self.next_host or f"{request.scheme}://{request.host}"
            url = f"{host}{request.path}?limit={PAGE}&offset={first + PAGE}"
            headers["Link"] = f'<{url}>; rel="next"'
        content = {"data": some} | (self.envelope if self.is_ocpi else {})
        return web.json_response(content, headers=headers)
