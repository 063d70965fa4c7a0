"""Rows of what is columns already: Parquet files, and what a database answers.

Columns keep their types until the mapping asks for their texts: a timestamp is never spelt out to
be read again. Words that a Parquet file keeps in a small dictionary stay one. A row's line is its
number from 1, its bytes are the mapped columns as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from producers.mapping import MappingError
from producers.rows import Rows, text_at
from producers.rules import FileMapping
from producers.sources import START, Block, Position, check_columns

DICTIONARY_BYTES_MAX: Final = 64 * 1024
"""A larger dictionary may have been given up within its row group, and repeats little."""


def parquet_blocks(
    source: IO[bytes], mapping: FileMapping, *, file: str, rows_max: int, begun: Position = START
) -> Iterator[Block]:
    """Read Parquet; row groups that were read before are not looked at."""
    metadata = pq.read_metadata(source)
    source.seek(0)
    words = _words(metadata, mapping.columns)
    parquet = pq.ParquetFile(source, metadata=metadata, read_dictionary=words, pre_buffer=True)
    check_columns(mapping, parquet.schema_arrow.names, file=file)
    first, before = 0, 0
    while first < metadata.num_row_groups:
        rows = metadata.row_group(first).num_rows
        if before + rows > begun.rows:
            break
        first, before = first + 1, before + rows
    batches = parquet.iter_batches(
        batch_size=rows_max,
        columns=list(mapping.columns),
        row_groups=list(range(first, metadata.num_row_groups)),
    )
    left = _without_first(batches, begun.rows - before)
    for block in arrow_blocks(left, mapping, begun=begun, rows_max=rows_max):
        yield replace(block, rows_in_all=metadata.num_rows)


def arrow_blocks(
    batches: Iterable[pa.RecordBatch],
    mapping: FileMapping,
    *,
    rows_max: int,
    begun: Position = START,
) -> Iterator[Block]:
    """Make blocks of `rows_max` rows of batches, whatever size these have.

    Raises:
        MappingError: A column has lists, structures or bytes, and so no single values.
    """
    names, done = mapping.columns, begun.rows
    for batch in gathered(batches, rows_max):
        columns = {name: _single(batch[name], name, mapping) for name in names}
        lines = range(done + 1, done + 1 + batch.num_rows)
        done += batch.num_rows
        yield Block(Rows(columns, lines, _Raws(columns).of), [], Position(done, done))


class _Raws:
    """The bytes of rows that have none in a file."""

    def __init__(self, columns: Mapping[str, Any]) -> None:
        self._columns = columns

    def of(self, row: int) -> bytes:
        """Return a row as JSON."""
        texts = {name: text_at(column, row) for name, column in self._columns.items()}
        return json.dumps(texts, ensure_ascii=False).encode()


def _words(metadata: Any, names: Sequence[str]) -> list[str]:
    """Return the columns of strings that have few words in the first row group."""
    if not metadata.num_row_groups:
        return []
    group = metadata.row_group(0)
    strings = [
        group.column(at)
        for at in range(group.num_columns)
        if metadata.schema.column(at).logical_type.type == "STRING"
    ]
    return [
        chunk.path_in_schema
        for chunk in strings
        if chunk.path_in_schema in names
        and chunk.has_dictionary_page
        and 0 < chunk.data_page_offset - chunk.dictionary_page_offset <= DICTIONARY_BYTES_MAX
    ]


def _without_first(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        passed = min(rows, batch.num_rows)
        rows -= passed
        if passed < batch.num_rows:
            yield batch.slice(passed)


def gathered(batches: Iterable[pa.RecordBatch], rows_max: int) -> Iterator[pa.RecordBatch]:
    """Yield the same rows in batches of `rows_max`, the last one smaller."""
    kept: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        at = 0
        while at < batch.num_rows:
            part = batch.slice(at, rows_max - count)
            kept.append(part)
            at += part.num_rows
            count += part.num_rows
            if count == rows_max:
                yield _one(kept)
                kept, count = [], 0
    if kept:
        yield _one(kept)


def _one(parts: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    return parts[0] if len(parts) == 1 else pa.concat_batches(parts)


def _single(column: Any, name: str, mapping: FileMapping) -> Any:
    """Return a column of strings, words or single values.

    Raises:
        MappingError: It is none.
        UnicodeError: It has strings that are no UTF-8.
    """
    kind = column.type
    if pa.types.is_string(kind):
        _check_text(column, name)
        return column
    if pa.types.is_timestamp(kind):
        return column
    if pa.types.is_dictionary(kind):
        if pa.types.is_string(kind.value_type):
            _check_text(column.dictionary, name)
            return column
        column = column.dictionary_decode()
    try:
        return pc.cast(column, pa.string())
    except pa.ArrowNotImplementedError:
        raise MappingError(
            f"{mapping.origin}: column {name!r} of type {kind} is no single value"
        ) from None


def _check_text(column: Any, name: str) -> None:
    """Check strings, which Arrow takes from a file as they are."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as wrong:
        raise UnicodeError(f"column {name!r}: {wrong}") from wrong
