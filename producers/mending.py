"""Mending: rows a loader refused, put through a mapping that was mended since.

Each row is read as its file was: CSV with the first row of its file, which its refusal carries;
JSON Lines by itself. A row of Parquet was kept as JSON with the columns its mapping read then; a
column that only the new mapping reads is empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO

import pyarrow as pa

from producers.files import is_csv
from producers.refused import RefusedRecord
from producers.rows import RowMapper, Rows
from producers.rules import FileMapping
from producers.sources import CODE, csv_blocks, json_blocks
from producers.tables import MappingError


@dataclass(frozen=True, slots=True)
class Mended:
    """What became of rows.

    Attributes:
        batch: Those that are records now, in the fields of the record, n of them.
        rows: Which of those given each is, n of them.
        refused: Code and reason of each that still is none, by its index in those given.
    """

    batch: pa.RecordBatch
    rows: list[int]
    refused: dict[int, tuple[str, str]]


class _NoRow(Exception):
    """What was kept of a row cannot be read as one, or lacks a column of the mapping."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def mend(refused: Sequence[RefusedRecord], mapping: FileMapping, mapper: RowMapper) -> Mended:
    """Put refused rows through a mapping.

    Args:
        refused: Refusals of a loader, uncut; those of CSV with their columns.
        mapping: The mapping.
        mapper: What applies it; kept, so that it remembers what it has read.
    """
    read: dict[int, Sequence[str | None]] = {}
    wrong: dict[int, tuple[str, str]] = {}
    for index, record in enumerate(refused):
        try:
            read[index] = _texts(record, mapping)
        except _NoRow as error:
            wrong[index] = error.code, error.reason
    taken = list(read)
    columns = list(zip(*(read[index] for index in taken), strict=True))
    rows = Rows(
        {
            name: pa.array(texts, pa.string())
            for name, texts in zip(
                mapping.columns, columns or [()] * len(mapping.columns), strict=True
            )
        },
        taken,
        lambda at: refused[taken[at]].value or b"",
    )
    batch, unmapped = mapper.batch(rows, file="")
    wrong |= {row.line: (row.code, row.reason) for row in unmapped}
    return Mended(batch, [index for index in taken if index not in wrong], wrong)


def _texts(record: RefusedRecord, mapping: FileMapping) -> Sequence[str | None]:
    """Return the texts of a row in the order of the mapping's columns."""
    text = (record.value or b"").decode(mapping.encoding, "surrogateescape")
    if is_csv(record.file):
        source = StringIO(f"{record.columns}\n{text}\n", newline="")
        blocks = csv_blocks(source, mapping, file=record.file, rows_max=1)
    else:
        blocks = json_blocks(StringIO(text), mapping, file=record.file, rows_max=1)
    try:
        block = next(blocks, None)
    except MappingError as error:
        raise _NoRow(CODE, str(error)) from error
    if block is None:
        raise _NoRow(CODE, "nothing is there")
    for row in block.refused:
        raise _NoRow(row.code, row.reason)
    return [block.rows.columns[name][0].as_py() for name in mapping.columns]
