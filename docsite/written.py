"""What generated pages have in common."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

MADE: Final = "<!-- Made by `make pages` from the code. -->"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; what would end a cell early is escaped.

    >>> print(table(("a", "b"), [("x|y", "z")]))
    | a | b |
    | --- | --- |
    | x\\|y | z |
    """
    lines = (heads, ["---"] * len(heads), *rows)
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", r"\|")
