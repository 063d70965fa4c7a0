"""One record at a time, by fastavro: for who sends or reads one, and as the second opinion.

Instants are int milliseconds since 1970 UTC in both directions; nothing becomes a datetime on the
way.

A record has exactly one encoding: the one an Avro writer produces, with shortest varints and
nothing behind its end. Anything else is refused as `undecodable`, also where a lenient reader would
make something of it. So a value means the same to every reader, `columns` accepts what this module
accepts, and a record can be compared by its bytes.
"""

import io
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import fastavro
from fastavro.validation import ValidationError, validate

from schemas.catalogue import AvroSchema, Catalogue, used
from schemas.fields import fields_of, resolve
from schemas.framing import FRAME_BYTES, WireError, frame, writer_of


def encode_one(
    record: str, value: Mapping[str, object], *, catalogue: Catalogue | None = None
) -> bytes:
    """Return a framed record of the current version; fields with a default may be left out.

    Raises:
        WireError: `undecodable`: a field is missing, unknown, of another type or out of range.
        CatalogueError: There is no such record.
    """
    schema = (catalogue or used()).newest(record)
    return frame(schema.schema_id) + _write(schema, value)


def decode_one(
    value: bytes | None, *, record: str | None = None, catalogue: Catalogue | None = None
) -> tuple[str, dict[str, object]]:
    """Return record and fields of a framed value, in the current version's fields.

    Raises:
        WireError: `not_framed`, `unknown_schema`, `undecodable`, or `wrong_record` where
            `record` says which one it should be.
    """
    catalogue = catalogue or used()
    writer = writer_of(value, catalogue, record=record)
    assert value is not None  # writer_of has refused it otherwise
    fields = read(writer, value[FRAME_BYTES:])
    return writer.record, project(fields, writer, catalogue.newest(writer.record))


def read(schema: AvroSchema, payload: bytes) -> dict[str, object]:
    """Return the fields of an unframed record, in the writer's version.

    Raises:
        WireError: `undecodable`: the bytes are not the one encoding of a record of this schema.
    """
    stream = io.BytesIO(payload)
    try:
        value: Any = fastavro.schemaless_reader(stream, _parsed(schema), None)
        if stream.tell() == len(payload) and _write(schema, value) == payload:
            return dict(value)
    except EOFError:
        raise WireError("undecodable", "it ends before its last field does") from None
    except IndexError:
        raise WireError("undecodable", "an enum or union has no such index") from None
    except UnicodeDecodeError as error:
        raise WireError("undecodable", f"a string is not UTF-8: {error.reason}") from None
    if spare := len(payload) - stream.tell():
        raise WireError("undecodable", f"{spare} bytes follow the record")
    raise WireError("undecodable", "it is not encoded as a writer of this schema would")


def project(
    fields: Mapping[str, object], writer: AvroSchema, reader: AvroSchema
) -> dict[str, object]:
    """Return the fields of the reader's version: unknown ones left out, missing ones by default.

    Raises:
        WireError: `undecodable`: a symbol the reader does not know.
    """
    projected: dict[str, object] = {}
    for field, source in resolve(writer, reader):
        value = field.default if source is None else fields[field.name]
        if field.symbols and value is not None and value not in field.symbols:
            raise WireError("undecodable", f"{field.name} has no symbol {value!r}")
        projected[field.name] = value
    return projected


def _write(schema: AvroSchema, value: Mapping[str, object]) -> bytes:
    stream = io.BytesIO()
    parsed = _parsed(schema)
    try:
        # fastavro writes True as 1, 1.5 as 1 and ints of any size; its validation knows better.
        validate(value, parsed, raise_errors=True, strict=False)
        fastavro.schemaless_writer(stream, parsed, value, strict_allow_default=True)
    except (ValidationError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise WireError("undecodable", f"no {schema.record}: {reason}") from error
    return stream.getvalue()


@lru_cache(maxsize=256)
def _parsed(schema: AvroSchema) -> Any:
    """Return the schema as fastavro wants it, with instants as plain longs."""
    fields_of(schema)
    return fastavro.parse_schema(_plain(json.loads(schema.text)))


def _plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items() if key != "logicalType"}
    if isinstance(node, list):
        return [_plain(item) for item in node]
    return node
