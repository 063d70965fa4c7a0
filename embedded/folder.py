"""The folder of a stack: what is kept in it, and what may be forgotten.

A folder that only ever held made-up events carries a mark, the file `sample`. It is put there while
the folder is empty and taken away before anything else is worked into it, so that a demo, which
starts anew each time, never empties real books.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from embedded.broker import await_former

KEPT = ("broker", "store", "worker", "logs")
_MARK = "sample"


class RealBooksError(Exception):
    """The folder holds what no demo made, and nobody said that it may be forgotten."""


def holds_anything(folder: Path) -> bool:
    """Return whether a stack has ever run over a folder."""
    return any((folder / name).exists() for name in KEPT)


def is_sample(folder: Path) -> bool:
    """Return whether everything a folder holds was made up."""
    return (folder / _MARK).exists()


def mark_sample(folder: Path) -> None:
    """Say that everything in an empty folder will be made up; one that holds more is left alone."""
    if not holds_anything(folder):
        (folder / _MARK).touch()


def mark_real(folder: Path) -> None:
    """Say that a folder is about to hold what was not made up."""
    (folder / _MARK).unlink(missing_ok=True)


def clear(folder: Path, *, only_sample: bool) -> None:
    """Forget everything a stack keeps in a folder, and nothing else that is there.

    Args:
        folder: The folder, owned by this process.
        only_sample: Spare a folder that holds anything but a sample.

    Raises:
        RealBooksError: The folder is spared.
        BrokerError: Its former broker does not end.
    """
    if only_sample and holds_anything(folder) and not is_sample(folder):
        raise RealBooksError(
            f"{folder} holds books that no demo made: --keep adds to them, --fresh forgets them, "
            "--data-dir gives another folder"
        )
    await_former(folder / "broker")
    for name in KEPT:
        if (folder / name).exists():
            shutil.rmtree(folder / name)
