"""Small slices take turns on a thread, two large ones are worked at once."""

from __future__ import annotations

import asyncio
import threading

import pytest

from streams.threads import SMALL, on_thread

WAIT_S = 20.0


def test_small_slices_take_turns() -> None:
    begun: list[int] = []

    def work(number: int) -> str:
        begun.append(number)
        return threading.current_thread().name

    async def scenario() -> list[str]:
        return await asyncio.gather(*(on_thread(SMALL - 1, work, number) for number in range(20)))

    assert len(set(asyncio.run(scenario()))) == 1
    assert begun == list(range(20))


def test_two_large_slices_and_a_small_one_are_worked_at_once() -> None:
    # None gets through before all three are there.
    together = threading.Barrier(3, timeout=WAIT_S)

    async def scenario() -> list[int]:
        sizes = [SMALL, SMALL, SMALL - 1]
        return await asyncio.gather(*(on_thread(size, together.wait) for size in sizes))

    assert sorted(asyncio.run(scenario())) == [0, 1, 2]


def test_what_a_slice_raises_is_raised() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        asyncio.run(on_thread(1, int, "no number"))
