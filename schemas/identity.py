"""What an event is, in 64 bits: the hash by which an account remembers that it has seen it.

The hash is written into account balances, so it never changes: XXH64 with seed 0 over the UTF-8
bytes of kind, account, source, id and revision with a zero byte between them, read as a signed
number. The account belongs to it, because only its own account can remember an event: which others
share its partition must not matter.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

Int64Array = npt.NDArray[np.int64]


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
    joined: Any = pc.binary_join_element_wise(
        pa.scalar(kind), account, source, identity, revision.cast(pa.string()), "\0"
    )
    texts = joined.cast(pa.binary()).to_pylist()
    unsigned = np.fromiter(map(xxhash.xxh64_intdigest, texts), np.uint64, len(texts))
    return unsigned.view(np.int64)
