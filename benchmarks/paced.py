"""A producer at a steady rate, in a process of its own.

It makes all its records before it starts, tells when the first is due, and then sends each
partition's as they fall due: several at once where they fall closer than `TICK_S`. If the broker is
slow the schedule does not wait for it; what is overdue goes with the next batch and is told as
lateness. Times are of the monotonic clock, which processes of one machine share.
"""

import asyncio
import gc
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa
from aiokafka import AIOKafkaProducer

from benchmarks.generate import Message
from benchmarks.measure import BenchmarkError
from benchmarks.pacing import Float64s, Quantiles, quantiles
from benchmarks.probes import PacedLoad, paced_messages
from producers.client.columns import BATCH_BYTES, NO_HEADERS
from schemas.partition import partitions_of

T = TypeVar("T")

TOPIC: Final = "charging-sessions"
TICK_S: Final = 0.005
START_IN_S: Final = 0.5
READY_S_MAX: Final = 120.0
FLUSH_S_MAX: Final = 60.0


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a load: when the last record was acknowledged, and how late batches went."""

    end_s: float
    late: Quantiles


@dataclass(frozen=True, slots=True)
class Sending:
    """A producer that is about to send; the first event is due at `start_s`."""

    start_s: float
    connection: Connection
    load: PacedLoad

    def result(self) -> Sent:
        """Wait until all is acknowledged.

        Raises:
            BenchmarkError: It takes far longer than scheduled, or the producer failed.
        """
        end_s = self.start_s + self.load.schedule.seconds + FLUSH_S_MAX
        return _received(self.connection, Sent, end_s - time.monotonic())


@contextmanager
def sending(bootstrap: str, load: PacedLoad) -> Iterator[Sending]:
    """Have a load sent while the context is entered.

    Raises:
        BenchmarkError: The producer failed before it started.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    # A daemon is ended with this process.
    child = context.Process(target=_produce, args=(theirs, bootstrap, load), daemon=True)
    child.start()
    theirs.close()
    try:
        yield Sending(_received(ours, float, READY_S_MAX), ours, load)
    finally:
        child.terminate()
        child.join()


def _received(connection: Connection, kind: type[T], s_max: float) -> T:
    try:
        if not connection.poll(s_max):
            raise BenchmarkError("the producer takes too long")
        told = connection.recv()
    except EOFError:
        raise BenchmarkError("the producer ended before its time; see above") from None
    assert isinstance(told, kind)
    return told


def _produce(connection: Connection, bootstrap: str, load: PacedLoad) -> None:
    # With EOF told to the other side, its traceback goes to standard error and says the rest.
    with connection:
        asyncio.run(_send_all(connection, bootstrap, load))


async def _send_all(connection: Connection, bootstrap: str, load: PacedLoad) -> None:
    records = list(paced_messages(load))
    partitions = partitions_of(pa.array([key for key, _ in records]), load.partitions)
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        enable_idempotence=True,
        max_batch_size=BATCH_BYTES,
    )
    # A collection would walk all records that wait, and the schedule with it.
    gc.freeze()
    gc.disable()
    async with producer:
        await producer.partitions_for(TOPIC)
        start_s = time.monotonic() + START_IN_S
        due_s = load.schedule.due_s(start_s)
        connection.send(start_s)
        lanes = [np.flatnonzero(partitions == partition) for partition in range(load.partitions)]
        late_s = await asyncio.gather(
            *(
                _send_partition(
                    producer, number, [records[at] for at in lane.tolist()], due_s[lane]
                )
                for number, lane in enumerate(lanes)
            )
        )
    connection.send(Sent(time.monotonic(), quantiles(np.concatenate(late_s))))


async def _send_partition(
    producer: AIOKafkaProducer, partition: int, records: Sequence[Message], due_s: Float64s
) -> Float64s:
    """Send the records of one partition as they fall due; return how late each was [s]."""
    sent, sent_s = 0, np.empty(len(records))
    deliveries: list[asyncio.Future[object]] = []
    while sent < len(records):
        await asyncio.sleep(max(TICK_S, due_s[sent] - time.monotonic()))
        now = time.monotonic()
        due = int(np.searchsorted(due_s, now, side="right"))
        batch = producer.create_batch()
        first = sent
        while sent < due and batch.append(
            key=records[sent][0], value=records[sent][1], timestamp=None, headers=NO_HEADERS
        ):
            sent += 1
        if batch.record_count():
            batch.close()
            # Waits while the batch before is on its way; then more is due.
            deliveries.append(await producer.send_batch(batch, TOPIC, partition=partition))
            sent_s[first:sent] = time.monotonic()
    await asyncio.gather(*deliveries)
    return np.maximum(0.0, sent_s - due_s)
