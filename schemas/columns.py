"""Whole slices of records to Arrow and back.

The usual slice carries one schema id and is read in one pass (see `avro_read`). Where a record
cannot be read, fastavro says what is wrong with it (see `singles`), so that one broken record
costs its neighbours nothing, and the two readers accept exactly the same bytes.

Batches have the fields of the current version in order, nullable only where the schema says so.
Instants are timestamp[ms], without a zone and in UTC; enums are strings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.avro_read import ARROW, read_rows
from schemas.catalogue import AvroSchema, Catalogue, used
from schemas.fields import Field, fields_of, resolve
from schemas.framing import FRAME_BYTES, WireError, frame, writer_of
from schemas.kernel import BoolArray, Int64Array, UInt8Array, kernel
from schemas.raw import Raw
from schemas.rows import Rows
from schemas.singles import project, read

_POSITION: Final = attrgetter("position")
_NOWHERE: Final = np.empty(0, dtype=np.int64)
_NOT_FRAMED: Final = -1


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A value that is not a record of its topic."""

    position: int
    """Index in the values given."""
    code: str
    """not_framed, unknown_schema, wrong_record or undecodable."""
    reason: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """What became of a slice: each value is a row of `batch` or one of `refused`, in order."""

    batch: pa.RecordBatch
    positions: Int64Array
    """Index in the values given of each row, shape (rows,), ascending."""
    refused: list[Undecodable]


def arrow_schema(record: str, *, catalogue: Catalogue | None = None) -> pa.Schema:
    """Return the columns of a record's current version."""
    return _arrow_schema((catalogue or used()).newest(record))


def decode(
    record: str, values: Sequence[bytes | None], *, catalogue: Catalogue | None = None
) -> Decoded:
    """Decode the values of a topic that carries `record`.

    Args:
        record: Name in the catalogue, such as charging_session.
        values: Framed values, best as `Raw`; None and empty ones are refused.
        catalogue: The one of the process where not given.

    Raises:
        CatalogueError: There is no such record, or it cannot be read from a version listed.
    """
    catalogue = catalogue or used()
    reader = catalogue.newest(record)
    raw = Raw.of(values)
    ids = np.empty(len(raw), dtype=np.int64)
    _schema_ids(raw.data, raw.begins, raw.sizes, ids)
    batches, places = [], []
    refused: list[Undecodable] = []
    for schema_id in np.unique(ids).tolist():
        positions = np.flatnonzero(ids == schema_id)
        known = catalogue.writer(record, schema_id)
        if known is None:
            refused += [_unframed(raw, at, catalogue, record) for at in positions.tolist()]
            continue
        batch, rows, wrong = _decode_group(known, reader, raw, positions)
        batches.append(batch)
        places.append(rows)
        refused += wrong
    refused.sort(key=_POSITION)
    if not batches:
        return Decoded(_no_rows(reader), _NOWHERE, refused)
    if len(batches) == 1:
        return Decoded(batches[0], places[0], refused)
    where = np.concatenate(places)
    order = np.argsort(where)
    return Decoded(pa.concat_batches(batches).take(pa.array(order)), where[order], refused)


def encode(
    record: str, batch: pa.RecordBatch, *, catalogue: Catalogue | None = None
) -> list[bytes]:
    """Return one framed value of the current version for each row.

    Columns are taken by name and cast where nothing is lost by it.

    Raises:
        ValueError: A column is missing or unknown, does not fit its field without loss, or has
            nulls where the schema allows none.
        CatalogueError: There is no such record.
    """
    schema = (catalogue or used()).newest(record)
    return Rows.of(batch, fields_of(schema), frame(schema.schema_id)).values()


@kernel
def _schema_ids(data: UInt8Array, begins: Int64Array, sizes: Int64Array, ids: Int64Array) -> None:
    """Find the schema id each value names, _NOT_FRAMED where it names none."""
    for row in range(len(begins)):
        at = begins[row]
        ids[row] = _NOT_FRAMED
        if sizes[row] >= FRAME_BYTES and data[at] == 0:
            number = np.int64(0)
            for index in range(1, FRAME_BYTES):
                number = number * 256 + np.int64(data[at + index])
            ids[row] = number


def _unframed(raw: Raw, at: int, catalogue: Catalogue, record: str) -> Undecodable:
    try:
        schema = writer_of(raw[at], catalogue, record=record)
    except WireError as error:
        return Undecodable(at, error.code, error.reason)
    raise AssertionError(f"a value names the schema {schema.schema_id}, and it was not found")


def _decode_group(
    writer: AvroSchema, reader: AvroSchema, raw: Raw, positions: Int64Array
) -> tuple[pa.RecordBatch, Int64Array, list[Undecodable]]:
    """Return rows in the reader's fields, their positions, and what is wrong elsewhere."""
    begins = raw.begins[positions]
    ends = begins + raw.sizes[positions]
    columns, good = read_rows(raw.data, begins + FRAME_BYTES, ends, fields_of(writer))
    batch = pa.RecordBatch.from_arrays(columns, schema=_arrow_schema(writer))
    wrong = [_explained(writer, reader, raw, at) for at in positions[~good].tolist()]
    rows = positions[good]
    unknown = _unknown_symbols(batch, writer, reader)
    if unknown is not None and unknown.any():
        wrong += [_explained(writer, reader, raw, at) for at in rows[unknown].tolist()]
        batch, rows = batch.filter(pa.array(~unknown)), rows[~unknown]
    return _projected(batch, writer, reader), rows, wrong


def _explained(writer: AvroSchema, reader: AvroSchema, raw: Raw, at: int) -> Undecodable:
    """Return what is wrong with a value that could not be read as a row."""
    value = raw[at]
    assert value is not None, "a null names no schema"
    try:
        project(read(writer, value[FRAME_BYTES:]), writer, reader)
    except WireError as error:
        return Undecodable(at, error.code, error.reason)
    # The readers disagree. To refuse a good record would lose it, so this has to be looked at.
    raise AssertionError(f"a {writer.record} that can be read singly cannot be read by columns")


def _unknown_symbols(
    batch: pa.RecordBatch, writer: AvroSchema, reader: AvroSchema
) -> BoolArray | None:
    """Return the rows with a symbol that the reader does not know, None where there can be none."""
    unknown: BoolArray | None = None
    for field, source in resolve(writer, reader):
        if source is not None and not set(source.symbols) <= set(field.symbols):
            known = pa.array([*field.symbols, None], pa.string())
            here = ~pc.is_in(batch.column(field.name), value_set=known).to_numpy(
                zero_copy_only=False
            )
            unknown = here if unknown is None else unknown | here
    return unknown


def _projected(batch: pa.RecordBatch, writer: AvroSchema, reader: AvroSchema) -> pa.RecordBatch:
    """Return the batch in the reader's fields."""
    target = _arrow_schema(reader)
    if writer == reader:
        return batch
    columns = []
    for field, source in resolve(writer, reader):
        kind = target.field(field.name).type
        if source is None:
            columns.append(pa.repeat(pa.scalar(field.default, kind), batch.num_rows))
        else:
            columns.append(batch.column(field.name).cast(kind))
    return pa.RecordBatch.from_arrays(columns, schema=target)


@lru_cache(maxsize=256)
def _arrow_schema(schema: AvroSchema) -> pa.Schema:
    return pa.schema([_arrow_field(field) for field in fields_of(schema)])


def _no_rows(schema: AvroSchema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=_arrow_schema(schema))


def _arrow_field(field: Field) -> pa.Field:
    kind = ARROW[field.kind]
    return pa.field(field.name, kind, nullable=field.nullable)
