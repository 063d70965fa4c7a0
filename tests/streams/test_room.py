"""Room for slices: bounded, in order, and a slice larger than all of it is alone."""

from __future__ import annotations

import asyncio

from streams.room import Room


async def order_of(sizes: list[int], records_max: int) -> tuple[list[str], int]:
    """Let slices of some sizes ask for room at once; return what happened, and the most in work.

    Each goes on for as many turns of the loop as it has records, so the small ones end first.
    """
    room, happened, in_work, most = Room(records_max), [], 0, 0

    async def work(name: int, records: int) -> None:
        nonlocal in_work, most
        async with room.taken(records):
            in_work += records
            most = max(most, in_work)
            happened.append(f"begin {name}")
            for _ in range(records):
                await asyncio.sleep(0)
            happened.append(f"end {name}")
            in_work -= records

    await asyncio.gather(*(work(name, records) for name, records in enumerate(sizes)))
    return happened, most


def test_two_that_fit_are_in_work_together_and_a_third_waits() -> None:
    happened, most = asyncio.run(order_of([10, 10, 10], 20))
    assert happened.index("begin 1") < happened.index("end 0") < happened.index("begin 2")
    assert most == 20


def test_small_ones_do_not_overtake_a_large_one() -> None:
    happened, most = asyncio.run(order_of([10, 20, 1, 1], 20))
    begins = [what for what in happened if what.startswith("begin")]
    assert begins == [f"begin {name}" for name in range(4)]
    assert most <= 20


def test_one_larger_than_the_room_is_worked_alone() -> None:
    happened, most = asyncio.run(order_of([50, 5], 20))
    assert happened == ["begin 0", "end 0", "begin 1", "end 1"]
    assert most == 50


def test_room_is_given_back_by_one_that_fails() -> None:
    async def failing() -> None:
        room = Room(10)
        for _ in range(3):
            try:
                async with room.taken(10):
                    raise ValueError
            except ValueError:
                continue
        async with asyncio.timeout(10), room.taken(10):
            pass

    asyncio.run(failing())
