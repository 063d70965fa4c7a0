"""The event loop of worker, API and gateway: uvloop's, whose connections end as aiokafka expects.

uvloop saves a worker a twentieth of its time. Two of its ways aiokafka does not know:

- A TLS connection that is closed waits for the peer's goodbye, and where an answer of the peer
  crosses ours, that is until a time limit ends it: 30 s, within which nobody can stop. Here it is
  one second.
- To write to a connection that is gone is a `RuntimeError`, which aiokafka does not take for a
  broken connection: its tasks end, although the broker is back. Here it is a
  `ConnectionResetError`.

And what is written may come in `Pieces`, which aiokafka would join (`schemas.pieces`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import uvloop

GOODBYE_S: Final = 1.0


class Pieces:
    """Bytes in pieces; more bytes can be added before them."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.pieces = pieces

    def __len__(self) -> int:
        return sum(map(len, self.pieces))

    def __radd__(self, before: bytes) -> Pieces:
        return Pieces((before, *self.pieces))


class Loop(uvloop.Loop):
    """uvloop's loop, handing out transports that say in aiokafka's terms when they are gone."""

    async def create_connection(
        self, protocol_factory: Callable[[], Any], *where: Any, **options: Any
    ) -> Any:
        """Return a transport and its protocol, as the loop's own does."""
        if options.get("ssl") is not None:
            options.setdefault("ssl_shutdown_timeout", GOODBYE_S)
        transport, protocol = await super().create_connection(protocol_factory, *where, **options)
        return _Transport(cast(asyncio.Transport, transport)), protocol


class LoopPolicy(uvloop.EventLoopPolicy):  # type: ignore[misc]
    """Gives every thread that asks for one such a loop."""

    def _loop_factory(self) -> Loop:
        return Loop()


class _Transport:
    """A transport that fails to write as sockets do."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes | Pieces) -> None:
        if self._transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        if isinstance(data, Pieces):
            self._transport.writelines(data.pieces)
        else:
            self._transport.write(data)
