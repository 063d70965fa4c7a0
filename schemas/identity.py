"""What an event is, in 64 bits: the hash by which an account remembers that it has seen it.

The hash is written into account balances, so it never changes: XXH64 with seed 0 over the UTF-8
bytes of kind, account, source, id and revision with a zero byte between them, read as a signed
number. The account belongs to it, because only its own account can remember an event: which others
share its partition must not matter.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import xxhash

from schemas.kernel import (
    Int32Array,
    Int64Array,
    Number,
    UInt8Array,
    UInt64Array,
    bytes_of,
    copy_bytes,
    kernel,
    word_at,
)

P1: Final = np.uint64(0x9E3779B185EBCA87)
P2: Final = np.uint64(0xC2B2AE3D27D4EB4F)
P3: Final = np.uint64(0x165667B19E3779F9)
P4: Final = np.uint64(0x85EBCA77C2B2AE63)
P5: Final = np.uint64(0x27D4EB2F165667C5)


def event_hash(kind: str, account: str, source: str, identity: str, revision: int) -> int:
    """Return the hash of one event.

    >>> event_hash("charging", "anna", "acn", "session-1", 0)
    5412285794691149530
    """
    text = "\0".join((kind, account, source, identity, str(revision)))
    hashed = xxhash.xxh64_intdigest(text.encode())
    return hashed - (hashed >> 63 << 64)


def event_hashes(
    kind: str, account: pa.Array, source: pa.Array, identity: pa.Array, revision: pa.Array
) -> Int64Array:
    """Return the hash of each event of a slice.

    Args:
        kind: charging or freight.
        account: Whose it is, strings without nulls, shape (n,).
        source: Who reports it, strings without nulls, shape (n,).
        identity: The session's or trip's id within source, strings without nulls, shape (n,).
        revision: Restatements of it, integers without nulls, shape (n,).

    Returns:
        Hash of each event, shape (n,).

    Raises:
        ValueError: A value is null.
    """
    parts = (account, source, identity, revision)
    if any(part.null_count for part in parts):
        raise ValueError("an event has no identity: a value is null")
    # All of an event's text, one part after another.
    columns = [_text(part) for part in (account, source, identity, revision.cast(pa.string()))]
    offsets = np.stack([offsets for offsets, _ in columns])
    longest = (
        len(kind.encode())
        + len(columns)
        + int((offsets[:, 1:] - offsets[:, :-1]).sum(axis=0).max(initial=0))
    )
    bases = np.cumsum([0, *(len(data) for _, data in columns[:-1])])
    hashes = np.empty(len(account), dtype=np.uint64)
    _hash_joined(
        bytes_of(kind.encode()),
        bytes_of(np.concatenate([data for _, data in columns])),
        offsets + bases[:, None],
        np.empty(longest, dtype=np.uint8),
        hashes,
    )
    return hashes.view(np.int64)


def joined(
    first: str, columns: Sequence[pa.Array], lasts: Sequence[str], *, separator: str = ":"
) -> pa.StringArray:
    """Return texts made of a first and a last word and columns between them.

    Args:
        first: Begins each text.
        columns: Strings without nulls, shape (n,) each.
        lasts: The words that end texts, k of them.
        separator: One byte that stands between the parts.

    Returns:
        Those that end with the first word, then those that end with the next, shape (k * n,).
    """
    parts = [_text(column) for column in columns]
    offsets = np.stack([offsets for offsets, _ in parts])
    bases = np.cumsum([0, *(len(data) for _, data in parts[:-1])])
    before, behind = first.encode(), [f"{separator}{last}".encode() for last in lasts]
    sizes = (offsets[:, 1:] - offsets[:, :-1]).sum(axis=0) + len(before) + len(columns)
    ends = np.zeros(len(lasts) * len(sizes) + 1, dtype=np.int32)
    np.cumsum(np.concatenate([sizes + len(word) for word in behind]), out=ends[1:])
    text = np.empty(int(ends[-1]), dtype=np.uint8)
    _join(
        bytes_of(before),
        bytes_of(np.concatenate([data for _, data in parts])),
        offsets + bases[:, None],
        bytes_of(b"".join(behind)),
        np.cumsum([0, *(len(word) for word in behind)]),
        ord(separator),
        ends,
        text,
    )
    return pa.StringArray.from_buffers(len(ends) - 1, pa.py_buffer(ends), pa.py_buffer(text))


def text_hashes(texts: pa.StringArray) -> Int64Array:
    """Return the XXH64 of each string of a column without nulls, shape (n,)."""
    offsets, data = _text(texts)
    hashes = np.empty(len(texts), dtype=np.uint64)
    _hash_each(bytes_of(data), offsets.astype(np.int64), hashes)
    return hashes.view(np.int64)


def _text(column: Any) -> tuple[Int64Array, UInt8Array]:
    """Return the offsets of strings, from 0, and their bytes."""
    offsets: Int32Array = np.frombuffer(
        column.buffers()[1], np.int32, len(column) + 1, column.offset * 4
    )
    begin, end = int(offsets[0]), int(offsets[-1])
    data = column.buffers()[2]
    text = np.frombuffer(data, np.uint8, end - begin, begin) if end > begin else bytes_of(b"")
    return offsets.astype(np.int64) - begin, text


@kernel
def _hash_each(data: UInt8Array, offsets: Int64Array, hashes: UInt64Array) -> None:
    for row in range(len(hashes)):
        hashes[row] = xxh64(data, offsets[row], offsets[row + 1])


@kernel
def _join(
    before: UInt8Array,
    data: UInt8Array,
    offsets: Int64Array,
    behind: UInt8Array,
    behind_offsets: Int64Array,
    separator: int,
    ends: Int32Array,
    text: UInt8Array,
) -> None:
    rows = offsets.shape[1] - 1
    for last in range(len(behind_offsets) - 1):
        begin_behind, end_behind = behind_offsets[last], behind_offsets[last + 1]
        for row in range(rows):
            at = np.int64(ends[last * rows + row])
            if last == 0:
                at = copy_bytes(text, at, before, 0, len(before))
                for part in range(offsets.shape[0]):
                    text[at] = separator
                    begin, end = offsets[part, row], offsets[part, row + 1]
                    at = copy_bytes(text, at + 1, data, begin, end - begin)
            else:
                begin, end = ends[row], np.int64(ends[row + 1]) - behind_offsets[1]
                at = copy_bytes(text, at, text, begin, end - begin)
            copy_bytes(text, at, behind, begin_behind, end_behind - begin_behind)


@kernel
def _hash_joined(
    kind: UInt8Array,
    data: UInt8Array,
    offsets: Int64Array,
    joined: UInt8Array,
    hashes: UInt64Array,
) -> None:
    """Hash kind and parts of each row, joined by zero bytes."""
    for row in range(len(hashes)):
        at = copy_bytes(joined, 0, kind, 0, len(kind))
        for part in range(offsets.shape[0]):
            joined[at] = 0
            begin, end = offsets[part, row], offsets[part, row + 1]
            at = copy_bytes(joined, at + 1, data, begin, end - begin)
        hashes[row] = xxh64(joined, 0, at)


@kernel
def xxh64(data: UInt8Array, at: int, end: int) -> Number:
    """Return the XXH64 of bytes with seed 0, as its specification has it."""
    state: Number
    size = np.uint64(end - at)
    if end - at >= 32:
        one, two, three, four = P1 + P2, P2, np.uint64(0), np.uint64(0) - P1
        while end - at >= 32:
            one = _mixed(one, word_at(data, at))
            two = _mixed(two, word_at(data, at + 8))
            three = _mixed(three, word_at(data, at + 16))
            four = _mixed(four, word_at(data, at + 24))
            at += 32
        state = _left(one, 1) + _left(two, 7) + _left(three, 12) + _left(four, 18)
        for lane in (one, two, three, four):
            state = (state ^ _mixed(np.uint64(0), lane)) * P1 + P4
    else:
        state = P5
    state += size
    while end - at >= 8:
        state = _left(state ^ _mixed(np.uint64(0), word_at(data, at)), 27) * P1 + P4
        at += 8
    if end - at >= 4:
        word = np.uint64(0)
        for index in range(4):
            word |= np.uint64(data[at + index]) << np.uint64(8 * index)
        state = _left(state ^ (word * P1), 23) * P2 + P3
        at += 4
    while at < end:
        state = _left(state ^ (np.uint64(data[at]) * P5), 11) * P1
        at += 1
    state = (state ^ (state >> np.uint64(33))) * P2
    state = (state ^ (state >> np.uint64(29))) * P3
    return state ^ (state >> np.uint64(32))


@kernel
def _mixed(lane: Number, word: Number) -> Number:
    return _left(lane + word * P2, 31) * P1


@kernel
def _left(word: Number, bits: int) -> Number:
    return (word << np.uint64(bits)) | (word >> np.uint64(64 - bits))
