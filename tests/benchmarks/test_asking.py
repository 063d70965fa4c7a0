"""Asking keeps to its schedule, and only a balance is an answer."""

import asyncio
from itertools import count

from aiohttp import web

from benchmarks.asking import Answers, ask_balances
from benchmarks.pacing import Schedule
from tests.benchmarks.http_servers import Handler, beside

SCHEDULE = Schedule(rate_per_s=200, seconds=0.1)


def asked(handler: Handler) -> Answers:
    return beside(handler, lambda url: ask_balances(url, SCHEDULE, ["ann", "fleet/7"]))


def test_every_request_of_the_schedule_is_answered() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"account_id": request.path})

    found = asked(answer).latencies(warm_s=0.0)
    assert (found.count, found.lost) == (20, 0)


def test_accounts_are_asked_for_in_turns_and_quoted() -> None:
    paths = []

    async def answer(request: web.Request) -> web.Response:
        paths.append(request.raw_path)
        return web.Response()

    asked(answer)
    assert paths[:3] == [
        "/v1/accounts/ann/balance",
        "/v1/accounts/fleet%2F7/balance",
        "/v1/accounts/ann/balance",
    ]


def test_a_slow_answer_does_not_hold_up_the_requests_after_it() -> None:
    numbers, all_but_one = count(1), asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        number = next(numbers)
        if number == 1:
            await all_but_one.wait()
        elif number == SCHEDULE.events:
            all_but_one.set()
        return web.Response()

    found = asked(answer)
    assert found.latencies(warm_s=0.0).lost == 0
    # It waited for the last, which was due 95 ms later, and its latency says so.
    assert found.done_s[0] - found.due_s[0] > 0.09


def test_what_is_no_balance_counts_as_never_answered() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=404 if "ann" in request.path else 200)

    found = asked(answer)
    assert found.faults == {"404": 10}
    assert found.latencies(warm_s=0.0).lost == 10


def test_requests_before_the_system_is_warm_are_left_out() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response()

    assert asked(answer).latencies(warm_s=0.05).count == 10
