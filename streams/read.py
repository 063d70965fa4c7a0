"""Reading: what the records of a slice say, before accounts or rules are asked about them. Pure.

Most of it is done by kernels that hold no lock, so a worker reads one partition's slice while it
steps that of another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from carbon.accept import broken_by_message
from carbon.exact import BoolArray, Int64Array
from carbon.limits import TEXT_BYTES_MAX
from carbon.refusal import ACCEPTED, NUMBER, REFUSALS
from schemas.batches import BATCH_BYTES_MAX
from schemas.columns import decode
from schemas.identity import event_hashes
from schemas.raw import NULL, Raw
from streams.activities import RECORD_OF_TOPIC, Activities, activities_of
from streams.slice import Slice

VALUE_BYTES_MAX: Final = BATCH_BYTES_MAX
"""A larger value might not fit into a message of ours, refused or put right."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that was said no to: its position in the slice, code and sentence."""

    position: int
    code: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class ReadSlice:
    """A slice and what its records say.

    Attributes:
        part: The slice.
        activities: The records that could be read, n of them.
        names: account_id of the k accounts they name.
        account: Index of the account of each, shape (n,).
        positions: Position of each in the slice, shape (n,).
        hashes: Identity of each event, shape (n,).
        refusal: Why each cannot be an event, ACCEPTED where it can, shape (n,).
        unreadable: Records that could not be read.
    """

    part: Slice
    activities: Activities
    names: pa.StringArray
    account: Int64Array
    positions: Int64Array
    hashes: Int64Array
    refusal: Int64Array
    unreadable: list[Refused]


def read(part: Slice) -> ReadSlice:
    """Read one slice of an activity topic."""
    record = RECORD_OF_TOPIC[part.source_topic]
    values, large = _without_large(part.values)
    decoded = decode(record, values)
    activities = activities_of(record, decoded.batch)
    hashes = event_hashes(
        activities.kind,
        activities.account,
        activities.source,
        activities.activity_id,
        activities.revision,
    )
    unreadable = [
        Refused(bad.position, "too_large", REFUSALS["too_large"])
        if bad.position in large
        else Refused(bad.position, bad.code, bad.reason)
        for bad in decoded.refused
    ]
    encoded = activities.account.dictionary_encode()
    return ReadSlice(
        part=part,
        activities=activities,
        names=encoded.dictionary,
        account=encoded.indices.to_numpy(),
        positions=decoded.positions,
        hashes=hashes,
        refusal=refusals_of(activities, part.timestamps_ms[decoded.positions]),
        unreadable=unreadable,
    )


def refuse(refusal: Int64Array, mask: BoolArray, code: str) -> None:
    """Refuse the rows of a mask that are not refused yet."""
    refusal[mask & (refusal == ACCEPTED)] = NUMBER[code]


def _without_large(values: Raw) -> tuple[Raw, set[int]]:
    """Return the values without those that could not be sent on, and the positions of those."""
    large = values.sizes > VALUE_BYTES_MAX
    if not large.any():
        return values, set()
    kept = Raw(values.data, values.begins, np.where(large, NULL, values.sizes))
    return kept, set(np.flatnonzero(large).tolist())


def refusals_of(activities: Activities, timestamps_ms: Int64Array) -> Int64Array:
    """Return why each activity cannot be an event, whatever the accounts and the rules.

    Args:
        activities: n of them.
        timestamps_ms: When their messages were written, shape (n,).
    """
    refusal = np.zeros(len(activities), dtype=np.int64)
    invalid = _holds(activities.source, ":")
    long = np.zeros(len(activities), dtype=np.bool_)
    for column in (activities.source, activities.activity_id, activities.account):
        size = pc.binary_length(column).to_numpy()
        # The hash of an event separates its parts by zero bytes.
        invalid |= _holds(column, "\0") | (size == 0)
        long |= size > TEXT_BYTES_MAX
    revision = activities.revision.to_numpy()
    refuse(refusal, invalid, "identity_invalid")
    refuse(refusal, long, "identity_too_long")
    for broken, code in broken_by_message(timestamps_ms, revision):
        refuse(refusal, broken, code)
    refuse(refusal, revision > 0, "original_unknown")
    return refusal


def _holds(column: pa.StringArray, letter: str) -> BoolArray:
    """Return which strings hold a letter of one byte; one look at all of them where none does."""
    text = column.buffers()[2]
    if text is None or not (np.frombuffer(text, dtype=np.uint8) == ord(letter)).any():
        return np.zeros(len(column), dtype=np.bool_)
    found: BoolArray = pc.match_substring(column, letter).to_numpy(zero_copy_only=False)
    return found
