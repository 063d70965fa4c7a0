"""An API with tokens, served over sockets from a thread of its own while a test asks it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from prometheus_client import CollectorRegistry

from api.app import create_app, create_service
from api.server import serve
from api.settings import ApiSettings
from api.tokens import entry_of, new_token
from sinks.queries import Queries
from tests.api.conftest import PROGRAMMES

SCOPES: Final = {
    "account": "account:ann",
    "programme": "programme:city",
    "operator": "operator",
    "send": "send:acme",
}
START_S_MAX: Final = 30.0


@dataclass(frozen=True, slots=True)
class Served:
    """A served API, its metrics and health, and a token of each kind."""

    url: str
    service_url: str
    client: httpx.Client
    tokens: Mapping[str, str]

    def headers(self, kind: str) -> dict[str, str]:
        """Return the headers of a request with a token of a kind."""
        return {"Authorization": f"Bearer {self.tokens[kind]}"}

    def ask(self, kind: str | None, method: str, path: str, **options: Any) -> httpx.Response:
        """Return the answer to a request with a token of a kind, or without one."""
        headers = {} if kind is None else self.headers(kind)
        return self.client.request(method, self.url + path, headers=headers, **options)


def tokens_in(path: Path) -> dict[str, str]:
    """Write a file with a token of each kind; returns the tokens."""
    tokens = {kind: new_token() for kind in SCOPES}
    path.write_text(
        "".join(entry_of(tokens[kind], name=kind, scope=SCOPES[kind]) for kind in SCOPES)
    )
    return tokens


@contextmanager
def served(queries: Queries, folder: Path, **limits: Any) -> Iterator[Served]:
    """Serve the API over some questions while the context is entered."""
    tokens = tokens_in(folder / "tokens.toml")
    settings = ApiSettings(
        api_port=0, api_metrics_port=0, api_tokens_file=folder / "tokens.toml", **limits
    )
    registry = CollectorRegistry()
    app = create_app(queries, settings=settings, registry=registry, programmes=PROGRAMMES)
    service = create_service(queries, settings=settings, registry=registry)
    stop, loop, urls = asyncio.Event(), asyncio.new_event_loop(), (Future[str](), Future[str]())
    serving = serve(
        app,
        settings,
        stop=stop,
        service=service,
        listening=urls[0].set_result,
        service_listening=urls[1].set_result,
    )

    def run() -> None:
        # All of it is here: the thread of the test may have a loop of its own.
        try:
            loop.run_until_complete(serving)
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        url, service_url = (each.result(START_S_MAX) for each in urls)
        with httpx.Client(timeout=START_S_MAX) as client:
            yield Served(url, service_url, client, tokens)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(START_S_MAX)
