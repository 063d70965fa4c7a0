"""The checksum of a Kafka record batch: CRC-32C, by the instruction that processors have for it.

aiokafka's takes eight times as long, and on the event loop: a fifth of what the loop of a worker
under load did.
"""

from __future__ import annotations

import google_crc32c


def crc32c(*parts: bytes) -> int:
    """Return the CRC-32C of bytes, one part after another.

    >>> hex(crc32c(b"12345", b"6789"))
    '0xe3069283'
    """
    checksum = 0
    for part in parts:
        checksum = google_crc32c.extend(checksum, part)
    return checksum
