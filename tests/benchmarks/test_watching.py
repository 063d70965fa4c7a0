"""Watching: a probe is seen once, its latency counts from when it was due."""

import asyncio
import time

import numpy as np
import pytest
from aiohttp import web

from benchmarks.probes import ProbeAccounts
from benchmarks.watching import GRACE_S, Watch, watch_balances
from tests.benchmarks.http_servers import beside

ACCOUNTS = ProbeAccounts.over(4)


def watch_of(*due_s: float) -> Watch:
    return Watch(ACCOUNTS, np.array(due_s))


def test_a_probe_is_out_from_when_it_is_due_until_it_is_seen() -> None:
    watch = watch_of(10.0, 11.0, 12.0)
    assert watch.out(9.0) == []
    assert watch.out(11.5) == [0, 1]
    watch.saw(0, 11.5)
    assert watch.out(11.5) == [1]


def test_only_the_first_sight_counts() -> None:
    watch = watch_of(10.0)
    watch.saw(0, 10.2)
    watch.saw(0, 10.9)
    assert watch.latencies(warm_s=0.0).max_ms == pytest.approx(200)


def test_a_probe_that_is_never_seen_counts_until_the_end_of_waiting() -> None:
    watch = watch_of(10.0, 11.0)
    watch.saw(0, 10.1)
    found = watch.latencies(warm_s=0.0)
    assert found.lost == 1
    assert found.max_ms == pytest.approx(GRACE_S * 1000)


def test_probes_before_the_system_is_warm_are_left_out() -> None:
    watch = watch_of(10.0, 11.0, 12.0)
    for probe, seen_s in enumerate((19.0, 11.1, 12.2)):
        watch.saw(probe, seen_s)
    found = watch.latencies(warm_s=1.0)
    assert found.count == 2
    assert found.max_ms == pytest.approx(200)


def test_waiting_ends_when_all_are_seen_or_it_has_been_long_enough() -> None:
    watch = watch_of(10.0)
    assert not watch.is_done(10.0)
    assert watch.is_done(10.1 + GRACE_S)
    watch.saw(0, 10.2)
    assert watch.is_done(10.2)


def test_a_balance_that_counts_the_nth_session_shows_the_nth_probe() -> None:
    """The API is asked again until it counts both sessions of an account, and both are seen."""
    probes = len(ACCOUNTS.names) + 1
    start_s = time.monotonic()
    watch = Watch(ACCOUNTS, np.full(probes, start_s))
    second_asked = asyncio.Event()
    asked: list[list[str]] = []

    async def answer(request: web.Request) -> web.Response:
        accounts = (await request.json())["account_ids"]
        asked.append(accounts)
        known = 2 if second_asked.is_set() else 1
        second_asked.set()
        balances = [{"account_id": each, "session_count": known} for each in accounts]
        return web.json_response({"balances": balances})

    beside(answer, lambda url: watch_balances(url, watch))
    assert watch.latencies(warm_s=0.0).lost == 0
    # With one session counted, the last probe alone is out: the second of the first account.
    assert [len(each) for each in asked] == [len(ACCOUNTS.names), 1]
    assert asked[1] == [ACCOUNTS.of(0)]
    assert watch.seen_s[-1] > watch.seen_s[0]
