"""Cursors: where a page ended, as text a client hands back unread.

A cursor holds the key of the last row it saw, not a count of rows, so pages stay right while rows
are added. It is not a secret; it only looks like nothing one should take apart.
"""

import base64
import binascii
import json


class CursorError(ValueError):
    """The text is not a cursor of this list."""


def to_cursor(key: tuple[str | int, ...]) -> str:
    """Return the cursor of a row's key.

    >>> from_cursor(to_cursor((1609459200000, "charging:a:1:0:emission:0")), int, str)
    (1609459200000, 'charging:a:1:0:emission:0')
    """
    text = json.dumps(key, ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def from_cursor(cursor: str, *types: type[int] | type[str]) -> tuple[int | str, ...]:
    """Return the key a cursor holds, which must have these types.

    Raises:
        CursorError: It is not such a cursor.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        key = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError) as error:
        raise CursorError("not a cursor") from error
    if not isinstance(key, list) or [type(part) for part in key] != list(types):
        raise CursorError("not a cursor of this list")
    if any(isinstance(part, int) and not -(2**63) <= part < 2**63 for part in key):
        raise CursorError("not a cursor of this list")
    return tuple(key)
