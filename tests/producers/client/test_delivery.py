"""A report reaches whoever waits for it, whenever they begin to wait."""

from __future__ import annotations

import asyncio
from threading import Barrier, Thread

import pytest

from producers.client.delivery import Delivery, NotDeliveredError, Report, State


def test_a_delivery_has_no_report_before_it_is_told() -> None:
    delivery = Delivery("t")
    assert delivery.state is None
    with pytest.raises(RuntimeError, match="no report yet"):
        delivery.report()
    with pytest.raises(TimeoutError):
        delivery.result(timeout_s=0.001)


def test_a_thread_that_waits_gets_the_report() -> None:
    delivery = Delivery("t")
    teller = Thread(target=delivery.spooled, args=(7,))
    teller.start()
    assert delivery.result(timeout_s=30) == Report(state=State.SPOOLED, topic="t", number=7)
    teller.join()


def test_a_coroutine_that_waits_gets_the_report() -> None:
    async def told() -> tuple[Report, Report]:
        delivery = Delivery("t")
        waiting = asyncio.ensure_future(_await(delivery))
        await asyncio.sleep(0)
        await asyncio.to_thread(delivery.spooled, 7)
        return await waiting, await delivery

    first, second = asyncio.run(asyncio.wait_for(told(), 30))
    assert first == second == Report(state=State.SPOOLED, topic="t", number=7)


async def _await(delivery: Delivery) -> Report:
    return await delivery


def test_a_failure_is_raised_to_who_waits_and_reported_to_who_looks() -> None:
    delivery = Delivery("t")
    delivery.failed("timed out")
    assert delivery.report() == Report(state=State.FAILED, topic="t", reason="timed out")
    with pytest.raises(NotDeliveredError, match="timed out"):
        delivery.result()
    with pytest.raises(NotDeliveredError, match="timed out"):
        asyncio.run(_await(delivery))


def test_a_callback_is_called_once_whoever_is_first() -> None:
    for _ in range(2_000):
        delivery, both = Delivery("t"), Barrier(2)
        called: list[Delivery] = []

        def tell(delivery: Delivery = delivery, both: Barrier = both) -> None:
            both.wait()
            delivery.spooled(1)

        teller = Thread(target=tell)
        teller.start()
        both.wait()
        delivery.add_done_callback(called.append)
        teller.join()
        assert called == [delivery]
