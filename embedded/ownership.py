"""One owner for a folder: a lock that the kernel gives back when its owner ends, however it ends.

The lock file holds one JSON object that says who owns the folder, for the message to whoever comes
second. It stays when the owner ends; only the lock on it counts.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO


class InUseError(Exception):
    """Somebody else owns the folder; `owner` is what they left in the lock file."""

    def __init__(self, folder: Path, owner: Mapping[str, object]) -> None:
        """Say who owns which folder."""
        who = owner.get("what", "a process")
        super().__init__(f"{folder} is in use by {who}, process {owner.get('pid', 'unknown')}")
        self.owner = owner


class UnusableError(Exception):
    """The folder cannot be made, or nothing can be written into it; the message says why."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """A held lock; `release` gives it back, and so does the end of the process."""

    path: Path
    file: TextIO

    @classmethod
    def take(cls, folder: Path, *, what: str) -> Ownership:
        """Own a folder, made where missing.

        Args:
            folder: The folder; the lock file is `lock` in it.
            what: Who owns it, for people, such as `carbonflow up`.

        Raises:
            InUseError: It has an owner.
            UnusableError: It cannot be made, or not be written.
        """
        path = folder / "lock"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = path.open("a+", encoding="utf-8")
        except OSError as error:
            raise UnusableError(f"{folder} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise InUseError(folder, read_owner(folder)) from None
        held = cls(path, file)
        held.tell({"what": what})
        return held

    def tell(self, facts: Mapping[str, object]) -> None:
        """Write who owns the folder, and where to reach them, into the lock file."""
        self.file.seek(0)
        self.file.truncate()
        json.dump({"pid": os.getpid(), **facts}, self.file)
        self.file.flush()

    def release(self) -> None:
        """Give the folder back; twice is fine."""
        self.file.close()


def read_owner(folder: Path) -> dict[str, object]:
    """Return what the last owner of a folder wrote down; empty where nobody did."""
    try:
        text = (folder / "lock").read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    try:
        owner = json.loads(text)
    except ValueError:  # The owner is writing it this moment.
        return {}
    return owner if isinstance(owner, dict) else {}


def running_owner(folder: Path) -> dict[str, object]:
    """Return what the owner of a folder wrote down, empty where it has none at the moment."""
    path = folder / "lock"
    if not path.exists():
        return {}
    with path.open("r", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return read_owner(folder)
    return {}
