"""The settings of a worker: one frozen value, read once from CARBONFLOW_* and passed in."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from schemas.catalogue import ACTIVITY_TOPICS, LATE_OF
from schemas.fetching import FETCH_WAIT_MS_MAX
from schemas.settings import BrokerSettings

SLICE_RECORDS_MAX: Final = {"memory": 65_536, "rocksdb": 6_144}
"""The larger a slice, the less a record costs; with accounts on disk there is memory for few."""

RECORD_BYTES: Final = 256
"""More than a session or a trip takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings(BrokerSettings):
    """How a worker works.

    Attributes:
        group: Consumer group and application id, without the prefix.
        instance: Static member id; unique among the running workers, stable over restarts.
        programmes: Files of programmes beside the shipped ones.
        data_dir: Where Faust keeps its own files, and RocksDB the accounts.
        store: Where accounts are held; both are restored from the topic of balances.
        store_bytes_max: Memory of RocksDB's caches and buffers, for all partitions together.
        metrics_port: Port of the Prometheus endpoint; 0 switches it off.
        metrics_host: Address it listens on.
        slice_records_max: Records of one slice; 0 is what the store leaves memory for.
        slice_ms_max: How long a slice should take; those that take longer get fewer records.
        slice_bytes_max: Bytes fetched from one partition at a time; 0 is a slice or more.
        buffer_slices_max: Slices that wait for the worker before partitions are paused.
        fetch_wait_ms_max: How long a broker may hold a fetch that finds nothing.
        fetch_apart_ms: How far apart fetches begin while no backlog waits: the further, the larger
            the slices, and the cheaper a record.
        dedupe_days: How long the identity of an event is remembered.
        session_timeout_s: After it the group gives the partitions of a silent worker away.
        transaction_timeout_ms: After it the broker aborts an abandoned transaction.
        startup_wait_s_max: How long to wait for broker and topics.
        late_events: Ask the store about events that may be forgotten repeats, or refuse them.
        sink_group: Consumer group of the sink that fills that store, without the prefix.
        breaker_records: Refused records of one source in a row that stop the worker; 0 is never.
        breaker_share: Share of a source's records, refused, that stops it; 0 is never.
        breaker_share_records: Records of a source that the share is taken over at least.
        breaker_hold_s: How long a worker whose breaker has opened tells so before it ends.
    """

    group: str = "carbonflow"
    instance: str = field(default_factory=socket.gethostname)
    programmes: tuple[str, ...] = ()
    data_dir: Path = Path(".carbonflow/worker")
    store: Literal["memory", "rocksdb"] = "memory"
    store_bytes_max: int = 32 << 20
    metrics_port: int = 0
    metrics_host: str = "127.0.0.1"
    slice_records_max: int = 0
    slice_ms_max: int = 500
    slice_bytes_max: int = 0
    buffer_slices_max: int = 8
    fetch_wait_ms_max: int = FETCH_WAIT_MS_MAX
    fetch_apart_ms: int = 100
    dedupe_days: int = 35
    session_timeout_s: int = 10
    transaction_timeout_ms: int = 10_000
    startup_wait_s_max: int = 60
    late_events: Literal["refuse", "ask"] = "refuse"
    sink_group: str = "carbonflow-sink"
    breaker_records: int = 10_000
    breaker_share: float = 0.5
    breaker_share_records: int = 10_000
    breaker_hold_s: int = 60

    def __post_init__(self) -> None:
        """Fill in what follows from other settings."""
        BrokerSettings.__post_init__(self)  # `super` does not know a class with slots.
        if not self.slice_records_max:
            object.__setattr__(self, "slice_records_max", SLICE_RECORDS_MAX[self.store])
        if not self.slice_bytes_max:
            object.__setattr__(self, "slice_bytes_max", RECORD_BYTES * self.slice_records_max)

    @property
    def source_topics(self) -> tuple[str, ...]:
        """The topics it works: those of activities, and their late lanes if it asks the store."""
        return (*ACTIVITY_TOPICS, *(LATE_OF.values() if self.late_events == "ask" else ()))

    @property
    def group_id(self) -> str:
        """The consumer group with the deployment's prefix."""
        return self.prefix + self.group

    def accounts_dir(self, partition: int) -> Path:
        """Return where RocksDB keeps the accounts of a partition."""
        return self.data_dir / "accounts" / str(partition)
