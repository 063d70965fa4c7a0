"""The checksum of a Kafka record batch: CRC-32C, by the instruction that processors have for it.

aiokafka's takes eight times as long, and on the event loop: a fifth of what the loop of a worker
under load did.
"""

from __future__ import annotations

import google_crc32c


def crc32c(data: bytes | bytearray | memoryview) -> int:
    """Return the CRC-32C of bytes.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    checksum: int = google_crc32c.value(bytes(data))  # It takes nothing else; a copy is quick.
    return checksum
