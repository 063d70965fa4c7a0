"""Records of a test as they come from a broker: in the bytes of batches, read by columns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from schemas.records import RecordColumns
from sinks.writer import Fetched
from tests.sinks.facts import T0_MS


@dataclass(frozen=True)
class Record:
    """A Kafka record."""

    value: bytes | None
    partition: int = 0
    offset: int = 0
    timestamp: int = T0_MS
    key: bytes | None = b"ann"
    headers: Sequence[tuple[str, bytes | None]] = ()


def fetched(records: Sequence[Record]) -> list[Fetched]:
    """Return records as a broker hands them over: neighbours of one partition together."""
    found = []
    for run in _runs(records):
        partition = run[0].partition
        batches = bytearray()
        for record in run:
            builder = DefaultRecordBatchBuilder(
                2, 0, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1,
                batch_size=1 << 20,
            )  # fmt: skip
            builder.append(0, record.timestamp, record.key, record.value, list(record.headers))
            batch = builder.build()
            batch[:8] = record.offset.to_bytes(8, "big")
            batches += batch
        columns = RecordColumns(
            bytes(batches),
            fetch_offset=0,
            aborted=[],
            read_committed=True,
            check_crcs=True,
            records_max=lambda: len(records),
        )
        found += [Fetched(partition, piece) for piece in columns]
    return found


def _runs(records: Sequence[Record]) -> Iterator[list[Record]]:
    """Yield neighbours of one partition in order of offset; one that comes again begins anew."""
    run: list[Record] = []
    for record in records:
        last = run[-1] if run else record
        if record.partition != last.partition or (run and record.offset <= last.offset):
            yield run
            run = []
        run.append(record)
    if run:
        yield run
