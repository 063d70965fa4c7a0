"""Reading the pages of docs/: their sections, and the tables in them."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def section(page: str, title: str) -> str:
    """Return a section without its subsections."""
    found = re.search(rf"(?ms)^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", page)
    assert found, f"there is no section {title!r}"
    return found.group(1)


def rows(text: str) -> list[list[str]]:
    """Return the cells of all table rows, without heads."""
    lines = re.findall(r"(?m)^\|(.*)\|$", text)
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)] for line in lines]
    rules = [at for at, row in enumerate(cells) if set("".join(row)) == {"-"}]
    return [row for at, row in enumerate(cells) if at not in rules and at + 1 not in rules]


def words(cell: str) -> list[str]:
    """Return what stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def first_words(text: str) -> list[str]:
    return [word for row in rows(text) for word in words(row[0])]
