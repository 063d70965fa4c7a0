"""The server: an application on one socket, its metrics and health on another, until stopped.

Two sockets, because they are for different people: the API is asked by whoever has a token, the
other by those who run it, and need none.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any, Final

import uvicorn

from api.application import Hard
from api.connection import Connection, protocol
from api.hardening import security_headers
from api.listening import Listens
from schemas.log_events import tell

log = logging.getLogger("carbonflow.api")

STOP_S_MAX: Final = 3
"""How long to wait for requests under way before the end [s]."""


class ListenError(OSError):
    """An address or a port cannot be had; the message says which, and whose setting it is."""


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to whoever runs it, and looks after connections."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        """Capture none."""
        return nullcontext()

    async def on_tick(self, counter: int) -> bool:
        """Look after connections, too."""
        for connection in [*self.server_state.connections]:
            assert isinstance(connection, Connection)
            connection.look()
        return await super().on_tick(counter)


async def serve(
    app: Hard,
    settings: Listens,
    *,
    stop: asyncio.Event,
    service: Hard | None = None,
    listening: Callable[[str], None] | None = None,
    service_listening: Callable[[str], None] | None = None,
    beside: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> None:
    """Serve applications until stopped.

    Args:
        app: The API, or the gateway.
        settings: Where to listen, and what a client may send.
        stop: Set it to end.
        service: Its metrics and health, on their own port; nowhere if not given.
        listening: Called with the URL of `app` once connections are accepted.
        service_listening: Called with the URL of `service` then.
        beside: Makes what runs for as long, such as `FollowedBalances.run`; if it ends, so does
            serving.

    Raises:
        ListenError: A port is taken.
        Exception: What `beside` raised.
    """
    at = settings.listening
    connections = protocol(at.limits, security_headers(is_behind_tls=at.is_behind_tls))
    with ExitStack() as doors:
        door = doors.enter_context(_listen(at.host, at.port, f"{at.name}_PORT"))
        wanted = [(app, door, listening)]
        if service is not None:
            setting = f"{at.name}_METRICS_PORT"
            door = doors.enter_context(_listen(at.metrics_host, at.metrics_port, setting))
            wanted.append((service, door, service_listening))
        servers, urls = {}, []
        for part, door, announce in wanted:
            host, port = door.getsockname()[:2]
            urls.append(f"http://{host}:{port}")
            if announce is not None:
                announce(urls[-1])
            server = _Server(_config(part, connections))
            servers[asyncio.create_task(server.serve(sockets=[door]))] = server
        tell(log, "listening", url=urls[0], service_url=urls[1] if service is not None else None)
        ends: list[asyncio.Task[Any]] = [asyncio.create_task(stop.wait())]
        if beside is not None:
            ends.append(asyncio.create_task(beside()))
        try:
            await asyncio.wait({*servers, *ends}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for part, _, _ in wanted:
                part.ending.set()
            for server in servers.values():
                server.should_exit = True
            await asyncio.gather(*servers)
            for task in ends:
                task.cancel()
            # What ran beside may have failed; that it was cancelled is no failure.
            for ended in await asyncio.gather(*ends, return_exceptions=True):
                if isinstance(ended, Exception):
                    raise ended


def _config(app: Hard, connections: type[asyncio.Protocol]) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=connections,
        ws="none",
        log_config=None,
        log_level="error",  # What is no HTTP is the client's affair: no line of ours for each.
        access_log=False,
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_S_MAX,
    )


def _listen(host: str, port: int, setting: str) -> socket.socket:
    try:
        door = socket.create_server((host, port))
    except (OSError, OverflowError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ListenError(
            f"cannot listen on {host}:{port} (CARBONFLOW_{setting}): {why}"
        ) from error
    # Its connections inherit it. asyncio sets it only on sockets that name their protocol, and
    # without it the body of an answer waits 40 ms for the client to acknowledge the head.
    door.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return door
