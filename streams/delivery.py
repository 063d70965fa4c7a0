"""Delivery: everything a slice leads to, and the offset after it, in one Kafka transaction.

Transfers, balances, refusals, late records and the source offset become visible together or not at
all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, TypeAlias

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerFenced
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from schemas.batches import BATCH_BYTES_MAX, ColumnBatch, column_batches
from schemas.catalogue import LATE_FROM, LATE_OF
from schemas.partition import partition_of
from schemas.settings import BrokerSettings
from streams.slice import Slice
from streams.step import Outcome

Headers: TypeAlias = list[tuple[str, bytes]]
Message: TypeAlias = tuple[bytes | None, bytes | None, int, Headers]


async def deliver(
    producer: AIOKafkaProducer,
    settings: BrokerSettings,
    group_id: str,
    part: Slice,
    outcome: Outcome,
    partitions: int,
) -> int | None:
    """Commit the outcome of a slice and the offset after it in one transaction.

    Returns:
        The offset behind the last balance; None if there is none, or the broker does not say.

    Raises:
        ProducerFenced: Another owner has taken over; nothing became visible.
        KafkaError: Nothing became visible; the caller must not go on with this producer.
    """
    name = settings.topic
    # Composed before the transaction begins, so that it is open no longer than it needs to be; and
    # on a thread, because the kernels hold no lock: the next slice is stepped meanwhile.
    transfers, balances = await asyncio.to_thread(_composed, outcome)
    columns = [(name("transfers"), transfers), (name("account-balances"), balances)]
    source = TopicPartition(name(part.topic), part.partition)
    offset = OffsetAndMetadata(part.next_offset, "")
    sent: list[asyncio.Future[Any]] = []
    await producer.begin_transaction()
    try:
        for topic, batches in columns:
            for batch in batches:
                future = await producer.send_batch(batch, topic, partition=part.partition)
                sent.append(future)
        last_balances = sent[-1] if balances else None
        refusals = _refusals(part, outcome)
        await _send(producer, name("refusals"), part.partition, refusals, sent)
        if len(outcome.late):
            lane = name(LATE_OF[part.topic])
            await _send(producer, lane, part.partition, _late(part, outcome), sent)
        for partition, messages in _astray(part, outcome, partitions).items():
            await _send(producer, name(part.topic), partition, messages, sent)
        await producer.send_offsets_to_transaction({source: offset}, group_id)
        # The producer would commit a transaction without the batches that the broker refused.
        await asyncio.gather(*sent)
        await producer.commit_transaction()
    except Exception as error:
        # Once fenced, aiokafka may only say that there is no transaction.
        ended = [future for future in sent if future.done() and not future.cancelled()]
        failures = {future.exception() for future in ended}
        for failure in failures:
            if isinstance(failure, ProducerFenced):
                raise failure from error
        raise
    if last_balances is None:
        return None
    first = int(last_balances.result().offset)
    # A broker that had the batch already may have forgotten where.
    return first + balances[-1].record_count() if first >= 0 else None


def _composed(outcome: Outcome) -> tuple[list[ColumnBatch], list[ColumnBatch]]:
    """Return the batches of transfers and of balances."""
    transfers = column_batches(
        "transfer",
        outcome.transfers,
        key="account_id",
        timestamp="recorded_at",
        transactional=True,
    )
    balances = column_batches(
        "account_balance",
        outcome.change.balances(),
        key="account_id",
        timestamp="updated_at",
        transactional=True,
    )
    return list(transfers), list(balances)


async def _send(
    producer: AIOKafkaProducer,
    topic: str,
    partition: int,
    messages: Iterable[Message],
    sent: list[asyncio.Future[Any]],
) -> None:
    batch = producer.create_batch()
    for key, value, timestamp, headers in messages:
        fits = batch.append(key=key, value=value, timestamp=timestamp, headers=headers)
        if fits is None:
            batch.close()
            sent.append(await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
            if batch.append(key=key, value=value, timestamp=timestamp, headers=headers) is None:
                raise ValueError(f"a message for {topic} does not fit into an empty batch")
    if batch.record_count():
        batch.close()
        sent.append(await producer.send_batch(batch, topic, partition=partition))


def _refusals(part: Slice, outcome: Outcome) -> Iterable[Message]:
    for bad in outcome.refused:
        timestamp = int(part.timestamps_ms[bad.position])
        value = part.values[bad.position]
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
        yield (
            part.keys[bad.position],
            value,
            timestamp,
            [(name, text.encode()) for name, text in headers.items()],
        )


def _late(part: Slice, outcome: Outcome) -> Iterable[Message]:
    """Yield the records for the late lane as they came; the header says where they lie."""
    for position in outcome.late.tolist():
        yield (
            part.keys[position],
            part.values[position],
            int(part.timestamps_ms[position]),
            [(LATE_FROM, f"{part.partition}:{part.offsets[position]}".encode())],
        )


def _astray(part: Slice, outcome: Outcome, partitions: int) -> dict[int, list[Message]]:
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
                [("rekeyed_from", found)],
            )
        )
    return moved
