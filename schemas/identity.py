"""What an event is, in 64 bits: the hash by which an account remembers that it has seen it.

The hash is written into account balances, so it never changes: XXH64 with seed 0 over the UTF-8
bytes of source, id and revision with a zero byte between them, read as a signed number.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

Int64Array = npt.NDArray[np.int64]


def event_hash(source: str, identity: str, revision: int) -> int:
    """Return the hash of one event.

    >>> event_hash("acn", "session-1", 0)
    7763455420604292702
    """
    hashed = xxhash.xxh64_intdigest(f"{source}\0{identity}\0{revision}".encode())
    return hashed - (hashed >> 63 << 64)


def event_hashes(source: pa.Array, identity: pa.Array, revision: pa.Array) -> Int64Array:
    """Return the hash of each event of a slice.

    Args:
        source: Who reports it, strings without nulls, shape (n,).
        identity: The session's or trip's id within source, strings without nulls, shape (n,).
        revision: Restatements of it, integers without nulls, shape (n,).

    Returns:
        Hash of each event, shape (n,).

    Raises:
        ValueError: A value is null.
    """
    if source.null_count or identity.null_count or revision.null_count:
        raise ValueError("an event has no identity: a value is null")
    kind = pa.string()
    joined: Any = pc.binary_join_element_wise(source, identity, revision.cast(kind), "\0")
    texts = joined.cast(pa.binary()).to_pylist()
    unsigned = np.fromiter(map(xxhash.xxh64_intdigest, texts), np.uint64, len(texts))
    return unsigned.view(np.int64)
