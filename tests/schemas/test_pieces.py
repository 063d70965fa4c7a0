"""Produce requests in pieces are those of aiokafka, byte for byte, and arrive."""

import asyncio
import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.structs import TopicPartition

from embedded.broker import Broker
from schemas.loop import Loop, Pieces
from schemas.pieces import _InPieces, send_in_pieces

TOPICS = [("a", [(0, b"first"), (3, b"")]), ("b", [(1, bytes(range(256)))])]
VERSIONS = [each.API_VERSION for each in ProduceRequest._CLASSES]


@pytest.mark.parametrize("version", VERSIONS)
def test_pieces_are_what_aiokafka_encodes(version: int) -> None:
    name = "a-0" if version >= 3 else None
    request = ProduceRequest(name, -1, 1_000, TOPICS)
    versions = {ProduceRequest.API_KEY: (0, version)}
    plain, ours = request.prepare(versions), _InPieces(request).prepare(versions)
    whole = b"before" + ours.encode()
    assert isinstance(whole, Pieces)
    assert b"".join(whole.pieces) == b"before" + plain.encode()
    assert len(whole) == len(b"before" + plain.encode())
    assert any(piece is TOPICS[0][1][0][1] for piece in whole.pieces), "a batch is not copied"
    assert (type(plain).API_KEY, version) == (ours.API_KEY, ours.API_VERSION)
    assert ours.RESPONSE_TYPE is plain.RESPONSE_TYPE


def test_nothing_keeps_a_request_that_was_sent() -> None:
    gc.disable()
    try:
        made = _InPieces(ProduceRequest(None, -1, 1_000, TOPICS)).prepare({0: (0, 7)})
        assert made.encode()
        left = weakref.ref(made)
        del made
        assert left() is None
    finally:
        gc.enable()


def test_what_is_sent_in_pieces_arrives(tmp_path: Path) -> None:
    values = [bytes([number]) * (number * 40_000 + 1) for number in range(20)]

    async def send_and_read(bootstrap: str) -> list[Any]:
        options: dict[str, Any] = {"bootstrap_servers": bootstrap}
        size = 1 << 20
        async with AIOKafkaProducer(
            **options, transactional_id="a", max_request_size=size, max_batch_size=size
        ) as producer:
            plain = producer.client.send
            send_in_pieces(producer)
            assert producer.client.send != plain
            async with producer.transaction():
                for value in values:
                    await producer.send("pieces", value, partition=0)
        place = TopicPartition("pieces", 0)
        async with AIOKafkaConsumer(**options, isolation_level="read_committed") as consumer:
            consumer.assign([place])
            await consumer.seek_to_beginning(place)
            async with asyncio.timeout(20):
                return [(await consumer.getone()).value for _ in values]

    with (
        Broker.start(tmp_path / "broker") as broker,
        asyncio.Runner(loop_factory=Loop) as runner,
    ):
        assert runner.run(send_and_read(broker.bootstrap)) == values


def test_another_loop_gets_requests_as_they_are() -> None:
    async def is_as_it_was() -> bool:
        producer = AIOKafkaProducer()
        plain = producer.client.send
        send_in_pieces(producer)
        try:
            return bool(producer.client.send == plain)
        finally:
            await producer.stop()

    assert asyncio.run(is_as_it_was())
