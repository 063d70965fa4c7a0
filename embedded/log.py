"""The log of a stack: what this process logs goes to a file, because the terminal belongs to the
person.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.logs import TextLines


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Append what this process logs to a file for as long as the context is entered."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(TextLines(()))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
