"""Which partition a key belongs to: murmur2, as the Java client's default partitioner computes it.

Every account lives in one partition, so producers and workers must agree on it to the bit.

Source: Apache Kafka, org.apache.kafka.common.utils.Utils.murmur2 and toPositive. Its seed is
0x9747b28c. librdkafka's default is CRC32 and therefore another partition.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
UInt32Array = npt.NDArray[np.uint32]

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
    hashes = _murmur2_all(column.buffers()[2], offsets.astype(np.int64))
    return ((hashes & np.uint32(0x7FFFFFFF)) % np.uint32(partitions)).astype(np.int32)


def _murmur2_all(data: Any, offsets: Int64Array) -> UInt32Array:
    """Return the hash of each run of bytes between neighbouring offsets."""
    begins, lengths = offsets[:-1] - offsets[0], np.diff(offsets)
    # Four spare bytes let a word be read at any byte, also at the last one.
    text = bytes(memoryview(data)[offsets[0] : offsets[-1]]) + bytes(4) if data else bytes(4)
    words = np.ndarray(shape=(len(text) - 3,), dtype="<u4", buffer=text, strides=(1,))
    m, shift_13, shift_15, shift_24 = (np.uint32(number) for number in (_M, 13, 15, 24))

    state = np.uint32(_SEED) ^ lengths.astype(np.uint32)
    longer = np.arange(len(lengths))
    for at in range(0, int(lengths.max()) & ~3, 4):
        longer = longer[lengths[longer] >= at + 4]
        word = words[begins[longer] + at] * m
        state[longer] = (state[longer] * m) ^ ((word ^ (word >> shift_24)) * m)
    left = (lengths & 3).astype(np.uint32)
    tail = words[begins + (lengths & ~3)] & ((np.uint32(1) << (left * np.uint32(8))) - np.uint32(1))
    state = np.where(left > 0, (state ^ tail) * m, state)
    state = (state ^ (state >> shift_13)) * m
    return state ^ (state >> shift_15)
