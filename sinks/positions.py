"""Source positions: which records of the activity topics there are, each counted once.

A record is known by its place (topic, partition, offset). It is in the table of its topic if it
could be decoded (or in `erasures`, once it is erased), in the refusals if the worker refused it, or
in both. A record found in the wrong
partition is produced again to the right one, and the copy names its original in `rekeyed_from`; the
original then stands for nothing and is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ActivityTopic:
    """An activity topic without prefix, its table, the view of its places, and the activity."""

    topic: str
    table: str
    places: str
    activity: str


ACTIVITY_TOPICS: Final = (
    ActivityTopic("charging-sessions", "charging_sessions", "session_places", "charging"),
    ActivityTopic("freight-trips", "freight_trips", "trip_places", "freight"),
)


def below(worked: Mapping[int, int] | None, partition: str, offset: str) -> str:
    """Return SQL that is true for places below the worked offsets; always true for None.

    Args:
        worked: Next offset to be worked, by partition; a partition it lacks is not worked at all.
        partition: Column of the partition.
        offset: Column of the offset.

    >>> below({0: 7, 1: 12}, "_partition", "_offset")
    '(_offset < transform(_partition, [0, 1], [7, 12], 0))'
    """
    if worked is None:
        return "true"
    if not worked:
        return "false"
    partitions = ", ".join(str(int(number)) for number in worked)
    ends = ", ".join(str(int(end)) for end in worked.values())
    return f"({offset} < transform({partition}, [{partitions}], [{ends}], 0))"


def source_events(where: ActivityTopic, worked: Mapping[int, int] | None = None) -> str:
    """Return SQL that counts the records of an activity topic below the worked offsets."""
    refused = refused_places(where, worked)
    return (
        f"((SELECT count() FROM {{db}}.{where.places} "
        f"WHERE {below(worked, '_partition', '_offset')} "
        f"AND (_partition, _offset) NOT IN ({rekeyed_places(where)}) "
        f"AND (_partition, _offset) NOT IN ({refused})) "
        f"+ (SELECT count() FROM ({refused})))"
    )


def refused_places(where: ActivityTopic, worked: Mapping[int, int] | None = None) -> str:
    """Return SQL of the distinct places the worker refused, as partition and offset."""
    # A deployment may prefix its topics.
    return (
        "SELECT DISTINCT assumeNotNull(partition) AS p, assumeNotNull(offset) AS o "
        f"FROM {{db}}.refused WHERE origin = 'worker' AND endsWith(topic, '{where.topic}') "
        f"AND {below(worked, 'p', 'o')}"
    )


def rekeyed_places(where: ActivityTopic) -> str:
    """Return SQL of the places of re-keyed originals, as partition and offset."""
    return (
        "SELECT toInt32(splitByChar(':', assumeNotNull(_rekeyed_from))[1]) AS p, "
        "toInt64(splitByChar(':', assumeNotNull(_rekeyed_from))[2]) AS o "
        f"FROM {{db}}.{where.places} WHERE _rekeyed_from IS NOT NULL"
    )
