"""Requests for balances share questions, and nobody gets another's answer or an older one."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from api.gathering import Gathering
from sinks.connect import StoreError
from sinks.records import Balance, Instant


def balance(account_id: str, session_count: int = 1) -> Balance:
    return Balance(
        account_id=account_id,
        programme="scheme",
        reduction_mg=0,
        emissions_mg=0,
        energy_wh=0,
        distance_m=0,
        transport_kg_km=0,
        session_count=session_count,
        trip_count=0,
        transfer_count=0,
        duplicate_count=0,
        last_booked_at=Instant(0),
        updated_at=Instant(0),
    )


class Held:
    """A store that holds its first question back until it is let go, and notes all of them."""

    def __init__(self) -> None:
        self.questions: list[list[str]] = []
        self.asked = threading.Event()
        self.let_go = threading.Event()
        self.count = 1

    def ask(self, account_ids: Sequence[str]) -> list[Balance]:
        """Answer with balances that count as many sessions as the store holds when asked."""
        self.questions.append(list(account_ids))
        count = self.count
        self.asked.set()
        assert self.let_go.wait(10)
        return [balance(each, count) for each in account_ids if each != "nobody"]


async def under_way(store: Held) -> None:
    """Return once the first question is asked."""
    await asyncio.to_thread(store.asked.wait, 10)


async def settled(*tasks: asyncio.Task[list[Balance | None]]) -> None:
    """Let tasks run until they wait."""
    for _ in tasks:
        await asyncio.sleep(0)


def names(found: list[Balance | None]) -> list[str | None]:
    return [None if each is None else each.account_id for each in found]


def test_balances_come_in_the_order_they_were_asked_for() -> None:
    store = Held()
    store.let_go.set()
    found = asyncio.run(Gathering(store.ask).balances(["bob", "nobody", "ann", "bob"]))
    assert names(found) == ["bob", None, "ann", "bob"]
    assert store.questions == [["bob", "nobody", "ann"]]


def test_no_accounts_are_no_question() -> None:
    store = Held()
    assert asyncio.run(Gathering(store.ask).balances([])) == []
    assert store.questions == []


def test_requests_that_come_during_a_question_share_the_next() -> None:
    store = Held()

    async def ask() -> list[list[str | None]]:
        gathered = Gathering(store.ask)
        tasks = [asyncio.create_task(gathered.balances(["ann"]))]
        await under_way(store)
        tasks += [
            asyncio.create_task(gathered.balances([account_id]))
            for account_id in ("bob", "eve", "bob")
        ]
        await settled(*tasks)
        store.let_go.set()
        return [names(await task) for task in tasks]

    assert asyncio.run(ask()) == [["ann"], ["bob"], ["eve"], ["bob"]]
    assert store.questions == [["ann"], ["bob", "eve"]]


def test_an_answer_is_never_older_than_its_request() -> None:
    store = Held()

    async def ask() -> list[int]:
        gathered = Gathering(store.ask)
        first = asyncio.create_task(gathered.balances(["ann"]))
        await under_way(store)
        store.count = 2
        second = asyncio.create_task(gathered.balances(["ann"]))
        await settled(second)
        store.let_go.set()
        return [each.session_count for task in (first, second) for each in await task if each]

    assert asyncio.run(ask()) == [1, 2]


def test_a_question_has_a_limit_and_the_rest_is_asked_next() -> None:
    store = Held()
    store.let_go.set()
    found = asyncio.run(Gathering(store.ask, accounts_max=2).balances(list("abcde")))
    assert names(found) == list("abcde")
    assert store.questions == [["a", "b"], ["c", "d"], ["e"]]


def test_a_question_that_fails_fails_for_all_who_asked_it_and_for_nobody_else() -> None:
    asked: list[list[str]] = []

    def ask(account_ids: Sequence[str]) -> list[Balance]:
        asked.append(list(account_ids))
        if len(asked) == 1:
            raise StoreError("away")
        return [balance(each) for each in account_ids]

    async def both() -> list[str | None]:
        gathered = Gathering(ask)
        with pytest.raises(StoreError, match="away"):
            await gathered.balances(["ann", "bob"])
        return names(await gathered.balances(["ann"]))

    assert asyncio.run(both()) == ["ann"]
    assert asked == [["ann", "bob"], ["ann"]]


def test_who_leaves_early_does_not_take_the_answer_from_others() -> None:
    store = Held()

    async def ask() -> list[str | None]:
        gathered = Gathering(store.ask)
        first = asyncio.create_task(gathered.balances(["ann"]))
        await under_way(store)
        leaving = asyncio.create_task(gathered.balances(["bob"]))
        staying = asyncio.create_task(gathered.balances(["bob"]))
        await settled(leaving, staying)
        leaving.cancel()
        store.let_go.set()
        await first
        return names(await staying)

    assert asyncio.run(ask()) == ["bob"]


def test_another_event_loop_starts_afresh_after_one_that_ended_in_between() -> None:
    store = Held()
    gathered = Gathering(store.ask)

    async def leave() -> None:
        task = asyncio.create_task(gathered.balances(["ann"]))
        await under_way(store)
        store.let_go.set()
        task.cancel()

    asyncio.run(leave())
    assert names(asyncio.run(gathered.balances(["ann"]))) == ["ann"]
