"""The event loop of worker, API and gateway, against peers that leave without a goodbye."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.loop import Loop, LoopPolicy, Pieces
from tests.certificates import make_certificates

PATIENCE_S = 15
"""Less than the half minute after which uvloop gives a peer up."""


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = LoopPolicy().new_event_loop()
    yield made
    made.close()


@contextmanager
def served(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """Answer one connection by a thread, and give the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            link, _ = server.accept()
            with link:
                talk(link)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


class Client(asyncio.Protocol):
    """Knows when its connection is gone."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    def connection_lost(self, _exc: Exception | None) -> None:
        self.gone.set()


def test_a_tls_connection_closes_although_the_peer_says_no_goodbye(
    loop: asyncio.AbstractEventLoop, tmp_path: Path
) -> None:
    certificates = make_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server)
    closed = threading.Event()

    def greet_only(link: socket.socket) -> None:
        with context.wrap_socket(link, server_side=True):
            assert closed.wait(2 * PATIENCE_S)

    async def close(port: int) -> None:
        trusted = ssl.create_default_context(cafile=certificates.authority)
        transport, client = await loop.create_connection(Client, "127.0.0.1", port, ssl=trusted)
        transport.close()
        try:
            await asyncio.wait_for(client.gone.wait(), PATIENCE_S)
        finally:
            closed.set()

    with served(greet_only) as port:
        loop.run_until_complete(close(port))


def test_to_write_to_a_connection_that_is_gone_is_an_error_of_connections(
    loop: asyncio.AbstractEventLoop,
) -> None:
    async def write(port: int) -> None:
        transport, client = await loop.create_connection(Client, "127.0.0.1", port)
        await asyncio.wait_for(client.gone.wait(), PATIENCE_S)
        with pytest.raises(ConnectionResetError, match="the connection is closed"):
            transport.write(b"is anybody there")

    with served(lambda _link: None) as port:
        loop.run_until_complete(write(port))


@given(st.lists(st.lists(st.sampled_from([0, 1, 100, 70_000, 3_000_000]), max_size=4), max_size=12))
@settings(max_examples=30, deadline=None)
def test_what_is_written_arrives_whole_and_in_order(sizes: list[list[int]]) -> None:
    """A reader that begins late, so that the socket is full now and then."""
    values = [[bytes([at]) * size for size in each] for at, each in enumerate(sizes)]
    expected = b"".join(piece for pieces in values for piece in pieces)
    written = threading.Event()
    read = bytearray()

    def read_late(link: socket.socket) -> None:
        assert written.wait(PATIENCE_S)
        while some := link.recv(1 << 20):
            read.extend(some)

    async def write(port: int) -> None:
        made: Any = asyncio.get_running_loop()
        transport, client = await made.create_connection(Client, "127.0.0.1", port)
        for at, pieces in enumerate(values):
            transport.write(Pieces(pieces) if at % 3 else b"".join(pieces))
            if at % 2:
                await asyncio.sleep(0)
            if at == len(values) // 2:
                written.set()
        written.set()
        transport.close()
        await asyncio.wait_for(client.gone.wait(), PATIENCE_S)

    with served(read_late) as port, asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(write(port))
    assert bytes(read) == expected
