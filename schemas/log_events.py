"""What the processes log: each event with its level, its sentence and the fields it carries.

A name says the same for ever, so that who searches or alerts by it can rely on it; sentences may be
put better. Numbers stay numbers. No field is a secret, bytes of a record, or of an account: routes
are told as their templates, and slices by their coordinates.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from logging import CRITICAL, DEBUG, ERROR, INFO, WARNING
from typing import Any, Final, TypeAlias

Value: TypeAlias = str | int | float | Sequence["Value"] | Mapping[str, "Value"] | None

LIBRARY: Final = "library"
"""The event of a line that is not ours."""

COORDINATES: Final[Mapping[str, type]] = {
    "topic": str,
    "partition": int,
    "first_offset": int,
    "last_offset": int,
    "records": int,
}
"""Which slice: topic without prefix, partition, first and last offset, and how many records."""


@dataclass(frozen=True, slots=True)
class LogEvent:
    """What is logged under a name.

    Attributes:
        level: Of `logging`.
        says: The sentence, with fields in braces.
        fields: Type of each field; one that may be missing is None then.
    """

    level: int
    says: str
    fields: Mapping[str, type] = field(default_factory=dict)


_WHERE: Final = "{topic} {partition} from {first_offset} to {last_offset}"

LOG_EVENTS: Final[Mapping[str, LogEvent]] = {
    # Every process.
    "process_started": LogEvent(
        INFO,
        "Carbonflow {version} starts, with {settings}",
        {"version": str, "settings": dict},
    ),
    "process_stopped": LogEvent(
        INFO,
        "stopped after {seconds:.1f} s: {reason}",
        {"reason": str, "status": int, "seconds": float},
    ),
    "process_failed": LogEvent(CRITICAL, "cannot go on: {reason}", {"reason": str, "status": int}),
    "thread_failed": LogEvent(
        ERROR, "thread {thread} failed: {reason}", {"thread": str, "reason": str}
    ),
    "tracing_on": LogEvent(
        INFO, "traces go to {endpoint}, a share of {share}", {"endpoint": str, "share": float}
    ),
    "partitions_assigned": LogEvent(INFO, "owns {partitions}", {"partitions": dict}),
    "partitions_revoked": LogEvent(INFO, "gives up {partitions}", {"partitions": dict}),
    "progress": LogEvent(
        INFO,
        "{records} records in {seconds:.0f} s, {lag} wait",
        {"records": int, "seconds": float, "records_per_s": float, "lag": int},
    ),
    # Worker.
    "kernels_ready": LogEvent(INFO, "kernels ready after {seconds:.1f} s", {"seconds": float}),
    "factors_loaded": LogEvent(INFO, "{factors} factors in force", {"factors": int}),
    "factors_updated": LogEvent(
        INFO, "{factors} factors in force after an update", {"factors": int}
    ),
    "recovery_began": LogEvent(INFO, "opening book {partition}", {"partition": int}),
    "recovery_waits": LogEvent(
        INFO,
        "waiting for the {what} of book {partition}: {reason}",
        {"partition": int, "what": str, "reason": str},
    ),
    "recovery_ended": LogEvent(
        INFO,
        "book {partition} open: {accounts} accounts restored in {seconds:.2f} s, "
        "{records} records read, next offsets {next_offsets}",
        {
            "partition": int,
            "accounts": int,
            "records": int,
            "seconds": float,
            "next_offsets": dict,
        },
    ),
    "accounts_discarded": LogEvent(
        WARNING,
        "the accounts in {folder} are thrown away: {reason}",
        {"folder": str, "reason": str},
    ),
    "book_not_closed": LogEvent(
        WARNING,
        "book {partition} did not close: {reason}; it is given up",
        {"partition": int, "reason": str},
    ),
    "slice_worked": LogEvent(
        DEBUG,
        f"worked {_WHERE}: {{records}} records, {{refused}} refused, in {{seconds:.3f}} s",
        {**COORDINATES, "refused": int, "seconds": float, "stages_s": dict},
    ),
    "slice_slow": LogEvent(
        WARNING,
        f"{_WHERE} took {{seconds:.1f}} s: {{stages_s}}",
        {**COORDINATES, "seconds": float, "stages_s": dict},
    ),
    "slice_dropped": LogEvent(INFO, f"{_WHERE} dropped: revoked", COORDINATES),
    "slice_refused": LogEvent(
        ERROR,
        f"the breaker opens at {_WHERE}: {{refused}} of the last {{watched}} records of source "
        "{source} refused, {why}",
        {
            **COORDINATES,
            "source": str,
            "refused": int,
            "watched": int,
            "why": str,
            "codes": dict,
            "setting": str,
        },
    ),
    "breaker_waits": LogEvent(
        INFO, "waiting for what was refused before: {reason}", {"reason": str}
    ),
    "breaker_forgets": LogEvent(
        WARNING,
        "beside a committed offset is no account of refusals: {reason}",
        {"reason": str},
    ),
    "late_waits": LogEvent(
        WARNING,
        "late events wait, all others go on: {reason}",
        {"topic": str, "partition": int, "reason": str},
    ),
    "late_goes_on": LogEvent(
        WARNING,
        "late events go on after {seconds:.1f} s",
        {"topic": str, "partition": int, "seconds": float},
    ),
    "worker_fenced": LogEvent(
        ERROR,
        "fenced: another worker owns the partition now; if two run with the same "
        "CARBONFLOW_INSTANCE, give each its own",
        {"status": int},
    ),
    "worker_failed": LogEvent(
        CRITICAL, "stopping, offsets unmoved: {reason}", {"reason": str, "status": int}
    ),
    "worker_holds": LogEvent(
        CRITICAL,
        "ends in {seconds:.0f} s; its metrics tell about it until then",
        {"seconds": float},
    ),
    # Sink.
    "rows_inserted": LogEvent(
        DEBUG,
        "{rows} rows of {topic} inserted into {table} in {seconds:.3f} s",
        {"topic": str, "table": str, "rows": int, "seconds": float},
    ),
    "insert_slow": LogEvent(
        WARNING,
        "{rows} rows of {topic} inserted into {table} in {seconds:.1f} s",
        {"topic": str, "table": str, "rows": int, "seconds": float},
    ),
    "records_skipped": LogEvent(
        WARNING,
        "skipped {records} records of {topic}: {code}",
        {"topic": str, "records": int, "code": str},
    ),
    "commit_refused": LogEvent(
        WARNING, "offsets were not committed: the group is being rebalanced", {"partitions": dict}
    ),
    # `verify --every`.
    "verified": LogEvent(
        INFO,
        "compared in {seconds:.1f} s: {disagreements} disagreements",
        {"disagreements": int, "seconds": float},
    ),
    "drift_found": LogEvent(
        ERROR,
        "{kind}: expected {expected}, found {found}; `carbonflow verify` says where",
        {"kind": str, "expected": str, "found": str},
    ),
    "verify_failed": LogEvent(ERROR, "could not compare: {reason}", {"reason": str}),
    # API and gateway.
    "listening": LogEvent(INFO, "listening at {url}", {"url": str, "service_url": str}),
    "topic_missing": LogEvent(
        WARNING, "waiting for the topic {topic}: {reason}", {"topic": str, "reason": str}
    ),
    "balances_ready": LogEvent(
        INFO,
        "{accounts} accounts are at hand after {seconds:.1f} s",
        {"accounts": int, "seconds": float},
    ),
    "balances_not_ready": LogEvent(
        INFO,
        "{method} {route}: {reason}",
        {"method": str, "route": str, "reason": str, "times": int},
    ),
    "store_away": LogEvent(
        WARNING,
        "{method} {route}: the store is away: {reason}",
        {"method": str, "route": str, "reason": str, "times": int},
    ),
    "store_not_ready": LogEvent(WARNING, "the store is not ready: {reason}", {"reason": str}),
    "pulse_waits": LogEvent(
        DEBUG, "a beat of the console without {what}: {reason}", {"what": str, "reason": str}
    ),
    "store_ready": LogEvent(INFO, "the store is ready", {}),
    "request_failed": LogEvent(ERROR, "{method} {route} failed", {"method": str, "route": str}),
    "records_undelivered": LogEvent(
        WARNING, "{records} records were not delivered; their senders know", {"records": int}
    ),
}


def numbers_of(places: Iterable[Any]) -> dict[str, list[int]]:
    """Return the partitions of each topic, ascending, of what has both."""
    found: dict[str, list[int]] = {}
    for topic, partition in sorted((place.topic, place.partition) for place in places):
        found.setdefault(topic, []).append(partition)
    return found


def tell(
    log: logging.Logger, event: str, *, error: BaseException | None = None, **fields: Value
) -> None:
    """Log an event.

    Args:
        log: Who says it.
        event: One of LOG_EVENTS.
        error: What was raised; its stack is told.
        fields: Those of the event.
    """
    about = LOG_EVENTS[event]
    if log.isEnabledFor(about.level):
        says = about.says.format(**fields)
        log.log(about.level, says, exc_info=error, extra={"event": event, "fields": fields})
