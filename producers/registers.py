"""Registers: small CSV files that an operator keeps, of stations or of vehicles.

`RegisterError` names the file and the line. It is raised before the first document is read.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path


class RegisterError(ValueError):
    """The register can't be used; the message says where and why."""


def read_register(
    path: Path, *, needs: Sequence[str], may_have: Sequence[str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield where a line stands and its columns, those it may have as "" where they are missing.

    Raises:
        RegisterError: The file can't be read, lacks a column, has one that nobody knows, or a line
            is longer than the heading.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as wrong:
        raise RegisterError(f"{path}: can't be read: {wrong}") from None
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        heading = list(reader.fieldnames or ())
        if missing := [name for name in needs if name not in heading]:
            raise RegisterError(f"{path}:1: the column {missing[0]} is missing")
        if unknown := [name for name in heading if name not in (*needs, *may_have)]:
            raise RegisterError(f"{path}:1: nobody knows the column {unknown[0]!r}")
        for row in reader:
            where = f"{path}:{reader.line_num}"
            if None in row:
                raise RegisterError(f"{where}: has more columns than the heading")
            columns = {name: (row.get(name) or "").strip() for name in (*needs, *may_have)}
            if empty := [name for name in needs if not columns[name]]:
                raise RegisterError(f"{where}: {empty[0]} is empty")
            yield where, columns
    except csv.Error as wrong:
        raise RegisterError(f"{path}:{reader.line_num}: {wrong}") from None
