"""Packing: the records of a batch, compressed and back, and never more than a limit of them.

Ten kilobytes of zstd can stand for hundreds of megabytes, and four bytes of snappy can ask for four
gigabytes. Who writes to a topic decides what it is read with, so a batch is unpacked into room of a
known size, and one that does not fit is as corrupt as one that is damaged.

Source: Apache Kafka protocol guide, record batch v2: gzip, snappy (raw or in xerial's blocks), LZ4
frames, zstd.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

import cramjam
import numpy as np
import pyarrow as pa
from aiokafka.errors import CorruptRecordException

from schemas.kernel import UInt8Array, bytes_of

UNPACKED_BYTES_MAX: Final = 64 << 20
"""Records of one batch; brokers take a packed one of 1 MiB unless they are told otherwise."""

SNAPPY: Final = 2
"""aiokafka's number of the codec. Repeated names shrink to a fifth for little time."""

BLOCK_BYTES: Final = 64 << 10
"""How much snappy looks back over; smaller blocks than that take longer and shrink less."""

INTO: Final[Mapping[int, Callable[[Any, Any], int]]] = {
    1: cramjam.gzip.decompress_into,
    3: cramjam.lz4.decompress_into,
    4: cramjam.zstd.decompress_into,
}
USUAL_RATIO: Final = 16
"""Most batches shrink less than that, so they need no room of the largest size."""

XERIAL: Final = b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)
"""Begins a stream in blocks; the numbers are its version and the least that can read it."""


def packed(records: memoryview) -> bytes:
    """Return records compressed with snappy, in the blocks in which clients of Java want them."""
    # Arrow's is Google's own, which takes a fifth less than the one that aiokafka would use.
    snappy, parts = pa.Codec("snappy"), [XERIAL]
    for at in range(0, len(records), BLOCK_BYTES):
        block = snappy.compress(records[at : at + BLOCK_BYTES])
        parts += (struct.pack(">I", block.size), block)
    # Joined at once: each block lies at the beginning of room for one that did not shrink.
    return b"".join(parts)


def unpacked(codec: int, packed: bytes) -> UInt8Array:
    """Return what the records of a batch were before they were compressed.

    Raises:
        CorruptRecordException: It is no such compression, damaged, or more than the limit.
    """
    try:
        if codec == SNAPPY:
            return bytes_of(_of_snappy(packed))
        return bytes_of(_of_stream(INTO[codec], packed))
    except KeyError:
        raise CorruptRecordException(f"unknown compression {codec}") from None
    except (cramjam.DecompressionError, struct.error) as error:
        raise CorruptRecordException(f"cannot unpack compression {codec}: {error}") from error


def _of_stream(into: Callable[[Any, Any], int], packed: bytes) -> UInt8Array:
    try:
        return _into_room(into, packed, min(USUAL_RATIO * len(packed) + 4096, UNPACKED_BYTES_MAX))
    except cramjam.DecompressionError:
        # Damaged or well packed; nothing but more room tells.
        return _into_room(into, packed, UNPACKED_BYTES_MAX)


def _into_room(into: Callable[[Any, Any], int], packed: bytes, room: int) -> UInt8Array:
    out: UInt8Array = np.empty(room, dtype=np.uint8)
    return out[: into(packed, out)].copy()


def _of_snappy(packed: bytes) -> bytes:
    if not packed.startswith(XERIAL):
        return _of_block(packed, UNPACKED_BYTES_MAX)
    blocks, at, room = [], len(XERIAL), UNPACKED_BYTES_MAX
    while at < len(packed):
        (size,) = struct.unpack_from(">I", packed, at)
        block = _of_block(packed[at + 4 : at + 4 + size], room)
        blocks.append(block)
        at, room = at + 4 + size, room - len(block)
    return b"".join(blocks)


def _of_block(block: bytes, room: int) -> bytes:
    if cramjam.snappy.decompress_raw_len(block) > room:
        raise CorruptRecordException(f"cannot unpack more than {UNPACKED_BYTES_MAX} bytes")
    found: Any = cramjam.snappy.decompress_raw(block)
    return bytes(found)
