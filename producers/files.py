"""Files: read in bounded blocks and turned into records by a mapping.

A row that can't be mapped never stops its file: it comes out as an `UnmappedRow` with the line it
begins on and its bytes. What stops a file:

    UnreadableFileError    it can't be opened, isn't of a known format, or is damaged
    MappingError           the mapping names a column that the file doesn't have
"""

import csv
import gzip
import zlib
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import IO, cast

import pyarrow as pa

from producers.pseudonyms import Pseudonyms
from producers.rows import RowMapper, UnmappedRow
from producers.rules import FileMapping
from producers.sources import Block, csv_blocks, first_row, json_blocks, parquet_blocks

ROWS_MAX = 16_384
COLUMNS_BYTES_MAX = 16 * 1024
"""What a refusal carries of the first row of its file at most."""

SUFFIXES = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz", ".parquet")


class UnreadableFileError(Exception):
    """The file as a whole can't be read; rows that came out before stay valid."""


@dataclass(frozen=True, slots=True)
class MappedRows:
    """One block of a file.

    Attributes:
        batch: The rows that became records, in the fields of the Avro record.
        refused: The rows that didn't.
        done_bytes: How far into the file this block ends.
        size_bytes: Size of the file.
    """

    batch: pa.RecordBatch
    refused: list[UnmappedRow]
    done_bytes: int
    size_bytes: int


def _suffix(path: Path) -> str:
    name = path.name.lower()
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            return suffix
    raise UnreadableFileError(f"{path}: its name must end in one of {', '.join(SUFFIXES)}")


def _open(
    path: Path, mapping: FileMapping, *, rows_max: int, opened: ExitStack
) -> tuple[IO[bytes], Iterator[Block]]:
    """Return the file itself, to see how far it was read, and its blocks."""
    suffix = _suffix(path)
    file = opened.enter_context(path.open("rb"))
    if suffix == ".parquet":
        return file, parquet_blocks(file, mapping, file=str(path), rows_max=rows_max)
    text = _text(file, path, mapping, opened)
    blocks = csv_blocks if is_csv(path) else json_blocks
    return file, blocks(text, mapping, file=str(path), rows_max=rows_max)


def _text(file: IO[bytes], path: Path, mapping: FileMapping, opened: ExitStack) -> IO[str]:
    plain = file
    if _suffix(path).endswith(".gz"):
        plain = cast(IO[bytes], opened.enter_context(gzip.GzipFile(fileobj=file)))
    # A byte order mark is no part of the first column's name.
    encoding = "utf-8-sig" if mapping.encoding == "utf-8" else mapping.encoding
    # Bad bytes come through as surrogates, so that their row can be refused as it is.
    newline = "" if is_csv(path) else "\n"
    return opened.enter_context(TextIOWrapper(plain, encoding, "surrogateescape", newline=newline))


def columns_row(path: Path, mapping: FileMapping) -> str:
    """Return the first row of a CSV file as it stands there; empty of other files.

    It is empty, too, where it is so long that no refusal could carry it.

    Raises:
        UnreadableFileError: The file as a whole can't be read.
    """
    if not is_csv(path):
        return ""
    with ExitStack() as opened:
        try:
            text = _text(opened.enter_context(path.open("rb")), path, mapping, opened)
            row = first_row(text, mapping)
        except (OSError, EOFError, zlib.error) as wrong:
            raise UnreadableFileError(f"{path}: {wrong}") from wrong
    return row if len(row.encode("utf-8", "replace")) <= COLUMNS_BYTES_MAX else ""


def is_csv(path: Path) -> bool:
    """Return whether a file is CSV, by its name."""
    return path.name.lower().endswith((".csv", ".csv.gz"))


def check_file(path: Path, mapping: FileMapping, pseudonyms: Pseudonyms | None = None) -> None:
    """Read the first row of a file, to raise at once what `read_file` would raise there."""
    with closing(read_file(path, mapping, pseudonyms, rows_max=1)) as blocks:
        next(blocks, None)


def read_file(
    path: Path,
    mapping: FileMapping,
    pseudonyms: Pseudonyms | None = None,
    *,
    rows_max: int = ROWS_MAX,
) -> Generator[MappedRows]:
    """Yield the rows of a file, mapped, in blocks of at most `rows_max` rows.

    Args:
        path: A file whose name ends in one of SUFFIXES.
        mapping: How its columns become records.
        pseudonyms: What replaces natural ids; needed where the mapping has a pseudonym.
        rows_max: Rows read at once; what bounds the memory.

    Raises:
        UnreadableFileError: The file as a whole can't be read.
        MappingError: The mapping doesn't fit the file's columns.
    """
    mapper, line = RowMapper(mapping, pseudonyms), 0
    with ExitStack() as opened:
        try:
            size_bytes = path.stat().st_size
            file, blocks = _open(path, mapping, rows_max=rows_max, opened=opened)
        except (OSError, pa.ArrowException) as wrong:
            raise UnreadableFileError(f"{path}: {wrong}") from wrong
        while True:
            try:
                block = next(blocks, None)
            except csv.Error as wrong:  # Of any other line it is refused.
                raise UnreadableFileError(f"{path}: line 1, the header: {wrong}") from wrong
            except UnicodeError as wrong:
                raise UnreadableFileError(
                    f"{path}: behind line {line}: no {mapping.encoding} text: {wrong}"
                ) from wrong
            except (OSError, EOFError, zlib.error, pa.ArrowException) as wrong:
                raise UnreadableFileError(f"{path}: damaged: {wrong}") from wrong
            if block is None:
                return
            batch, refused = mapper.batch(block.rows, file=str(path))
            line = max([line, *block.rows.lines[-1:], *(row.line for row in block.refused)])
            refused = sorted(block.refused + refused, key=lambda row: row.line)
            yield MappedRows(batch, refused, min(file.tell(), size_bytes), size_bytes)
