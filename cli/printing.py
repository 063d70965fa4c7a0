"""How results are printed: JSON for programs, tables for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence


def print_json(value: object) -> None:
    """Print one JSON value on standard output."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def print_table(
    title: str, heads: Sequence[str], rows: Iterable[Sequence[object]], *, left: int
) -> None:
    """Print a table whose first `left` columns are words and whose others are amounts."""
    from rich.console import Console

    from embedded.tables import grid

    console = Console()
    if not console.is_terminal:
        # Nobody looks at the width of a file; a line must not be broken in it.
        console = Console(width=1000)
    console.print(grid(title, heads, [[str(cell) for cell in row] for row in rows], left=left))
