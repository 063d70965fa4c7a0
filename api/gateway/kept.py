"""Kept: OCPI Sessions that are not over yet, in a file, so that a PATCH finds what it changes.

A Session is whole only in its first PUT; what follows may be a PATCH of what changed. So it is kept
until it is over and the broker has it, or nothing was heard of it for some days. The file is SQLite
in WAL mode: what was taken in survives `kill -9`. It has natural ids in it (the driver's contract),
and belongs to one process and its user alone.

An update that is older than what is kept changes nothing: OCPI's messages may overtake each other.
"""

import json
import os
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

DAY_MS: Final = 86_400_000
LOCK_S_MAX: Final = 1.0

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS sessions (
    sender TEXT NOT NULL, country TEXT NOT NULL, party TEXT NOT NULL, id TEXT NOT NULL,
    updated_ms INTEGER NOT NULL, heard_ms INTEGER NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY (sender, country, party, id)
) WITHOUT ROWID
"""


class KeptError(Exception):
    """The file cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Whose Session it is, and which; OCPI tells no cases apart in any of it."""

    sender: str
    country: str
    party: str
    id: str

    @classmethod
    def of(cls, sender: str, country: str, party: str, number: str) -> "Place":
        """Return the place in one spelling."""
        return cls(sender, country.upper(), party.upper(), number.upper())

    @property
    def key(self) -> tuple[str, str, str, str]:
        """As the file has it."""
        return (self.sender, self.country, self.party, self.id)


class Kept:
    """Sessions that are not over.

    Args:
        path: The file; made where missing.
        days: How long one is kept after it was heard of [d].
        clock_ms: The time.

    Raises:
        KeptError: It cannot be opened, or is another's.
    """

    def __init__(self, path: Path, *, days: int, clock_ms: Callable[[], int]) -> None:
        self._days_ms, self._clock_ms = days * DAY_MS, clock_ms
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._file = sqlite3.connect(path, timeout=LOCK_S_MAX, isolation_level=None)
            # Another gateway over the same file would take in half of a Session each.
            self._file.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = NORMAL")
            self._file.execute(_TABLE)
        except (OSError, sqlite3.Error) as error:
            raise KeptError(f"{path}: {error}") from error

    def close(self) -> None:
        """End."""
        self._file.close()

    def get(self, place: Place) -> dict[str, Any] | None:
        """Return a Session that is kept."""
        row = self._file.execute(
            "SELECT document FROM sessions WHERE sender=? AND country=? AND party=? AND id=?",
            place.key,
        ).fetchone()
        if row is None:
            return None
        document: dict[str, Any] = json.loads(row[0])
        return document

    def put(self, place: Place, document: Mapping[str, Any], updated_ms: int) -> bool:
        """Keep a Session, or return False: what is kept is newer."""
        done = self._file.execute(
            "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET updated_ms = excluded.updated_ms, "
            "heard_ms = excluded.heard_ms, document = excluded.document "
            "WHERE excluded.updated_ms >= sessions.updated_ms",
            (*place.key, updated_ms, self._clock_ms(), json.dumps(document)),
        )
        return done.rowcount > 0

    def forget(self, place: Place, updated_ms: int) -> None:
        """Keep a Session no longer, unless it has been updated since."""
        self._file.execute(
            "DELETE FROM sessions WHERE sender=? AND country=? AND party=? AND id=? "
            "AND updated_ms=?",
            (*place.key, updated_ms),
        )

    def forget_old(self) -> int:
        """Keep none that was not heard of for too long; return how many those were."""
        heard_ms = self._clock_ms() - self._days_ms
        return self._file.execute("DELETE FROM sessions WHERE heard_ms < ?", (heard_ms,)).rowcount

    def __len__(self) -> int:
        (count,) = self._file.execute("SELECT count(*) FROM sessions").fetchone()
        return int(count)
