"""The header `traceparent`: which span of which trace a record was sent in.

Only what is sampled is written: the rest would be bytes that nobody follows.

Source: W3C Trace Context, version 00.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

Headers: TypeAlias = list[tuple[str, bytes]]

TRACEPARENT: Final = "traceparent"
BYTES: Final = 55
"""Of a value: version, trace, span and flags in hexadecimal, and the dashes between them."""

_VALUE: Final = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def is_traceparent(text: str) -> bool:
    """Return whether a text names a span.

    >>> is_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    True
    >>> is_traceparent("00-00000000000000000000000000000000-00f067aa0ba902b7-01")
    False
    """
    return _VALUE.fullmatch(text) is not None


def is_sampled(traceparent: str) -> bool:
    """Return whether a span is recorded, by its flags."""
    return traceparent[-1] in "13579bdf"


def headers_of(traceparent: str | None) -> Headers | None:
    """Return the headers that say in which span a record is sent; None where it isn't recorded.

    Raises:
        ValueError: That is no traceparent.

    >>> headers_of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    [('traceparent', b'00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01')]
    >>> headers_of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")
    """
    if traceparent is None:
        return None
    if not is_traceparent(traceparent):
        raise ValueError(f"{traceparent!r} is no traceparent of version 00")
    return [(TRACEPARENT, traceparent.encode())] if is_sampled(traceparent) else None
