"""Looking at the console: a page that notes whatever a page should not do.

Each page of `Looking` notes errors of its console, exceptions of its scripts, and requests that
leave this machine; `check` says that there were none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import quote, urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect

from tests.console.browser import WAIT_MS
from tests.toolchains import npm_ci
from tests.vendored.copy import HERE

Language = Literal["en", "zh"]
DESKTOP: Final = (1280, 800)
PHONE: Final = (360, 740)
LOCALES: Final = {"en": "en-GB", "zh": "zh-CN"}


@dataclass(slots=True)
class Looking:
    """A page of the console, and what was wrong with it."""

    page: Page
    url: str
    wrong: list[str] = field(default_factory=list)

    def go(self, view: str = "") -> None:
        """Open a view, and wait until it shows what it asked for."""
        self.page.goto(f"{self.url}/console#/{view}")
        self.settled()

    def settled(self) -> None:
        """Wait until nothing is on its way, and a heading is there."""
        expect(self.page.locator("main h1")).to_be_visible()
        expect(self.page.locator("main [aria-busy]")).to_have_count(0)
        expect(self.page.locator("main .waiting")).to_have_count(0)

    def check(self) -> None:
        """Say that nothing was wrong."""
        assert self.wrong == []

    def violations(self) -> list[str]:
        """Return what axe finds that keeps somebody from using the view."""
        if not self.page.evaluate("() => 'axe' in window"):
            self.page.evaluate((npm_ci(HERE) / "axe-core/axe.min.js").read_text("utf-8"))
        found: list[dict[str, Any]] = self.page.evaluate("async () => (await axe.run()).violations")
        return [
            f"{each['id']}: {node['target']} {node['failureSummary']}"
            for each in found
            for node in each["nodes"]
        ]

    def overflow_px(self) -> int:
        """Return how much wider than its window the page is."""
        width: int = self.page.evaluate(
            "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return width


@contextmanager
def looking(
    browser: Browser,
    url: str,
    *,
    size: tuple[int, int] = DESKTOP,
    language: Language = "en",
    dark: bool = False,
    scale: float = 1,
) -> Iterator[Looking]:
    """Open a page, in a session of its own, while the context is entered."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        locale=LOCALES[language],
        timezone_id="Asia/Shanghai",
        color_scheme="dark" if dark else "light",
        device_scale_factor=scale,
    )
    context.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    page = context.new_page()
    seen = Looking(page, url)

    def said(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            seen.wrong.append(f"console: {message.text} {message.location}")

    def asked(request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in {"data", "blob"} and parts.hostname != "127.0.0.1":
            seen.wrong.append(f"request: {request.url}")

    page.on("console", said)
    page.on("pageerror", lambda error: seen.wrong.append(f"exception: {error}"))
    page.on("request", asked)
    try:
        yield seen
    finally:
        context.close()


def path_of(text: str) -> str:
    """Return an id as it stands in the address of a view."""
    return quote(text, safe="")
