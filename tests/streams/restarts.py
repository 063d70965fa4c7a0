"""A supervisor starts a worker again and again: its breaker goes on where it was."""

from __future__ import annotations

from tests.streams.deployment import Deployment
from tests.streams.scene import SESSIONS, Event, event, session

ACCOUNTS = ("anna", "bert", "carl", "dora")
RUN_MAX = 60
BEFORE = 50
AFTER = 200
STARTS = 3


def sent(first: int, count: int, **changes: object) -> list[Event]:
    """Return sessions of accounts of all partitions."""
    return [
        event(session(session_id=f"S{number}", account_id=ACCOUNTS[number % 4], **changes))
        for number in range(first, first + count)
    ]


async def restarts_let_nothing_more_through(made: Deployment) -> None:
    """Kill a worker before its breaker opens, and start it again after, several times."""
    limits = {"breaker_records": RUN_MAX, "slice_records_max": 10}
    worker = made.start(**limits)
    await made.send(SESSIONS, sent(0, BEFORE, energy_wh=-1))
    # A new broker knows no coordinator until the group has asked for one.
    await made.until_said("open: 0 accounts", worker)
    await made.until_worked(worker)
    assert len(await made.read("refusals")) == BEFORE
    worker.kill()
    await made.send(SESSIONS, sent(BEFORE, AFTER, energy_wh=-1))
    for _ in range(STARTS):
        worker = made.start(**limits)
        assert await worker.ended() not in {0, -9}
        assert "in a row" in worker.said()
        assert BEFORE <= len(await made.read("refusals")) < RUN_MAX
    # Let through on purpose, they are forgotten.
    worker = made.start(breaker_records=0, breaker_share=0)
    await made.until_worked(worker)
    assert len(await made.read("refusals")) == BEFORE + AFTER
    worker.kill()
    worker = made.start(**limits)
    await made.send(SESSIONS, sent(BEFORE + AFTER, BEFORE, energy_wh=-1))
    await made.until_worked(worker)
    assert len(await made.read("refusals")) == 2 * BEFORE + AFTER
