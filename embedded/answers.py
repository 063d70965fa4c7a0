"""Answers: a question of the API, put to it over HTTP or to the same application in this process.

So a command that asks prints the same object, and says the same words when there is nothing to
say, wherever the answer comes from.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlencode
from urllib.request import Request, urlopen

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Message

from api.app import create_app
from api.settings import ApiSettings
from carbon.programmes import Programme
from sinks.queries import Queries

HTTP_S_MAX = 30.0


class NoAnswerError(Exception):
    """There is no such thing, the question was wrong, or nobody answers; the message says which."""


class Answers(Protocol):
    """Who is asked."""

    def get(self, path: str, **query: str | int | None) -> dict[str, Any]:
        """Return the answer to a GET; parameters that are None are left out.

        Raises:
            NoAnswerError: There is none.
        """


class HttpAnswers:
    """Asks an API over HTTP."""

    def __init__(self, url: str, *, token: str | None = None) -> None:
        """Ask the API at a URL such as `http://127.0.0.1:8080`, with a token if there is one."""
        self._url = url.rstrip("/")
        self._token = token

    def get(self, path: str, **query: str | int | None) -> dict[str, Any]:
        """Return the answer."""
        request = Request(
            f"{self._url}{_target(path, query)}", headers={"Accept": "application/json"}
        )
        if self._token:
            # Not to whom a redirect leads.
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        if request.type not in ("http", "https"):
            raise NoAnswerError(f"{self._url} is no http or https URL")
        try:
            with urlopen(request, timeout=HTTP_S_MAX) as response:
                return _read(response.status, response.read())
        except HTTPError as error:
            return _read(error.code, error.read())
        except (URLError, TimeoutError, OSError) as error:
            raise NoAnswerError(f"{self._url} does not answer: {error}") from error


class StoreAnswers:
    """Asks a store, through the API's own application."""

    def __init__(self, queries: Queries, programmes: Mapping[str, Programme]) -> None:
        """Ask these queries, and recompute under these programmes."""
        self._app = create_app(
            queries,
            settings=ApiSettings(),
            registry=CollectorRegistry(),
            programmes=programmes,
        )

    def get(self, path: str, **query: str | int | None) -> dict[str, Any]:
        """Return the answer."""
        return _read(*asyncio.run(_call(self._app, *_target(path, query).partition("?")[::2])))


async def _call(app: ASGIApp, path: str, query: str) -> tuple[int, bytes]:
    """Put one GET to an ASGI application; returns status and body."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)
    status: int = sent[0]["status"]
    return status, b"".join(message.get("body", b"") for message in sent[1:])


def _target(path: str, query: Mapping[str, str | int | None]) -> str:
    given = {name.rstrip("_"): value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def _read(status: int, body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise NoAnswerError(f"the answer, status {status}, is not one of a Carbonflow API")
    if status >= 400:
        wrong = "; ".join(f"{one['where']}: {one['what']}" for one in answer.get("errors") or ())
        raise NoAnswerError(wrong or str(answer.get("detail", f"status {status}")))
    return answer
