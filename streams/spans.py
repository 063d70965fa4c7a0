"""The span of a slice: whose records it worked, how long each stage took, what came of it."""

from __future__ import annotations

import time
from typing import Final

from carbon.limits import FOREVER_MS
from schemas.tracing import Span, Tracing, senders_of
from streams.book import Worked
from streams.slice import Slice

STAGES: Final = ("read", "step", "deliver", "apply")
"""In this order, one behind the other."""


def slice_span(tracing: Tracing, part: Slice, group: str) -> Span:
    """Begin the span of a slice, which links to those its records were sent in."""
    senders = senders_of(part.values.data, part.headers_at)
    about = part.coordinates()
    # Who sent it says when, which may be any number.
    waited_ms = int(time.time() * 1000) - int(part.timestamps_ms[0])
    return tracing.span(
        f"process {part.topic}",
        "consumer",
        {
            "messaging.system": "kafka",
            "messaging.operation.type": "process",
            "messaging.destination.name": part.topic,
            "messaging.destination.partition.id": str(part.partition),
            "messaging.consumer.group.name": group,
            "messaging.batch.message_count": len(part),
            "carbonflow.first_offset": about["first_offset"],
            "carbonflow.last_offset": about["last_offset"],
            "carbonflow.waited_ms": min(max(0, waited_ms), FOREVER_MS),
            "carbonflow.links_left_out": senders.left_out,
        },
        links=senders.spans,
    )


def end_span(span: Span, worked: Worked) -> None:
    """End the span of a slice that is delivered, with its stages."""
    if span.traceparent is None:
        span.end()
        return
    ended_ns = time.time_ns()
    began_ns = ended_ns - int(sum(worked.seconds.values()) * 1e9)
    for stage in STAGES:
        until_ns = began_ns + int(worked.seconds[stage] * 1e9)
        span.stage(stage, began_ns, until_ns)
        began_ns = until_ns
    outcome = worked.outcome
    span.note(
        {
            "carbonflow.transfers": outcome.transfers.num_rows,
            "carbonflow.refused": len(outcome.refused),
            "carbonflow.late": len(outcome.late),
        }
    )
    span.end(ended_ns=ended_ns)
