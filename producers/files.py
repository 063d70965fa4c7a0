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

from producers.arrow_rows import parquet_blocks
from producers.csv_bytes import csv_byte_blocks, is_readable
from producers.locations import SUFFIXES, Source, local
from producers.pseudonyms import Pseudonyms
from producers.rows import RowMapper, UnmappedRow
from producers.rules import FileMapping
from producers.sources import START, Block, Position, csv_blocks, first_row, json_blocks

ROWS_MAX = 32_768
COLUMNS_BYTES_MAX = 16 * 1024
"""What a refusal carries of the first row of its file at most."""

PACKED = (".gz", ".zst")


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
        behind: Where to go on behind it.
        cursor: Of a query: the last value of the column that it is ordered by.
    """

    batch: pa.RecordBatch
    refused: list[UnmappedRow]
    done_bytes: int
    size_bytes: int
    behind: Position
    cursor: str = ""


def _suffix(name: str) -> str:
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return suffix
    raise UnreadableFileError(f"{name}: its name must end in one of {', '.join(SUFFIXES)}")


def _open(
    source: Source, mapping: FileMapping, *, rows_max: int, begun: Position, opened: ExitStack
) -> tuple[IO[bytes], Iterator[Block]]:
    """Return the file itself, to see how far it was read, and its blocks."""
    suffix = _suffix(source.name)
    file = opened.enter_context(source.open())
    if suffix == ".parquet":
        blocks = parquet_blocks(file, mapping, file=source.name, rows_max=rows_max, begun=begun)
        return file, blocks
    plain = _unpacked(file, source, opened)
    if is_csv(source.name) and is_readable(mapping):
        blocks = csv_byte_blocks(plain, mapping, file=source.name, rows_max=rows_max, begun=begun)
        return file, blocks
    text = _text(plain, source, mapping, opened)
    read = csv_blocks if is_csv(source.name) else json_blocks
    return file, read(text, mapping, file=source.name, rows_max=rows_max, begun=begun)


def _unpacked(file: IO[bytes], source: Source, opened: ExitStack) -> IO[bytes]:
    suffix = _suffix(source.name)
    if suffix.endswith(".gz"):
        return cast(IO[bytes], opened.enter_context(gzip.GzipFile(fileobj=file)))
    if suffix.endswith(".zst"):
        return cast(IO[bytes], opened.enter_context(pa.CompressedInputStream(file, "zstd")))
    return file


def _text(plain: IO[bytes], source: Source, mapping: FileMapping, opened: ExitStack) -> IO[str]:
    # A byte order mark is no part of the first column's name.
    encoding = "utf-8-sig" if mapping.encoding == "utf-8" else mapping.encoding
    # Bad bytes come through as surrogates, so that their row can be refused as it is.
    newline = "" if is_csv(source.name) else "\n"
    return opened.enter_context(TextIOWrapper(plain, encoding, "surrogateescape", newline=newline))


def columns_row(path: Path | Source, mapping: FileMapping) -> str:
    """Return the first row of a CSV file as it stands there; empty of other files.

    It is empty, too, where it is so long that no refusal could carry it.

    Raises:
        UnreadableFileError: The file as a whole can't be read.
    """
    if not is_csv(path.name):
        return ""
    with ExitStack() as opened:
        try:
            source = _source(path)
            plain = _unpacked(opened.enter_context(source.open()), source, opened)
            row = first_row(_text(plain, source, mapping, opened), mapping)
        except (OSError, EOFError, zlib.error) as wrong:
            raise UnreadableFileError(f"{_name(path)}: {wrong}") from wrong
    return row if len(row.encode("utf-8", "replace")) <= COLUMNS_BYTES_MAX else ""


def is_csv(name: str) -> bool:
    """Return whether a file is CSV, by its name."""
    lower = name.lower()
    return lower.endswith((".csv", *(f".csv{suffix}" for suffix in PACKED)))


def check_file(
    path: Path | Source, mapping: FileMapping, pseudonyms: Pseudonyms | None = None
) -> None:
    """Read the first row of a file, to raise at once what `read_file` would raise there."""
    with closing(read_file(path, mapping, pseudonyms, rows_max=1)) as blocks:
        next(blocks, None)


def _name(path: Path | Source) -> str:
    return str(path) if isinstance(path, Path) else path.name


def _source(path: Path | Source) -> Source:
    return local(path) if isinstance(path, Path) else path


def read_file(
    path: Path | Source,
    mapping: FileMapping,
    pseudonyms: Pseudonyms | None = None,
    *,
    rows_max: int = ROWS_MAX,
    begun: Position = START,
    coded: bool = False,
) -> Generator[MappedRows]:
    """Yield the rows of a file, mapped, in blocks of at most `rows_max` rows.

    Args:
        path: A file whose name ends in one of SUFFIXES.
        mapping: How its columns become records.
        pseudonyms: What replaces natural ids; needed where the mapping has a pseudonym.
        rows_max: Rows read at once; what bounds the memory.
        begun: Where to go on, as an earlier block of the same file said.
        coded: Whether words that repeat may come as dictionaries.

    Raises:
        UnreadableFileError: The file as a whole can't be read.
        MappingError: The mapping doesn't fit the file's columns.
    """
    mapper, line = RowMapper(mapping, pseudonyms, coded=coded), 0
    with ExitStack() as opened:
        try:
            source = _source(path)
            file, blocks = _open(source, mapping, rows_max=rows_max, begun=begun, opened=opened)
        except (OSError, pa.ArrowException) as wrong:
            raise UnreadableFileError(f"{_name(path)}: {wrong}") from wrong
        name = source.name
        while True:
            try:
                block = next(blocks, None)
            except csv.Error as wrong:  # Of any other line it is refused.
                raise UnreadableFileError(f"{name}: line 1, the header: {wrong}") from wrong
            except UnicodeError as wrong:
                raise UnreadableFileError(
                    f"{name}: behind line {line}: no {mapping.encoding} text: {wrong}"
                ) from wrong
            except (OSError, EOFError, zlib.error, pa.ArrowException) as wrong:
                raise UnreadableFileError(f"{name}: damaged: {wrong}") from wrong
            if block is None:
                return
            batch, refused = mapper.batch(block.rows, file=name)
            line = block.behind.line
            refused = sorted(block.refused + refused, key=lambda row: row.line)
            size_bytes = source.size_bytes
            if block.rows_in_all:  # Parquet is not read from its beginning to its end.
                done_bytes = size_bytes * block.behind.rows // block.rows_in_all
            else:
                done_bytes = min(file.tell(), size_bytes)
            yield MappedRows(batch, refused, done_bytes, size_bytes, block.behind)
