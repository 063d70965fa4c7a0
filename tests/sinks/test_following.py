"""Balances in memory are those that `account-balances` says last."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from schemas.raw import Raw
from schemas.singles import encode_one
from sinks.following import FollowedBalances, NotLevelError
from sinks.latest import LatestBalances
from sinks.metrics import FollowingMetrics
from sinks.records import Balance
from sinks.writer import BrokenRecordError
from tests.sinks.bench import WAIT_S, Bench, make_bench, plain, produce, producing, run
from tests.sinks.facts import PROGRAMME, Facts, balance, session, transfer


def written(account_id: str, sessions: int, **changes: Any) -> bytes:
    """Return the balance record of an account after some sessions."""
    booked = [
        transfer(session(number, account_id=account_id), "emission", 5_000)
        for number in range(sessions)
    ]
    row = plain(balance(booked)) | {"seen": bytes(8), "seen_days": bytes(4), "forgotten_until": 0}
    return encode_one("account_balance", row | changes)


def counts(found: Sequence[Balance | None]) -> list[int | None]:
    return [None if each is None else each.session_count for each in found]


def test_the_last_of_an_account_stays() -> None:
    latest = LatestBalances()
    latest.take(Raw.of([written("ann", 1), written("bob", 2), written("ann", 3)]))
    latest.take(Raw.of([written("eve", 4), written("bob", 5, programme="other")]))
    found = latest.balances(["bob", "nobody", "ann", "eve"])
    assert counts(found) == [5, None, 3, 4]
    assert [each and each.account_id for each in found] == ["bob", None, "ann", "eve"]
    assert [each and each.programme for each in found] == ["other", None, PROGRAMME, PROGRAMME]
    assert len(latest) == 3


def test_a_balance_has_the_fields_of_its_record() -> None:
    fields = {"reduction_mg": -5, "last_booked_at": 1_700_000_000_123, "updated_at": 9}
    latest = LatestBalances()
    latest.take(Raw.of([written("ann", 2, **fields)]))
    (found,) = latest.balances(["ann"])
    assert found is not None
    assert {name: getattr(found, name) for name in fields} == fields
    assert (found.account_id, found.emissions_mg, found.transfer_count) == ("ann", 10_000, 2)


def test_sums_are_those_of_the_balances_however_they_came() -> None:
    latest = LatestBalances()
    pieces = [
        [written("ann", 1, updated_at=5), written("bob", 2), written("ann", 3, updated_at=70)],
        [written("ann", 4, updated_at=60), written("eve", 2, programme="other", reduction_mg=-9)],
        [written("bob", 7), written("bob", 8), written("eve", 3, programme="other")],
    ]
    for piece in pieces:
        taken = latest.take(Raw.of(piece))
        assert len(taken.programmes) == len(taken.updated_ms) == len(piece)
        balances = [each for each in latest.balances(["ann", "bob", "eve"]) if each]
        for found in latest.sums():
            own = [each for each in balances if each.programme == found.programme]
            assert found.accounts == len(own)
            assert found.activities == sum(each.session_count for each in own)
            assert found.emissions_mg == sum(each.emissions_mg for each in own)
            assert found.reduction_mg == sum(each.reduction_mg for each in own)
            assert found.duplicates == sum(each.duplicate_count for each in own)
    assert [each.programme for each in latest.sums()] == [PROGRAMME, "other"]
    # The latest event of a programme stays the latest, also where an older balance says less.
    assert latest.sums()[0].newest_at >= 70


def test_a_balance_that_cannot_be_read_takes_nothing_in() -> None:
    latest = LatestBalances()
    with pytest.raises(BrokenRecordError, match="not_framed"):
        latest.take(Raw.of([written("ann", 1), b"what"]))
    assert latest.balances(["ann"]) == [None]


@pytest.fixture
def bench(broker: str, facts: Facts) -> Bench:
    """Topics of its own on the shared broker."""
    return asyncio.run(make_bench(broker, facts))


@asynccontextmanager
async def following(bench: Bench) -> AsyncIterator[FollowedBalances]:
    """Follow, and wait until it is level."""
    balances = FollowedBalances(bench.settings, FollowingMetrics(CollectorRegistry()))
    with pytest.raises(NotLevelError):
        await balances.balances(["ann"])
    with pytest.raises(NotLevelError):
        await balances.sums()
    task = asyncio.create_task(balances.run())
    try:
        async with asyncio.timeout(WAIT_S):
            while not balances.is_ready():
                assert not task.done(), task.exception()
                await asyncio.sleep(0.01)
        yield balances
    finally:
        task.cancel()
        await asyncio.wait({task})


async def follow_what_is_committed(bench: Bench) -> None:
    """Follow a topic that has balances already, through a transaction aborted and one committed."""
    await produce(bench, "account-balances", [written("ann", 1)], partition=0)
    await produce(bench, "account-balances", [written("bob", 2)], partition=1)
    async with (
        following(bench) as balances,
        producing(bench, transactional_id=f"{bench.settings.prefix}t") as producer,
    ):
        assert counts(await balances.balances(["ann", "bob", "eve"])) == [1, 2, None]
        topic = bench.topic("account-balances")
        await producer.begin_transaction()
        await producer.send_and_wait(topic, written("ann", 9), partition=0)
        await producer.abort_transaction()
        async with producer.transaction():
            await producer.send(topic, written("eve", 3), partition=0)
        async with asyncio.timeout(WAIT_S):
            # Ages are known once all of a fetch is taken in, after its balances can be asked for.
            while not balances.ages_ms(0):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert counts(await balances.balances(["ann", "eve"])) == [1, 3]
        (found,) = await balances.sums()
        assert (found.programme, found.accounts, found.activities) == (PROGRAMME, 3, 6)
        # Ages are those of what came since it was level: of eve's balance alone.
        (ages,) = balances.ages_ms(0).values()
        eve = (await balances.balances(["eve"]))[0]
        assert eve is not None
        assert len(ages) == 1
        assert abs(time.time() * 1000 - eve.updated_at - ages[0]) < WAIT_S * 1000
        assert balances.ages_ms(time.time() + 1) == {}


def test_who_follows_has_what_was_there_and_what_is_committed_later(bench: Bench) -> None:
    run(lambda: follow_what_is_committed(bench))


def test_a_broken_balance_ends_it(bench: Bench) -> None:
    async def scenario() -> None:
        await produce(bench, "account-balances", [b"what"])
        balances = FollowedBalances(bench.settings, FollowingMetrics(CollectorRegistry()))
        with pytest.raises(BrokenRecordError):
            await balances.run()
        assert not balances.is_ready()

    run(scenario)
