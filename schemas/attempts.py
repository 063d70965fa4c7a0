"""Attempts: what a record that was refused and sent again says about itself, in its headers.

    replay_of   the refusal it was sent again for: partition and offset in `refusals`, `2-1200`
    attempt     how often it has been sent again, from 1

Both travel with it: a worker that refuses it again copies them into the next refusal, and one that
puts it into the right partition copies them, too. Other programs may have a header `attempt` of
their own, so one counts only beside `replay_of`.

On `refusals` a message of the origin `replay` says that a refusal of its partition was sent again.
It is no refusal itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from schemas.catalogue import ACTIVITY_TOPICS, TOPICS
from schemas.columns import decode

ATTEMPT: Final = "attempt"
REPLAY_OF: Final = "replay_of"
REPLAY: Final = "replay"
"""The origin of a message on `refusals` that says a refusal was sent again."""

_PLACE: Final = re.compile(rb"\d{1,9}-\d{1,18}")
_NUMBER: Final = re.compile(rb"\d{1,6}")


@dataclass(frozen=True, slots=True)
class Attempt:
    """Which attempt a record is, and for which refusal."""

    number: int
    replay_of: str

    def headers(self) -> list[tuple[str, bytes]]:
        """Return the headers that say so."""
        return [(ATTEMPT, str(self.number).encode()), (REPLAY_OF, self.replay_of.encode())]


def attempt_of(headers: Iterable[tuple[str, bytes]]) -> Attempt | None:
    """Return which attempt a record with such headers is; None for one that was never sent again.

    >>> attempt_of([("attempt", b"2"), ("replay_of", b"3-1200")])
    Attempt(number=2, replay_of='3-1200')
    """
    given = dict(headers)
    number, place = given.get(ATTEMPT, b""), given.get(REPLAY_OF, b"")
    if not (_NUMBER.fullmatch(number) and _PLACE.fullmatch(place)):
        return None
    return Attempt(int(number), place.decode())


@dataclass(frozen=True, slots=True)
class Sender:
    """Whose a refused record is, as far as it can be read."""

    source: str
    account_id: str


def senders(
    topics: Sequence[str], keys: Sequence[bytes | None], values: Sequence[bytes | None]
) -> list[Sender]:
    """Return whose refused records are, n of them.

    A record that cannot be read has no source; its account is its key, where that is text.

    Args:
        topics: Topic of each without prefix; a row of a file has none, and is nobody's.
        keys: Key of each.
        values: Value of each.
    """
    found = [
        Sender("", _text(key) if topic else "") for topic, key in zip(topics, keys, strict=True)
    ]
    for topic in ACTIVITY_TOPICS:
        record = TOPICS[topic].record
        at = [index for index, each in enumerate(topics) if each == topic]
        if record is None or not at:
            continue
        decoded = decode(record, [values[index] for index in at])
        columns = [_texts(decoded.batch, name) for name in ("source", "account_id")]
        for position, source, account in zip(decoded.positions.tolist(), *columns, strict=True):
            found[at[position]] = Sender(source, account)
    return found


def _texts(batch: pa.RecordBatch, name: str) -> list[str]:
    texts: list[str] = batch.column(name).to_pylist()
    return texts


def _text(key: bytes | None) -> str:
    try:
        return (key or b"").decode()
    except UnicodeDecodeError:
        return ""
