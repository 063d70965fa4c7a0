"""Probes: events of a load whose way through the stack is timed.

Every so many milliseconds one event of the load belongs to a probe account, of which there are a
few in each partition. The n-th probe of an account is visible as soon as its balance counts n
sessions, or as soon as a transfer of it can be read. Probes are sent on the load's own schedule,
in its batches, so that they fare as any event of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.generate import Load, Message, messages, sessions
from benchmarks.pacing import Float64s, Schedule
from schemas.columns import encode
from schemas.partition import partition_of

Int64s = npt.NDArray[np.int64]

ACCOUNTS_PER_PARTITION: Final = 16
_PREFIX: Final = "probe-"


@dataclass(frozen=True, slots=True, kw_only=True)
class PacedLoad:
    """A load at a steady rate, with probes in it.

    Attributes:
        schedule: When its events are due.
        partitions: Of the topic.
        probe_every_ms: Time from one probe to the next.
        seed: Another seed, other events.
    """

    schedule: Schedule
    partitions: int
    probe_every_ms: int = 50
    seed: int = 1

    @property
    def stride(self) -> int:
        """How many events there are from one probe to the next."""
        return max(1, round(self.schedule.rate_per_s * self.probe_every_ms / 1000))

    @property
    def probes(self) -> int:
        """How many probes there are."""
        return -(-self.schedule.events // self.stride)

    def probes_due_s(self, start_s: float) -> Float64s:
        """Return when each probe is due [s], if the first event is at `start_s`."""
        return self.schedule.due_s(start_s)[:: self.stride]


@dataclass(frozen=True, slots=True)
class ProbeAccounts:
    """The probe accounts: probe `k` belongs to account `k` modulo their number.

    Neighbours are in different partitions, so all partitions are probed alike.
    """

    names: tuple[str, ...]

    @classmethod
    def over(cls, partitions: int) -> "ProbeAccounts":
        """Return the probe accounts of a topic with so many partitions."""
        found: list[list[str]] = [[] for _ in range(partitions)]
        number = 0
        while min(map(len, found)) < ACCOUNTS_PER_PARTITION:
            name = f"{_PREFIX}{number:05d}"
            found[partition_of(name.encode(), partitions)].append(name)
            number += 1
        rounds = zip(*(names[:ACCOUNTS_PER_PARTITION] for names in found), strict=True)
        return cls(tuple(name for names in rounds for name in names))

    def of(self, probe: int) -> str:
        """Return the account of a probe."""
        return self.names[probe % len(self.names)]

    def ordinal(self, probe: int) -> int:
        """Return the how-manieth probe of its account a probe is, from 1."""
        return probe // len(self.names) + 1


def is_probe(key: bytes) -> bool:
    """Return whether a record's key is that of a probe account."""
    return key.startswith(_PREFIX.encode())


def session_id(probe: int) -> str:
    """Return the session of a probe."""
    return f"P{probe:09d}"


def probe_of(session: str) -> int:
    """Return the probe of a session.

    >>> probe_of(session_id(12))
    12
    """
    return int(session.removeprefix("P"))


def paced_messages(load: PacedLoad) -> Iterator[Message]:
    """Yield the records of a paced load in order, (key, value)."""
    probes = _probe_messages(load)
    ordinary = (
        message
        for chunk in messages(Load(events=load.schedule.events, seed=load.seed))
        for message in chunk
    )
    for number, message in enumerate(ordinary):
        yield probes[number // load.stride] if number % load.stride == 0 else message


def _probe_messages(load: PacedLoad) -> list[Message]:
    accounts = ProbeAccounts.over(load.partitions)
    numbers = np.arange(load.probes)
    batch = sessions(numbers, numbers, np.random.default_rng(load.seed))
    keys = [accounts.of(probe) for probe in numbers.tolist()]
    own = {"account_id": keys, "session_id": [session_id(probe) for probe in numbers.tolist()]}
    columns = [
        pa.array(own[name]) if name in own else batch.column(name) for name in batch.schema.names
    ]
    values = encode("charging_session", pa.record_batch(columns, names=batch.schema.names))
    return list(zip((key.encode() for key in keys), values, strict=True))
