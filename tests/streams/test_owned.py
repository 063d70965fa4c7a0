"""What a worker owns when it stops: slices under way end, whatever is cancelled around them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from prometheus_client import CollectorRegistry

from streams.limit import SliceLimit
from streams.metrics import WorkerMetrics
from streams.owned import Owned
from streams.settings import WorkerSettings
from tests.streams.scene import rules


async def cancelled_while_it_waits() -> tuple[bool, bool]:
    """Cancel who waits for a slice; return whether that ended, and whether the slice did."""
    owned = Owned(
        WorkerSettings(),
        WorkerMetrics(CollectorRegistry()),
        SliceLimit(records_max=1, ms_max=1),
        rules=rules,
        assignment=set,
        left=lambda *_: 0,
    )
    committed = asyncio.Event()

    async def work() -> None:
        await committed.wait()

    under_way = owned._underway[0] = asyncio.create_task(work())
    waiting = asyncio.create_task(owned.finish())
    await asyncio.sleep(0)
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    committed.set()
    await asyncio.wait([under_way])
    return waiting.cancelled(), not under_way.cancelled()


def test_a_slice_under_way_is_not_cancelled_with_who_waits_for_it() -> None:
    assert asyncio.run(cancelled_while_it_waits()) == (True, True)
