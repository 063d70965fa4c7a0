"""Produce requests in pieces: what goes to the socket is what was packed, as it is.

aiokafka encodes a request field by field, and joins the fields of each level to those of the next:
a batch is copied eight times, all of it on the event loop, which holds the interpreter's lock. Here
a request becomes a list of pieces, its batches among them, and the loop's transports
(`schemas.loop`) hand the list to the socket. On any other loop requests stay as they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.types import Array, Bytes, Int32, Schema

from schemas.loop import Loop, Pieces


def send_in_pieces(producer: AIOKafkaProducer) -> None:
    """Let a producer send what it produces in pieces, where the running loop takes them."""
    if not isinstance(asyncio.get_running_loop(), Loop):
        return
    send = producer.client.send

    async def in_pieces(node_id: Any, request: Any, **options: Any) -> Any:
        if isinstance(request, ProduceRequest):
            request = _InPieces(request)
        return await send(node_id, request, **options)

    producer.client.send = in_pieces


class _Encoding:
    """What encodes a struct as pieces."""

    def encode(self: Any) -> Pieces:
        values = [vars(self)[name] for name in self.SCHEMA.names]
        return Pieces(tuple(_pieces(self.SCHEMA, values)))


class _InPieces(ProduceRequest):  # type: ignore[misc]
    """A produce request whose structs are encoded as pieces."""

    def __init__(self, request: ProduceRequest) -> None:
        self.__dict__.update(vars(request))


# aiokafka has just taken these from its own class; a request is built as the newest that both know.
_InPieces._CLASSES = tuple(
    type(each.__name__, (_Encoding, each), {}) for each in ProduceRequest._CLASSES
)


def _pieces(kind: Any, value: Any) -> Iterator[bytes]:
    """Yield the encoding of a value of one of aiokafka's kinds, in which bytes are a piece."""
    if isinstance(kind, Schema):
        for field, each in zip(kind.fields, value, strict=True):
            yield from _pieces(field, each)
    elif isinstance(kind, Array):
        yield Int32.encode(len(value))
        for each in value:
            yield from _pieces(kind.array_of, each)
    elif kind is Bytes:
        yield Int32.encode(len(value))
        yield value
    else:
        yield kind.encode(value)
