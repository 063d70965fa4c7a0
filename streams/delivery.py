"""Delivery: everything a slice leads to, and the offset after it, in one Kafka transaction.

Transfers, balances, refusals, late records and the source offset become visible together or not at
all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeAlias

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerFenced
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from carbon.limits import FOREVER_MS
from schemas.attempts import attempt_of
from schemas.batches import BATCH_BYTES_MAX, ColumnBatch, column_batches
from schemas.catalogue import LATE_FROM, LATE_OF
from schemas.partition import partition_of
from schemas.reaching import denied
from schemas.settings import BrokerSettings
from schemas.traceparents import TRACEPARENT, Headers, headers_of, is_traceparent
from streams.slice import Slice
from streams.step import Outcome
from streams.threads import on_thread

WRITTEN_TOPICS: Final = ("transfers", "account-balances", "refusals")

KEY_BYTES_MAX: Final = 100_000
"""What a refusal carries of a key at most; with the largest value it fits into a message."""

Message: TypeAlias = tuple[bytes | None, bytes | None, int, Headers]


async def deliver(
    producer: AIOKafkaProducer,
    settings: BrokerSettings,
    group_id: str,
    part: Slice,
    outcome: Outcome,
    partitions: int,
    *,
    beside: str = "",
    pack_balances: bool = False,
    traceparent: str | None = None,
) -> int | None:
    """Commit the outcome of a slice and the offset after it in one transaction.

    Args:
        producer: Of the partition.
        settings: The broker, and the prefix of topics.
        group_id: Group that the offset is of.
        part: The slice.
        outcome: Its outcome.
        partitions: How many the topics have.
        beside: A text that goes with the offset.
        pack_balances: Whether to compress balances.
        traceparent: The span of the slice, which goes with its first transfer, balance and refusal.

    Returns:
        The offset behind the last balance; None if there is none, or the broker does not say.

    Raises:
        ProducerFenced: Another owner has taken over; nothing became visible.
        KafkaError: Nothing became visible; the caller must not go on with this producer.
    """
    name = settings.topic
    # Composed before the transaction begins, so that it is open no longer than it needs to be; and
    # on a thread, because the kernels hold no lock: the next slice is stepped meanwhile.
    transfers, balances = await on_thread(
        len(part), composed, outcome, traceparent, pack_balances=pack_balances
    )
    columns = [(name("transfers"), transfers), (name("account-balances"), balances)]
    source = TopicPartition(name(part.topic), part.partition)
    offset = OffsetAndMetadata(part.next_offset, beside)
    sent: list[asyncio.Future[Any]] = []
    await producer.begin_transaction()
    try:
        for topic, batches in columns:
            for batch in batches:
                future = await producer.send_batch(batch, topic, partition=part.partition)
                sent.append(future)
        last_balances = sent[-1] if balances else None
        refusals = messages_of_refusals(part, outcome, traceparent)
        await _send(producer, name("refusals"), part.partition, refusals, sent)
        if len(outcome.late):
            lane = name(LATE_OF[part.topic])
            await _send(
                producer,
                lane,
                part.partition,
                messages_late(part, outcome, now_ms=int(time.time() * 1000)),
                sent,
            )
        for partition, messages in messages_astray(part, outcome, partitions).items():
            await _send(producer, name(part.topic), partition, messages, sent)
        await producer.send_offsets_to_transaction({source: offset}, group_id)
        # The producer would commit a transaction without the batches that the broker refused.
        await asyncio.gather(*sent)
        await producer.commit_transaction()
    except Exception as error:
        # Once fenced or forbidden to, aiokafka may only say that there is no transaction.
        for failure in _failures(producer, sent):
            if isinstance(failure, ProducerFenced) or denied(failure):
                raise failure from error
        raise
    if last_balances is None:
        return None
    first = int(last_balances.result().offset)
    # A broker that had the batch already may have forgotten where.
    return first + balances[-1].record_count() if first >= 0 else None


def _failures(producer: AIOKafkaProducer, sent: list[asyncio.Future[Any]]) -> list[BaseException]:
    """Return what has gone wrong with batches, or with the transaction as a whole."""
    manager = producer._txn_manager
    asked = sent if manager is None else [*sent, manager._transaction_waiter]
    ended = [future for future in asked if future.done() and not future.cancelled()]
    return [failure for future in ended if (failure := future.exception()) is not None]


def composed(
    outcome: Outcome, traceparent: str | None = None, *, pack_balances: bool = False
) -> tuple[list[ColumnBatch], list[ColumnBatch]]:
    """Return the batches of transfers and of balances.

    Balances go as they are where accounts are in memory: the hashes in them hardly shrink,
    compaction keeps one of an account, and packing them took two thirds of what writing them costs.
    Where accounts are on disk memory is scarce, and the disk takes the time.
    """
    transfers = column_batches(
        "transfer",
        outcome.transfers,
        key="account_id",
        timestamp="recorded_at",
        transactional=True,
        traceparent=traceparent,
    )
    balances = column_batches(
        "account_balance",
        outcome.change.balances(),
        key="account_id",
        timestamp="updated_at",
        transactional=True,
        pack=pack_balances,
        traceparent=traceparent,
    )
    return list(transfers), list(balances)


async def _send(
    producer: AIOKafkaProducer,
    topic: str,
    partition: int,
    messages: Iterable[Message],
    sent: list[asyncio.Future[Any]],
) -> None:
    for batch in packed(producer.create_batch, messages):
        future = await producer.send_batch(batch, topic, partition=partition)
        sent.append(future)


def packed(create: Callable[[], Any], messages: Iterable[Message]) -> Iterator[Any]:
    """Yield closed batches of messages, in order.

    Args:
        create: Makes an empty batch.
        messages: What goes into them.
    """
    batch = create()
    for key, value, timestamp, headers in messages:
        fits = batch.append(key=key, value=value, timestamp=timestamp, headers=headers)
        if fits is None:
            batch.close()
            yield batch
            batch = create()
            if batch.append(key=key, value=value, timestamp=timestamp, headers=headers) is None:
                raise ValueError("a message does not fit into an empty batch")
    if batch.record_count():
        batch.close()
        yield batch


def messages_of_refusals(
    part: Slice, outcome: Outcome, traceparent: str | None = None
) -> Iterator[Message]:
    """Yield a message for each record refused: its bytes, and in the headers why and whence.

    The first has the span of the slice.
    """
    traced = headers_of(traceparent) or []
    for bad in outcome.refused:
        timestamp = int(part.timestamps_ms[bad.position])
        key, value = part.keys[bad.position], part.values[bad.position]
        headers = {
            "code": bad.code,
            "reason": bad.reason,
            "origin": "worker",
            "topic": part.source_topic,
            "partition": str(part.partition),
            "offset": str(part.source_offsets[bad.position]),
            "timestamp": str(timestamp),
        }
        if value is not None and len(value) > BATCH_BYTES_MAX:
            # A refusal adds headers, so the largest message would not fit any more.
            headers["bytes"] = str(len(value))
            value = value[:BATCH_BYTES_MAX]
        if key is not None and len(key) > KEY_BYTES_MAX:
            # Nor would both, where who sent them has packed them better than we do.
            headers["key_bytes"] = str(len(key))
            key = key[:KEY_BYTES_MAX]
        yield (
            key,
            value,
            # Brokers take no negative one, and who reads refusals knows no year beyond 9999.
            min(max(timestamp, 0), FOREVER_MS - 1),
            [(name, text.encode()) for name, text in headers.items()]
            + _attempt(part, bad.position)
            + traced,
        )
        traced = []


def messages_late(part: Slice, outcome: Outcome, *, now_ms: int) -> Iterator[Message]:
    """Yield the records for the late lane; a header says where they lie, and the time they have.

    They get the time of today: a broker is quick to drop records that say they are older than a
    topic keeps them.
    """
    for position in outcome.late.tolist():
        key, timestamp_ms = part.keys[position], part.timestamps_ms[position]
        yield (
            # Its account is in its value; a longer key might not fit, as with a refusal.
            None if key is None else key[:KEY_BYTES_MAX],
            part.values[position],
            now_ms,
            [
                (LATE_FROM, b"%d:%d:%d" % (part.partition, part.offsets[position], timestamp_ms)),
                *_kept(part, position),
            ],
        )


def messages_astray(part: Slice, outcome: Outcome, partitions: int) -> dict[int, list[Message]]:
    """Return the records to put right, by the partition they belong to.

    They go to the same topic under the right key; the header says where they were found.
    """
    moved: dict[int, list[Message]] = {}
    for position, account in zip(outcome.astray.tolist(), outcome.astray_accounts, strict=True):
        key = account.encode()
        found = f"{part.partition}:{part.offsets[position]}".encode()
        moved.setdefault(partition_of(key, partitions), []).append(
            (
                key,
                part.values[position],
                int(part.timestamps_ms[position]),
                [("rekeyed_from", found), *_kept(part, position)],
            )
        )
    return moved


def _kept(part: Slice, position: int) -> Headers:
    """Return the headers that go with a record wherever it goes: its attempt, and its span."""
    found = dict(_headers(part, position)).get(TRACEPARENT, b"")
    # Others write these: what is no span may be of any size.
    is_span = is_traceparent(found.decode("latin-1"))
    return _attempt(part, position) + ([(TRACEPARENT, found)] if is_span else [])


def _attempt(part: Slice, position: int) -> Headers:
    """Return the headers of a record that was sent again which go with it."""
    attempt = attempt_of(_headers(part, position))
    return [] if attempt is None else attempt.headers()


def _headers(part: Slice, position: int) -> Headers:
    try:
        return part.headers(position)
    except UnicodeDecodeError:
        return []  # A name that is no text; we write none such.
