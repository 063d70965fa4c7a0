"""Which partition a key belongs to: murmur2, as the Java client's default partitioner computes it.

Every account lives in one partition, so producers and workers must agree on it to the bit.

Source: Apache Kafka, org.apache.kafka.common.utils.Utils.murmur2 and toPositive. Its seed is
0x9747b28c. librdkafka's default is CRC32 and therefore another partition.
"""

from typing import Any, Final

import numpy as np
import pyarrow as pa

from schemas.kernel import Int32Array, UInt8Array, bytes_of, kernel

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_BITS: Final = 0xFFFFFFFF


def murmur2(key: bytes) -> int:
    """Return the unsigned 32-bit hash of a key.

    >>> murmur2(b"21") - 2**32          # the value Kafka's own UtilsTest expects
    -973932308
    """
    whole = len(key) & ~3
    state = _SEED ^ len(key)
    for at in range(0, whole, 4):
        word = int.from_bytes(key[at : at + 4], "little") * _M & _BITS
        state = (state * _M & _BITS) ^ ((word ^ word >> 24) * _M & _BITS)
    if tail := key[whole:]:
        state = (state ^ int.from_bytes(tail, "little")) * _M & _BITS
    state = (state ^ state >> 13) * _M & _BITS
    return state ^ state >> 15


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a key, 0 <= partition < partitions.

    >>> partition_of(b"21", 4)
    0
    """
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def partitions_of(keys: pa.Array | pa.ChunkedArray, partitions: int) -> Int32Array:
    """Return the partition of each key of a column.

    Args:
        keys: Strings or binaries without nulls, shape (n,).
        partitions: How many partitions the topic has.

    Returns:
        Partition of each key, shape (n,).

    Raises:
        ValueError: A key is null; a message without a key has no partition of its own.
    """
    if keys.null_count:
        raise ValueError("a key is null")
    column: Any = keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys
    if len(column) == 0:
        return np.empty(0, dtype=np.int32)
    column = column.cast(pa.binary())
    offsets = np.frombuffer(column.buffers()[1], np.int32, len(column) + 1, column.offset * 4)
    found = np.empty(len(column), dtype=np.int32)
    _partitions(bytes_of(column.buffers()[2] or b""), offsets, partitions, found)
    return found


@kernel
def _partitions(data: UInt8Array, offsets: Int32Array, partitions: int, found: Int32Array) -> None:
    m, bits = np.uint64(_M), np.uint64(_BITS)
    for row in range(len(found)):
        at, end = np.int64(offsets[row]), np.int64(offsets[row + 1])
        state = np.uint64(_SEED) ^ np.uint64(end - at)
        while end - at >= 4:
            word = np.uint64(0)
            for index in range(4):
                word |= np.uint64(data[at + index]) << np.uint64(8 * index)
            word = word * m & bits
            state = (state * m & bits) ^ ((word ^ (word >> np.uint64(24))) * m & bits)
            at += 4
        if at < end:
            word = np.uint64(0)
            for index in range(end - at):
                word |= np.uint64(data[at + index]) << np.uint64(8 * index)
            state = (state ^ word) * m & bits
        state = (state ^ (state >> np.uint64(13))) * m & bits
        state ^= state >> np.uint64(15)
        found[row] = np.int64(state & np.uint64(0x7FFFFFFF)) % partitions
