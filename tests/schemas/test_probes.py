"""Probes say how the process is, and its metrics are where they were."""

import asyncio
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, Gauge

from schemas.probes import STARTING, Signs, serve_probes


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def asked(url: str) -> tuple[int, str]:
    try:
        with urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_process_is_well_until_its_event_loop_stands_still() -> None:
    clock = Clock()
    signs = Signs(silent_s_max=60, now=clock)
    clock.now_s += 1_000  # It compiles, and waits for its topics, before there is a loop.
    assert signs.health() == ""
    signs.sign()
    clock.now_s += 60
    assert signs.health() == ""
    clock.now_s += 5
    assert signs.health() == signs.readiness() == "its event loop has stood still for 65 s"
    signs.sign()
    assert signs.health() == ""


def test_it_is_ready_when_it_waits_for_nothing() -> None:
    signs = Signs()
    assert signs.readiness() == STARTING
    waits = ["for its group"]
    signs.waits_for(lambda: "".join(waits))
    assert signs.readiness() == "for its group"
    waits.clear()
    assert signs.readiness() == ""


def test_a_loop_signs_as_long_as_it_turns() -> None:
    clock = Clock()
    signs = Signs(silent_s_max=60, now=clock)

    async def turn() -> None:
        keeping = asyncio.create_task(signs.keep())
        await asyncio.sleep(0)
        clock.now_s += 61
        assert signs.health()
        keeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeping

    asyncio.run(turn())


def test_all_are_served_beside_each_other() -> None:
    registry, clock = CollectorRegistry(), Clock()
    Gauge("answer", "Of everything.", registry=registry).set(42)
    signs = Signs(silent_s_max=60, now=clock)
    port = serve_probes(registry, signs, host="127.0.0.1", port=0)
    url = f"http://127.0.0.1:{port}"
    assert asked(f"{url}/healthz") == (200, "ok\n")
    assert asked(f"{url}/readyz") == (503, f"{STARTING}\n")
    signs.sign()
    signs.waits_for(str)
    assert asked(f"{url}/readyz") == (200, "ready\n")
    clock.now_s += 61
    still = "its event loop has stood still for 61 s\n"
    assert asked(f"{url}/healthz") == asked(f"{url}/readyz") == (503, still)
    status, metrics = asked(f"{url}/metrics")
    assert (status, "answer 42.0" in metrics) == (200, True)
    assert asked(f"{url}/elsewhere")[0] == 404


def test_an_address_that_is_taken_is_an_error() -> None:
    registry = CollectorRegistry()
    port = serve_probes(registry, Signs(), host="127.0.0.1", port=0)
    with pytest.raises(OSError, match="in use"):
        serve_probes(registry, Signs(), host="127.0.0.1", port=port)
