"""Take the pictures of docs/console.md: `make screenshots`.

A stack of its own, the made-up sample of `carbonflow demo`, and then traffic for as long as the
page needs to show some of it; every figure in the pictures is one that this stack has booked.
"""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import Final

from playwright.sync_api import expect

from tests.console.browser import browser
from tests.console.conftest import beat_of, booked_of, is_booked
from tests.console.looking import looking, path_of
from tests.console.traffic import Traffic
from tests.end_to_end.up import up

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
EVENTS: Final = 30_000
EVENTS_ALL: Final = 80_000
PER_S: Final = 400
TRAFFIC_S: Final = 90
SIZE: Final = (1280, 940)
PNG_BYTES_MAX: Final = 200_000


def main() -> None:
    """Take them."""
    with (
        tempfile.TemporaryDirectory() as folder,
        up(Path(folder)) as stack,
        browser() as opened,
        looking(opened, stack.api, size=SIZE) as console,
    ):
        stack.until(stack.is_ready)
        traffic = Traffic(stack.bootstrap, EVENTS_ALL, seed=1)
        traffic.send(EVENTS)
        stack.until(lambda: is_booked(stack, EVENTS))
        booked = booked_of(stack, traffic)
        console.go(f"accounts/{path_of(booked.account)}")
        expect(console.page.locator(".why").first).to_be_visible()
        expect(console.page.locator(".hint", has_text="Of the first")).to_have_count(0)
        take(console.page.screenshot(), "console-account.png")
        # What came all at once is not what the picture is about.
        stack.until(lambda: beat_of(stack)["freshness"] is None)
        console.go("pipeline")
        with traffic.flowing(PER_S):
            threading.Event().wait(TRAFFIC_S)
            console.page.click("text=Refresh")
            console.settled()
            take(console.page.screenshot(), "console-pipeline.png")
        console.check()


def take(picture: bytes, name: str) -> None:
    """Keep a picture, if it is small enough for a page."""
    assert len(picture) < PNG_BYTES_MAX, f"{name}: {len(picture):,} bytes"
    (DOCS / name).write_bytes(picture)


if __name__ == "__main__":
    main()
