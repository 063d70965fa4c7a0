"""Probes: how a process is, beside its metrics, for whoever starts, stops and restarts it.

    /healthz   200 while the event loop turns; else 503: it should be started again
    /readyz    200 while the process does its work; else 503 and what it waits for
    /metrics   its metrics, for Prometheus

Prometheus' own server answers from a thread whatever has become of the process, so that it answers
as well where the event loop hangs. `Signs` knows: the loop signs once a second (`Signs.keep`).
"""

import asyncio
import socket
import time
from collections.abc import Callable
from http import HTTPStatus
from socketserver import ThreadingMixIn
from threading import Thread
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

SIGN_S: Final = 1.0
SILENT_S_MAX: Final = 60.0
"""So long may an event loop be busy with something else; a slice takes 0.1 s."""
STARTING: Final = "it is starting"


class Signs:
    """Signs of life of one process.

    Args:
        silent_s_max: For how long the event loop may give no sign.
        now: A clock that only goes forward [s].
    """

    def __init__(
        self, silent_s_max: float = SILENT_S_MAX, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._silent_s_max = silent_s_max
        self._now = now
        self._last: float | None = None
        self._waits_for: Callable[[], str] = lambda: STARTING

    def sign(self) -> None:
        """Say that the event loop turns."""
        self._last = self._now()

    async def keep(self) -> None:
        """Sign once a second, until it is cancelled."""
        while True:
            self.sign()
            await asyncio.sleep(SIGN_S)

    def waits_for(self, what: Callable[[], str]) -> None:
        """Ask `what` from now on what the process waits for; nothing (empty) where it works."""
        self._waits_for = what

    def health(self) -> str:
        """Return what is wrong with the process, empty where nothing is."""
        if self._last is None or (silent_s := self._now() - self._last) <= self._silent_s_max:
            return ""
        return f"its event loop has stood still for {silent_s:.0f} s"

    def readiness(self) -> str:
        """Return why it does not work, empty where it does."""
        return self.health() or self._waits_for()


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name is given.
        """Keep probes out of the log."""


def serve_probes(registry: CollectorRegistry, signs: Signs, *, host: str, port: int) -> int:
    """Serve metrics and probes from a thread until the process ends.

    Args:
        registry: The metrics.
        signs: How the process is.
        host: Address to listen on.
        port: Port; a free one for 0.

    Returns:
        The port.

    Raises:
        OSError: The address cannot be listened on.
    """
    metrics = make_wsgi_app(registry)

    def answer(environ: dict[str, Any], start: Any) -> Any:
        match environ["PATH_INFO"]:
            case "/healthz":
                wrong, well = signs.health(), "ok"
            case "/readyz":
                wrong, well = signs.readiness(), "ready"
            case "/metrics":
                return metrics(environ, start)
            case _:
                start(_line(HTTPStatus.NOT_FOUND), [])
                return [b""]
        status = HTTPStatus.SERVICE_UNAVAILABLE if wrong else HTTPStatus.OK
        start(_line(status), [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{wrong or well}\n".encode()]

    class Server(ThreadingMixIn, WSGIServer):
        daemon_threads = True
        address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]

    server = make_server(host, port, answer, Server, handler_class=_Handler)
    Thread(target=server.serve_forever, name="probes", daemon=True).start()
    return int(server.server_port)


def _line(status: HTTPStatus) -> str:
    return f"{status.value} {status.phrase}"
