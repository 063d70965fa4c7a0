"""Checkpoint: how far a load has come, so that it can go on after it was stopped.

A file of lines, each JSON: what a source has become once the broker has acknowledged a block of it.
The last line of a source counts. It is written after the acknowledgement, so that nothing is passed
over; what was acknowledged and not yet written is sent again, and booked once.

A source that was changed since begins anew. So does none under another mapping: rows that are in
the books already would be others there.

    CheckpointError    it can't be used: damaged, of another mapping, or in use
"""

from __future__ import annotations

import fcntl
import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from producers.rules import FileMapping
from producers.sources import START, Position

VERSION = 1


class CheckpointError(Exception):
    """The checkpoint can't be used; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """How far a source is.

    Attributes:
        version: Of the source; another one says that it was changed.
        behind: Where to go on.
        sent: Records acknowledged.
        refused: Rows refused, by code.
        is_done: Whether all of it was read.
        cursor: Of a query: the last value of the column that it is ordered by, as `queries` keeps
            it.
    """

    version: str
    behind: Position = START
    sent: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    is_done: bool = False
    cursor: str = ""

    def after(
        self, behind: Position, *, sent: int, refused: Mapping[str, int], cursor: str = ""
    ) -> Reached:
        """Return what it becomes with another block."""
        return Reached(
            version=self.version,
            behind=behind,
            sent=self.sent + sent,
            refused=dict(Counter(self.refused) + Counter(refused)),
            cursor=cursor or self.cursor,
        )


class Checkpoint:
    """An open checkpoint; a context manager. Only one process has it at a time.

    Raises:
        CheckpointError: It is damaged, or another process has it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reached: dict[tuple[str, str], Reached] = {}
        self._mappings: dict[tuple[str, str], str] = {}
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as wrong:
            file.close()
            raise CheckpointError(f"{self.path}: another load is using it") from wrong
        try:
            self._read(file)
        except BaseException:
            file.close()
            raise
        self._file = file
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def of(self, mapping: FileMapping, name: str, version: str) -> Reached:
        """Return how far a source is: not at all if it is new, or was changed since.

        Raises:
            CheckpointError: It was begun under another mapping.
        """
        found = self._reached.get((mapping.record, name))
        if found is None or found.version != version:
            return Reached(version=version)
        if self._mappings[mapping.record, name] != mapping.digest:
            raise CheckpointError(
                f"{self.path}: {name} was begun with another mapping; go on with that one, or "
                "begin anew with another checkpoint"
            )
        return found

    def note(self, mapping: FileMapping, name: str, reached: Reached) -> None:
        """Write down how far a source is now."""
        if self._file is None:
            raise RuntimeError("use the checkpoint in a `with` block")
        line = {
            "checkpoint": VERSION,
            "record": mapping.record,
            "mapping": mapping.digest,
            "name": name,
            **asdict(reached),
        }
        self._file.write(f"{json.dumps(line, ensure_ascii=False)}\n")
        self._file.flush()
        self._reached[mapping.record, name] = reached
        self._mappings[mapping.record, name] = mapping.digest

    def _read(self, file: TextIO) -> None:
        assert isinstance(file, TextIOWrapper)
        file.seek(0)
        text = file.read()
        whole, _, torn = text.rpartition("\n")
        if torn:
            # It was being written when its process was killed; it is as if it never had been.
            file.seek(0)
            file.truncate(len(text.encode()) - len(torn.encode()))
            file.seek(0, os.SEEK_END)
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError) as wrong:
                raise CheckpointError(f"{self.path}:{number}: no checkpoint: {wrong}") from wrong

    def _take(self, line: dict[str, Any]) -> None:
        if line.pop("checkpoint") != VERSION:
            raise ValueError("it is of another release")
        record, mapping, name = (line.pop(key) for key in ("record", "mapping", "name"))
        behind = Position(**line.pop("behind"))
        self._reached[record, name] = Reached(behind=behind, **line)
        self._mappings[record, name] = mapping
