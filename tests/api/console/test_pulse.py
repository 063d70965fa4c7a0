"""The pulse: one question for all who look, none when nobody does, and an end when the server has
one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import OperationalError

from api.console.pulse import Beat, Pulse
from api.problems import ProblemError
from sinks.overview import Overview
from sinks.queries import Queries
from tests.sinks.facts import Facts


class Counting(Queries):
    """Questions to a store, which are counted, and fail when they are told to."""

    count = 0
    failing: Exception | None = None

    def rows(self, sql: str, **values: Any) -> Sequence[Sequence[Any]]:
        self.count += 1
        if self.failing:
            raise self.failing
        return super().rows(sql, **values)


@pytest.fixture
def queries(facts: Facts) -> Counting:
    """Questions to the store."""
    return Counting(facts.client, database=facts.database)


def pulse_of(queries: Queries, ending: asyncio.Event, listeners_max: int = 3) -> Pulse:
    return Pulse(Overview(queries), None, listeners_max=listeners_max, ending=ending)


def test_who_comes_as_the_last_leaves_begins_anew(queries: Counting) -> None:
    async def scenario() -> None:
        pulse = pulse_of(queries, asyncio.Event())
        for _ in range(3):
            assert len(await take(pulse, 1)) == 1

    asyncio.run(scenario())


async def take(pulse: Pulse, count: int) -> list[Beat]:
    """Return the next beats that one listener gets."""
    beats: list[Beat] = []
    stream = pulse.listen()
    async for some in stream:
        beats += some
        if len(beats) >= count:
            break
    await stream.aclose()  # type: ignore[attr-defined]
    return beats


def test_all_who_look_share_the_questions(queries: Counting) -> None:
    async def scenario() -> None:
        pulse = pulse_of(queries, asyncio.Event())
        assert queries.count == 0
        heard = await asyncio.gather(*(take(pulse, 2) for _ in range(3)))
        assert all(beats == heard[0] for beats in heard)
        # Each beat asks what was received, what was refused, and for the sums.
        assert queries.count == 3 * len(heard[0])
        assert pulse.listeners == 0
        # Nobody looks: nothing that was begun is left, so nothing asks.
        left = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait(left or {asyncio.ensure_future(asyncio.sleep(0))}, timeout=5)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())


def test_who_comes_later_gets_what_was_before(queries: Counting) -> None:
    async def scenario() -> None:
        pulse = pulse_of(queries, asyncio.Event())
        first = asyncio.create_task(take(pulse, 3))
        early = await take(pulse, 1)
        late = await take(pulse, 2)
        assert late[0] == early[0]
        assert (await first)[0] == early[0]

    asyncio.run(scenario())


def test_there_is_room_for_so_many(queries: Counting) -> None:
    async def scenario() -> None:
        pulse = pulse_of(queries, asyncio.Event(), listeners_max=1)
        stream = pulse.listen()
        await anext(stream)
        with pytest.raises(ProblemError, match="1 look at the pipeline already"):
            await anext(pulse.listen())
        await stream.aclose()  # type: ignore[attr-defined]
        assert len(await take(pulse, 1)) == 1

    asyncio.run(scenario())


def test_the_end_of_the_server_is_the_end_of_the_stream(queries: Counting) -> None:
    async def scenario() -> None:
        ending = asyncio.Event()
        pulse = pulse_of(queries, ending)
        listening = asyncio.create_task(take(pulse, 1_000))
        await take(pulse, 1)
        ending.set()
        async with asyncio.timeout(5):
            assert await listening

    asyncio.run(scenario())


def test_a_store_that_is_away_is_said(queries: Counting) -> None:
    async def scenario() -> None:
        pulse = pulse_of(queries, asyncio.Event())
        queries.failing = OperationalError("connection refused")
        (beat,) = await take(pulse, 1)
        assert (beat.received, beat.refused, beat.sums) == (None, None, None)

    asyncio.run(scenario())


def test_a_bug_ends_the_stream_with_its_error(queries: Counting) -> None:
    async def scenario() -> None:
        pulse = pulse_of(queries, asyncio.Event())
        queries.failing = ZeroDivisionError("a bug")
        with pytest.raises(ZeroDivisionError):
            await take(pulse, 1)
        queries.failing = None
        assert len(await take(pulse, 1)) == 1

    asyncio.run(scenario())
