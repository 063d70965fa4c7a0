"""Full load: what a whole stack gets through when it is given more than it can take.

A producer in this process sends as fast as the broker acknowledges; broker, worker, sink and API
share the machine with it, as they do with the paced one later. The clock starts with the first
record sent. A load that is worked faster than it is stored would leave readers behind for ever, so
the slower of the two is the full load.
"""

import asyncio
import time
from dataclasses import dataclass
from threading import Event
from typing import Final

from benchmarks.generate import Load, Message, messages
from benchmarks.measure import BenchmarkError
from benchmarks.standing import PRIMERS, Standing
from producers.client.columns import CarbonflowProducer
from schemas.settings import BrokerSettings

SEED: Final = 99
LOOK_EVERY_S: Final = 0.1
STORED_AFTER_S: Final = 3.0
S_MAX: Final = 300.0


@dataclass(frozen=True, slots=True)
class Full:
    """Full load [events/s]: until all was worked, and until all could be asked for."""

    worked_per_s: float
    stored_per_s: float

    @property
    def per_s(self) -> int:
        """What the whole stack sustains.

        >>> Full(90_123.4, 71_456.7).per_s
        71456
        """
        return int(min(self.worked_per_s, self.stored_per_s))


def full_load(stack: Standing, events: int) -> Full:
    """Send so many events to a primed stack as fast as it goes, and return how fast they came out.

    Raises:
        BenchmarkError: They do not come out.
    """
    records = [message for chunk in messages(Load(events=events, seed=SEED)) for message in chunk]
    began_s = time.monotonic()
    asyncio.run(_send(stack.bootstrap, records))
    worked_s = stored_s = time.monotonic()
    worked, stored = stack.worked(), stack.stored()
    while worked < events + PRIMERS or time.monotonic() - stored_s < STORED_AFTER_S:
        Event().wait(LOOK_EVERY_S)
        now_s = time.monotonic()
        if now_s - began_s > S_MAX:
            raise BenchmarkError(f"only {worked:,} of {events:,} events are worked")
        if (count := stack.worked()) != worked:
            worked, worked_s = count, now_s
        if (count := stack.stored()) != stored:
            stored, stored_s = count, now_s
    return Full(events / (worked_s - began_s), events / (stored_s - began_s))


async def _send(bootstrap: str, records: list[Message]) -> None:
    async with CarbonflowProducer(BrokerSettings(bootstrap=bootstrap)) as producer:
        await producer.send_raw("charging-sessions", records)
