"""Avro by hand: records as the bytes of their fields, so that each of them can be made wrong.

Nothing of `schemas` writes or reads here but the schemas themselves: what a fuzzer makes and what
it expects must not come from the code it looks at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from io import BytesIO
from typing import Any, Final

import fastavro

RECORD_OF: Final = {"charging-sessions": "charging_session", "freight-trips": "freight_trip"}
FRAME_BYTES: Final = 5
CANNOT_READ: Final = (
    EOFError,
    IndexError,
    ValueError,
    TypeError,
    OverflowError,
    MemoryError,
    StopIteration,
)
"""What fastavro raises where bytes are no record; UnicodeDecodeError is a ValueError."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a schema."""

    name: str
    kind: str
    symbols: tuple[str, ...]
    nullable: bool


@cache
def catalogue() -> Mapping[int, str]:
    """Return the record that each schema id names."""
    data = json.loads(files("schemas").joinpath("catalogue.json").read_text("utf-8"))
    return {entry["id"]: entry["record"] for entry in data["schemas"]}


@cache
def schema_id(record: str) -> int:
    """Return the one id of a record; there are no second versions yet."""
    (found,) = (number for number, name in catalogue().items() if name == record)
    return found


@cache
def fields(record: str) -> tuple[Field, ...]:
    """Return the fields of a record."""
    return tuple(_field(node) for node in _schema(record)["fields"])


def varint(number: int) -> bytes:
    """Return a number as a zigzag varint, of any size.

    >>> varint(-1), varint(64), varint(2**63 - 1).hex()
    (b'\\x01', b'\\x80\\x01', 'feffffffffffffffff01')
    """
    rest = number << 1 if number >= 0 else ((-number) << 1) - 1
    out = bytearray()
    while rest >= 0x80:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def text(value: bytes) -> bytes:
    """Return bytes with their length before them."""
    return varint(len(value)) + value


def pieces(record: str, values: Mapping[str, Any]) -> list[bytes]:
    """Return the bytes of each field; strings may be given as bytes that are no text."""
    return [_piece(field, values[field.name]) for field in fields(record)]


def framed(record: str, payload: bytes) -> bytes:
    """Return a payload with the frame of its record."""
    return b"\0" + schema_id(record).to_bytes(4, "big") + payload


def encoded(record: str, values: Mapping[str, Any]) -> bytes:
    """Return a framed record."""
    return framed(record, b"".join(pieces(record, values)))


def read(record: str, value: bytes | None) -> tuple[dict[str, Any] | None, str]:
    """Return what fastavro reads, or None and the code of the refusal.

    Documented differences, all of them `undecodable` with us: bytes behind the record, varints
    longer than they need be, ints beyond 32 bits (`schemas.singles`).
    """
    if value is None or len(value) < FRAME_BYTES or value[0] != 0:
        return None, "not_framed"
    named = catalogue().get(int.from_bytes(value[1:FRAME_BYTES], "big"))
    if named != record:
        return None, "unknown_schema" if named is None else "wrong_record"
    stream = BytesIO(value[FRAME_BYTES:])
    try:
        found: Any = fastavro.schemaless_reader(stream, _parsed(record), None)
    except CANNOT_READ:
        return None, "undecodable"
    try:
        again = encoded(record, found)
    except UnicodeEncodeError:
        return None, "undecodable"
    ints = [found[field.name] for field in fields(record) if field.kind == "int"]
    fits = all(-(2**31) <= number < 2**31 for number in ints)
    return (found, "") if fits and again == value else (None, "undecodable")


def _piece(field: Field, value: Any) -> bytes:
    branch = b""
    if field.nullable:
        if value is None:
            return b"\0"
        branch = b"\2"
    if field.kind == "string":
        return branch + text(value if isinstance(value, bytes) else value.encode())
    if field.kind == "enum":
        return branch + varint(field.symbols.index(value))
    return branch + varint(value)


def _field(node: Mapping[str, Any]) -> Field:
    kind = node["type"]
    nullable = isinstance(kind, list)
    if nullable:
        kind = kind[1]
    symbols: tuple[str, ...] = ()
    if isinstance(kind, dict):
        symbols = tuple(kind.get("symbols", ()))
        kind = kind["type"]
    return Field(node["name"], kind, symbols, nullable)


@cache
def _schema(record: str) -> dict[str, Any]:
    name = f"{record}.v1.avsc"
    plain: dict[str, Any] = _plain(
        json.loads(files("schemas").joinpath("avro", name).read_text("utf-8"))
    )
    return plain


@cache
def _parsed(record: str) -> Any:
    return fastavro.parse_schema(_schema(record))


def _plain(node: Any) -> Any:
    """Return a schema whose instants are plain longs."""
    if isinstance(node, list):
        return [_plain(one) for one in node]
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items() if key != "logicalType"}
    return node
