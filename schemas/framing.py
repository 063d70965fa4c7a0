"""The frame around every value: a zero byte and the schema id, as Confluent's serialisers write it.

    WireError          not one of our records: `code` is one of carbon.refusal, `reason` for people
    anything else      a bug

Source: Confluent Schema Registry, wire format: magic byte 0, then the id as four bytes, big-endian.
"""

from typing import Final

from schemas.catalogue import AvroSchema, Catalogue

FRAME_BYTES: Final = 5

VALUE_BYTES_MAX: Final = 900_000
"""A larger value might not fit into a message: brokers accept 1 MiB by default."""


class WireError(ValueError):
    """A value that is not one of our records."""

    def __init__(self, code: str, reason: str) -> None:
        """Keep the stable code and the reason a person reads."""
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        """Return code and reason in one line."""
        return f"{self.code}: {self.reason}"


def frame(schema_id: int) -> bytes:
    """Return the five bytes that go before a record.

    >>> frame(1)
    b'\\x00\\x00\\x00\\x00\\x01'
    """
    return b"\0" + schema_id.to_bytes(4, "big")


def schema_id_in(value: bytes | None) -> int:
    """Return the schema id a value names.

    Raises:
        WireError: `not_framed`: the value is missing, empty, too short or begins otherwise.
    """
    if not value:
        raise WireError("not_framed", "the value is empty")
    if value[0] != 0:
        raise WireError("not_framed", f"the first byte is {value[0]}, not 0")
    if len(value) < FRAME_BYTES:
        raise WireError("not_framed", f"{len(value)} bytes are too short for a frame")
    return int.from_bytes(value[1:FRAME_BYTES], "big")


def writer_of(
    value: bytes | None, catalogue: Catalogue, *, record: str | None = None
) -> AvroSchema:
    """Return the schema a value was written with, which must be one of `record` if that is given.

    Raises:
        WireError: `not_framed`, `unknown_schema` or `wrong_record`.
    """
    schema_id = schema_id_in(value)
    if record is not None:
        known = catalogue.writer(record, schema_id)
        if known is not None:
            return known
    schema = catalogue.schemas.get(schema_id)
    if schema is None:
        raise WireError("unknown_schema", f"the catalogue has no schema {schema_id}")
    if record is not None:
        raise WireError("wrong_record", f"it is a {schema.record}, not a {record}")
    return schema
