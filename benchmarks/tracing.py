"""`python -m benchmarks.tracing`: what traces cost a slice, in this process.

A slice of as many records as a worker takes at most: the span of it with nothing to link to, with
one sender, and with a sender of its own for every record; and its transfers and balances composed
with a header and without. The best of many turns, because others use the machine, too.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from opentelemetry.sdk.trace import TracerProvider

from schemas.otlp import HeadSampler, OtlpTracing
from schemas.records import RecordColumns
from schemas.traceparents import TRACEPARENT
from streams.book import Worked
from streams.delivery import composed
from streams.slice import Slice
from streams.spans import STAGES, end_span, slice_span
from streams.step import Outcome
from streams.warm import warm_up

RECORDS: Final = 16_384
TURNS: Final = 50


def _traceparent(number: int, *, flags: str = "01") -> str:
    return f"00-{number + 1:032x}-{number + 1:016x}-{flags}"


SENDERS: Final[Mapping[str, Callable[[int], str | None]]] = {
    "no record was sent in a span": lambda _number: None,
    "all were sent in one span": lambda _number: _traceparent(0),
    "each was sent in its own span": _traceparent,
    "each in its own, none recorded": lambda number: _traceparent(number, flags="00"),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """What was measured, and how long it took [us]."""

    of: str
    us: float


def main() -> None:
    """Print a table."""
    outcome = warm_up()
    gc.disable()
    for cost in costs(outcome):
        print(f"| {cost.of} | {cost.us:,.0f} us | {cost.us * 1000 / RECORDS:,.1f} ns |")


def costs(outcome: Outcome, *, turns: int = TURNS, records: int = RECORDS) -> list[Cost]:
    """Return what it costs.

    Args:
        outcome: What a slice leads to.
        turns: How often each is done.
        records: How many the slice has.
    """
    found = []
    for share in (0.0, 1.0):
        tracing = OtlpTracing(TracerProvider(HeadSampler(share)))
        for name, sender in SENDERS.items():
            part = slice_of([sender(number) for number in range(records)])
            worked = Worked(part, outcome, dict.fromkeys(STAGES, 0.01))

            def turn(part: Slice = part, worked: Worked = worked) -> None:
                end_span(slice_span(tracing, part, "carbonflow"), worked)  # noqa: B023

            found.append(Cost(f"a span, share {share:.0f}: {name}", _best_us(turn, turns)))
    plain = _best_us(lambda: composed(outcome), turns)
    headed = _best_us(lambda: composed(outcome, _traceparent(0)), turns)
    return [*found, Cost("headers of its first transfer and balance", headed - plain)]


def slice_of(senders: list[str | None]) -> Slice:
    """Return a slice of records that were sent in some spans, as a fetch brings it."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 1 << 30)
    for offset, sender in enumerate(senders):
        headers = [] if sender is None else [(TRACEPARENT, sender.encode())]
        builder.append(offset, 1, b"key", b"value", headers)
    (records,) = RecordColumns(
        bytes(builder.build()),
        fetch_offset=0,
        aborted=(),
        read_committed=True,
        check_crcs=True,
        records_max=lambda: len(senders),
    )
    times = np.full(len(senders), int(time.time() * 1000))
    return Slice.of("charging-sessions", 0, replace(records, timestamps_ms=times))


def _best_us(turn: Callable[[], object], turns: int) -> float:
    turn()
    seconds = []
    for _ in range(turns):
        began = time.perf_counter()
        turn()
        seconds.append(time.perf_counter() - began)
    return min(seconds) * 1e6


if __name__ == "__main__":
    main()
