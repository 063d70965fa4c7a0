"""One stack with a made-up sample in it, and one browser, for all tests of the console.

Both end with the tests of this folder: while a browser is driven, its event loop runs in the thread
of the tests, and no other test could have one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser

from tests.console.browser import browser as run_browser
from tests.console.traffic import Traffic
from tests.end_to_end.up import Up, up

EVENTS: Final = 4_000
"""Of the sample, what is booked before the tests begin; they send the rest."""
EVENTS_ALL: Final = 12_000
BROKEN: Final = 40
"""Refusals beside those of the sample: more than a page of them."""


@dataclass(frozen=True, slots=True)
class Booked:
    """A running stack, and some of what is in it."""

    stack: Up
    traffic: Traffic
    account: str
    reduction: str
    refusal: str

    @property
    def url(self) -> str:
        """Where its API is."""
        return self.stack.api


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A browser."""
    with run_browser() as opened:
        yield opened


@pytest.fixture(scope="package")
def booked(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booked]:
    """A stack that has worked a sample."""
    del browser  # Where there is none, there is nothing to look at it with.
    with up(tmp_path_factory.mktemp("console")) as stack:
        stack.until(stack.is_ready)
        traffic = Traffic(stack.bootstrap, EVENTS_ALL, seed=7)
        traffic.send(EVENTS)
        traffic.send_broken(BROKEN)
        stack.until(lambda: is_booked(stack, EVENTS + BROKEN))
        yield booked_of(stack, traffic)


def is_booked(stack: Up, events: int) -> bool:
    """Return whether so many events are booked, known as repeats or refused, and stored."""
    beat = beat_of(stack)
    known = sum(each["activities"] + each["duplicates"] for each in beat["sums"])
    if known + sum(beat["refused"].values()) != events:
        return False
    totals = stack.get("/v1/totals")["totals"]
    stored = sum(each["activities"] for each in totals if each["quantity"] == "emission")
    return bool(stored == sum(each["activities"] for each in beat["sums"]))


def beat_of(stack: Up) -> Any:
    """Return how the pipeline is now."""
    with urlopen(f"{stack.api}/v1/console/pulse", timeout=30) as stream:
        (data,) = (line for line in islice(stream, 2) if line.startswith(b"data: "))
    return json.loads(data.removeprefix(b"data: "))[-1]


def booked_of(stack: Up, traffic: Traffic) -> Booked:
    """Return a driver of some sessions, one of their reductions, and a refusal."""
    found = stack.get("/v1/console/accounts?text=cn-driver&limit=20")["accounts"]
    account = max(found, key=lambda each: each["session_count"])["account_id"]
    transfers = stack.get(f"/v1/accounts/{account}/statement")["transfers"]
    reduction = next(each for each in transfers if each["quantity"] == "reduction")
    refusal = stack.get("/v1/refusals?order=newest&limit=1")["refusals"][0]
    return Booked(stack, traffic, account, reduction["transfer_id"], refusal["refusal_id"])
