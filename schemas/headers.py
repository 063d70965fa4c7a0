"""Headers of fetched records: those of one record, or as columns the values of one name."""

from __future__ import annotations

import numpy as np

from schemas.kernel import Int64Array, UInt8Array, bytes_of, kernel, read_varint, varint_at
from schemas.raw import NULL, Raw


def headers_at(data: UInt8Array, at: int) -> list[tuple[str, bytes]]:
    """Return the headers that begin at a place; a null value reads as empty."""
    count, at = varint_at(data, at)
    headers = []
    for _ in range(count):
        size, at = varint_at(data, at)
        name = data[at : at + size].tobytes().decode()
        size, at = varint_at(data, at + size)
        headers.append((name, data[at : at + max(size, 0)].tobytes()))
        at += max(size, 0)
    return headers


def header_values(data: UInt8Array, headers_at: Int64Array, name: str) -> Raw:
    """Return the value of each record's first header of a name, null where it has none.

    Args:
        data: The buffer of the records, whose headers have been checked.
        headers_at: Where in it the headers of each begin, shape (n,).
        name: The name.
    """
    begins = np.zeros(len(headers_at), dtype=np.int64)
    sizes = np.full(len(headers_at), NULL, dtype=np.int64)
    have = np.flatnonzero(data[headers_at] != 0)
    if len(have):
        _find(data, headers_at, have, bytes_of(name.encode()), begins, sizes)
    return Raw(data, begins, sizes)


@kernel
def _find(
    data: UInt8Array,
    headers_at: Int64Array,
    have: Int64Array,
    name: UInt8Array,
    begins: Int64Array,
    sizes: Int64Array,
) -> None:
    """Note where the value of the first header of a name is, in records that have headers."""
    for row in have:
        count, at = read_varint(data, headers_at[row], len(data))
        for _ in range(count):
            size, at = read_varint(data, at, len(data))
            same = size == len(name)
            for index in range(len(name)):
                if not same:
                    break
                same = data[at + index] == name[index]
            size, at = read_varint(data, at + size, len(data))
            if same:
                begins[row], sizes[row] = at, max(size, NULL)
                break
            at += max(size, 0)
