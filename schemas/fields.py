"""The types our records may use, and how one version of a record is read as another.

Records use strings, bytes, ints, longs, booleans, enums and instants (timestamp-millis), each of
them nullable. Nothing else: floats have no place in a ledger, and what nobody needs nobody has to
read. `fields_of` refuses a schema that uses more, so neither codec ever meets one.

Versions resolve as Avro says, by name: a field the reader does not know is dropped, one the writer
did not know takes its default, an int may have become a long and a field may have become nullable.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from schemas.catalogue import AvroSchema, CatalogueError

SYMBOLS_MAX: Final = 64
"""An enum of up to 64 symbols takes one byte, which makes the length of a record easy to know."""

_MISSING: Final = object()
_KINDS: Final = ("string", "bytes", "int", "long", "boolean")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of one version of a record."""

    name: str
    kind: str
    """string, bytes, int, long, boolean, enum or instant."""
    doc: str
    symbols: tuple[str, ...] = ()
    nullable: bool = False
    default: Any = _MISSING

    @property
    def has_default(self) -> bool:
        """Whether a writer without this field can be read."""
        return self.default is not _MISSING

    def reads(self, writer: "Field") -> bool:
        """Whether values written as `writer` can be read as this field."""
        same = self.kind == writer.kind or (self.kind, writer.kind) == ("long", "int")
        return same and (self.nullable or not writer.nullable)


@lru_cache(maxsize=256)
def fields_of(schema: AvroSchema) -> tuple[Field, ...]:
    """Return the fields of a record in order.

    Raises:
        CatalogueError: The schema is no record of the types we use.
    """
    tree = json.loads(schema.text)
    if not isinstance(tree, dict) or tree.get("type") != "record":
        raise CatalogueError(f"schema {schema.schema_id} is not a record")
    return tuple(_field(node) for node in tree["fields"])


@lru_cache(maxsize=256)
def resolve(writer: AvroSchema, reader: AvroSchema) -> tuple[tuple[Field, Field | None], ...]:
    """Return each field of the reader with the writer's field it is read from, None if defaulted.

    Raises:
        CatalogueError: The reader cannot read what the writer wrote.
    """
    written = {field.name: field for field in fields_of(writer)}
    pairs = tuple((field, written.get(field.name)) for field in fields_of(reader))
    for field, source in pairs:
        if not (field.has_default if source is None else field.reads(source)):
            raise CatalogueError(
                f"{reader.record} v{reader.version} cannot read {field.name} of v{writer.version}"
            )
    return pairs


def _field(node: dict[str, Any]) -> Field:
    declared = node["type"]
    nullable = isinstance(declared, list)
    if nullable:
        if len(declared) != 2 or declared[0] != "null":
            raise CatalogueError(f'{node["name"]}: a union must be ["null", type]')
        declared = declared[1]
    kind, symbols = _kind(declared)
    # The default of bytes would be a string of code points, which nobody needs to understand.
    if not kind or (kind == "bytes" and "default" in node) or len(symbols) > SYMBOLS_MAX:
        raise CatalogueError(f"{node['name']}: records do not use the type {node['type']}")
    return Field(
        name=node["name"],
        kind=kind,
        doc=node.get("doc", ""),
        symbols=symbols,
        nullable=nullable,
        default=node.get("default", _MISSING),
    )


def _kind(declared: object) -> tuple[str, tuple[str, ...]]:
    """Return kind and symbols of a plain type; an empty kind for a type we do not use."""
    if isinstance(declared, str):
        return (declared if declared in _KINDS else ""), ()
    if not isinstance(declared, dict):
        return "", ()
    if declared.get("type") == "enum":
        return "enum", tuple(declared["symbols"])
    if declared == {"type": "long", "logicalType": "timestamp-millis"}:
        return "instant", ()
    return "", ()
