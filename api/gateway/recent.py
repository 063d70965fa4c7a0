"""Recent: events that the broker has, so that a repeat of one is not sent again.

It spares the pipeline repeats and tells a sender that it contradicts itself. Nothing rests on it:
the worker knows an event by the same identity for weeks, and books it once, so what is forgotten
here at a restart or by its limit is sent again and counted there as a duplicate.
"""

import secrets
from collections import OrderedDict
from enum import Enum, auto

import xxhash


class Before(Enum):
    """What is known of an event that comes in."""

    NEVER = auto()
    SAME = auto()
    OTHER = auto()
    """Of the same identity, with other values."""


class Recent:
    """The last events, by identity; the longest known are forgotten first.

    Args:
        most: How many.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._seed = secrets.randbits(63)
        # A plain dict would look for its first key behind all that were ever deleted.
        self._values: OrderedDict[bytes, bytes] = OrderedDict()

    def key(self, topic: str, account: str, source: str, number: str, revision: int) -> bytes:
        """Return what an event is known by: its kind, account, source, id and revision."""
        text = f"{topic}\0{account}\0{source}\0{number}\0{revision}"
        return xxhash.xxh3_128_digest(text.encode(), self._seed)

    def value(self, written: bytes) -> bytes:
        """Return what tells the values of a record, as it is written, from others."""
        return xxhash.xxh3_64_digest(written, self._seed)

    def before(self, key: bytes, value: bytes) -> Before:
        """Return what is known of an event."""
        known = self._values.get(key)
        if known is None:
            return Before.NEVER
        return Before.SAME if known == value else Before.OTHER

    def add(self, key: bytes, value: bytes) -> None:
        """Take in an event that the broker has."""
        if not self._most:
            return
        while len(self._values) >= self._most:
            self._values.popitem(last=False)
        self._values[key] = value
