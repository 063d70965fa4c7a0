"""Whole slices of records to Arrow and back, by pyruhvro.

The fast path is the usual one: all values carry the same schema id, pyruhvro decodes them in one
call, and a comparison of lengths shows that none hides anything (see `lengths`). Where pyruhvro
refuses, the slice is split until the bad records stand alone, and fastavro says of each what is
wrong (see `singles`). So one broken record costs its neighbours next to nothing, and the two
readers accept exactly the same bytes.

Batches have the fields of the current version in order, nullable only where the schema says so.
Instants are timestamp[ms], without a zone and in UTC; enums are strings.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyruhvro

from schemas.catalogue import AvroSchema, Catalogue, shipped
from schemas.fields import Field, fields_of, resolve
from schemas.framing import FRAME_BYTES, WireError, frame, writer_of
from schemas.lengths import BoolArray, Int64Array, lengths_of
from schemas.singles import project, read

_FRAME: Final[Callable[[Any], bytes]] = itemgetter(slice(FRAME_BYTES))
_PAYLOAD: Final[Callable[[Any], bytes]] = itemgetter(slice(FRAME_BYTES, None))
_POSITION: Final = attrgetter("position")
_NOWHERE: Final = np.empty(0, dtype=np.int64)
_SPLIT: Final = 4
_SINGLES_MAX: Final = 16
"""A refused run of at most this many records goes to fastavro; a longer one is split in four."""

_ARROW: Final = {
    "string": pa.string(),
    "enum": pa.string(),
    "int": pa.int32(),
    "long": pa.int64(),
    "boolean": pa.bool_(),
    "instant": pa.timestamp("ms"),
}


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
    return _arrow_schema((catalogue or shipped()).newest(record))


def decode(
    record: str, values: Sequence[bytes | None], *, catalogue: Catalogue | None = None
) -> Decoded:
    """Decode the values of a topic that carries `record`.

    Args:
        record: Name in the catalogue, such as charging_session.
        values: Framed values; None and empty ones are refused.
        catalogue: The shipped one where not given.

    Raises:
        CatalogueError: There is no such record, or it cannot be read from a version listed.
    """
    catalogue = catalogue or shipped()
    reader = catalogue.newest(record)
    batches, places = [], []
    refused: list[Undecodable] = []
    for positions, found in _by_frame(values):
        try:
            writer = writer_of(found[0], catalogue, record=record)
        except WireError as error:
            refused += [Undecodable(at, error.code, error.reason) for at in positions.tolist()]
            continue
        batch, rows, wrong = _decode_group(writer, reader, list(map(_PAYLOAD, found)))
        batches.append(batch)
        places.append(positions[rows] if wrong else positions)
        refused += [replace(one, position=int(positions[one.position])) for one in wrong]
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
    schema = (catalogue or shipped()).newest(record)
    head = frame(schema.schema_id)
    rows = checked(record, batch, catalogue=catalogue)
    return [head + payload for payload in _encoded(rows, schema)]


def checked(
    record: str, batch: pa.RecordBatch, *, catalogue: Catalogue | None = None
) -> pa.RecordBatch:
    """Return the columns of a batch in the order and types of a record's current version.

    Raises:
        ValueError: As `encode`.
        CatalogueError: There is no such record.
    """
    schema = (catalogue or shipped()).newest(record)
    target = _arrow_schema(schema)
    if sorted(batch.schema.names) != sorted(target.names):
        odd = sorted(set(batch.schema.names) ^ set(target.names))
        raise ValueError(f"columns of the batch and fields of {record} differ: {odd}")
    columns = []
    for field in target:
        column = batch.column(field.name)
        if column.null_count and not field.nullable:
            # pyruhvro would write whatever lies below the null.
            raise ValueError(f"{record}.{field.name} has nulls")
        columns.append(column if column.type == field.type else column.cast(field.type))
    return pa.RecordBatch.from_arrays(columns, schema=target)


def _by_frame(values: Sequence[bytes | None]) -> list[tuple[Int64Array, Sequence[bytes | None]]]:
    """Return the values grouped by their first five bytes, with their positions."""
    if all(values) and len(set(map(_FRAME, values))) == 1:
        return [(np.arange(len(values)), values)]
    places: dict[bytes, list[int]] = defaultdict(list)
    for position, value in enumerate(values):
        places[_FRAME(value) if value else b""].append(position)
    return [(np.array(at), [values[position] for position in at]) for at in places.values()]


def _decode_group(
    writer: AvroSchema, reader: AvroSchema, payloads: list[bytes]
) -> tuple[pa.RecordBatch, Int64Array, list[Undecodable]]:
    """Return rows in the reader's fields, their indices, and what is wrong elsewhere."""
    wrong: list[Undecodable] = []
    pieces = list(_pieces(writer, payloads, 0, wrong))
    if not pieces:
        return _no_rows(reader), _NOWHERE, wrong
    batch = pieces[0][0] if len(pieces) == 1 else pa.concat_batches([piece for piece, _ in pieces])
    rows = np.concatenate([at for _, at in pieces])
    keep = np.ones(len(rows), dtype=np.bool_)
    for row in _doubtful(batch, writer, reader, payloads, rows):
        try:
            project(read(writer, payloads[rows[row]]), writer, reader)
        except WireError as error:
            keep[row] = False
            wrong.append(Undecodable(int(rows[row]), error.code, error.reason))
    if not keep.all():
        batch, rows = batch.filter(pa.array(keep)), rows[keep]
    return _projected(batch, writer, reader), rows, wrong


def _pieces(
    writer: AvroSchema, payloads: list[bytes], start: int, wrong: list[Undecodable]
) -> Iterator[tuple[pa.RecordBatch, Int64Array]]:
    """Yield rows in the writer's fields with their indices; add the unreadable to `wrong`."""
    batch = _attempt(writer, payloads)
    if batch is not None:
        yield batch, np.arange(start, start + len(payloads))
    elif len(payloads) <= _SINGLES_MAX:
        rows, at = [], []
        for index, payload in enumerate(payloads, start):
            try:
                rows.append(read(writer, payload))
                at.append(index)
            except WireError as error:
                wrong.append(Undecodable(index, error.code, error.reason))
        if rows:
            yield pa.RecordBatch.from_pylist(rows, schema=_arrow_schema(writer)), np.array(at)
    else:
        step = -(-len(payloads) // _SPLIT)
        for first in range(0, len(payloads), step):
            yield from _pieces(writer, payloads[first : first + step], start + first, wrong)


def _attempt(writer: AvroSchema, payloads: list[bytes]) -> pa.RecordBatch | None:
    """Return what pyruhvro makes of the payloads, None where it refuses one of them."""
    try:
        batch = pyruhvro.deserialize_array(payloads, writer.text)
        # pyruhvro copies the bytes of strings as they are; this is where they must be UTF-8.
        batch.validate(full=True)
    except ValueError:
        return None
    except BaseException as panic:
        # A panic in Rust arrives as pyo3's PanicException, a BaseException no module exports. It
        # says the same as a ValueError: these bytes are not for pyruhvro. KeyboardInterrupt,
        # SystemExit and whatever else it may be go on their way.
        if type(panic).__name__ != "PanicException":
            raise
        return None
    return pa.RecordBatch.from_arrays(batch.columns, schema=_arrow_schema(writer))


def _doubtful(
    batch: pa.RecordBatch,
    writer: AvroSchema,
    reader: AvroSchema,
    payloads: list[bytes],
    rows: Int64Array,
) -> list[int]:
    """Return the rows that need a second opinion: for their length, numbers or symbols."""
    lengths = lengths_of(batch, fields_of(writer))
    given = np.fromiter(map(len, payloads), np.int64, len(payloads))
    doubtful: BoolArray = np.not_equal(lengths.bytes, given[rows])
    if lengths.widest is not None and lengths.widest.any():
        # Hashes have such numbers too, so most of these rows are as good as any.
        wide = np.flatnonzero(lengths.widest)
        again = _encoded(batch.take(pa.array(wide)), writer)
        doubtful[wide] |= [payloads[at] != one for at, one in zip(rows[wide], again, strict=True)]
    for field, source in resolve(writer, reader):
        if source is not None and not set(source.symbols) <= set(field.symbols):
            known = pa.array([*field.symbols, None], pa.string())
            familiar = pc.is_in(batch.column(field.name), value_set=known)
            doubtful |= ~familiar.to_numpy(zero_copy_only=False)
    odd: list[int] = np.flatnonzero(doubtful).tolist()
    return odd


def _encoded(batch: pa.RecordBatch, schema: AvroSchema) -> list[bytes]:
    """Return each row without a frame."""
    encoded = pyruhvro.serialize_record_batch(batch, schema.text, 1)
    return [payload for array in encoded for payload in array.to_pylist()]


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
    kind = _ARROW[field.kind]
    return pa.field(field.name, pa.list_(kind) if field.many else kind, nullable=field.nullable)
