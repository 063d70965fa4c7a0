"""Targets: the records a foreign row can become, as the catalogue has them.

The Avro record is the only list of fields there is: a field added there can be mapped at once, and
its default is what an unmapped field gets.
"""

from typing import Final

from schemas.catalogue import LATE_OF, shipped
from schemas.fields import Field, fields_of

RECORDS: Final = ("charging_session", "freight_trip")


def targets(record: str) -> tuple[Field, ...]:
    """Return the fields of a record of RECORDS, in the order of the record."""
    return fields_of(shipped().newest(record))


def topic_of(record: str) -> str:
    """Return the topic, without prefix, that the record is sent to."""
    topics, lanes = shipped().topics.values(), LATE_OF.values()
    (name,) = (t.name for t in topics if t.record == record and t.name not in lanes)
    return name
