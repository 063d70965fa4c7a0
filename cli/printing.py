"""How results are printed: JSON for programs, tables for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def print_json(value: object) -> None:
    """Print one JSON value on standard output."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def counted(count: int, what: str) -> str:
    """Return a number of things for people.

    >>> counted(1, "session"), counted(1200, "trip")
    ('1 session', '1,200 trips')
    """
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def console(*, file_columns: int = 140) -> Console:
    """Return a console on standard output; where that is no terminal, so many columns wide."""
    from rich.console import Console

    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=file_columns)


def print_table(
    title: str, heads: Sequence[str], rows: Iterable[Sequence[object]], *, left: int
) -> None:
    """Print a table whose first `left` columns are words and whose others are amounts."""
    from embedded.tables import grid

    console().print(grid(title, heads, [[str(cell) for cell in row] for row in rows], left=left))
