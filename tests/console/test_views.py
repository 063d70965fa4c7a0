"""Every view, as people have it: both languages, two sizes, light and dark; nothing keeps anybody
out, nothing is wider than its window, nothing comes from elsewhere.

SCREENSHOTS names a folder that pictures of all of them go to.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, expect

from tests.console.conftest import Booked
from tests.console.looking import DESKTOP, PHONE, Looking, looking, path_of

LOOKS: Final[dict[str, dict[str, Any]]] = {
    "desktop, English, light": {"size": DESKTOP, "language": "en", "dark": False},
    "desktop, Chinese, dark": {"size": DESKTOP, "language": "zh", "dark": True},
    "phone, Chinese, light": {"size": PHONE, "language": "zh", "dark": False},
    "phone, English, dark": {"size": PHONE, "language": "en", "dark": True},
}
# What stands there once the view has what it asked for.
VIEWS: Final = {
    "pipeline": ("pipeline", ".view-pipeline .tile"),
    "carbon": ("carbon", ".view-carbon canvas"),
    "accounts": ("accounts", ".view-accounts tbody a"),
    "account": ("accounts/{account}", ".view-accounts .why"),
    "transfer": ("transfers/{reduction}", ".formula .result"),
    "refusals": ("refusals", ".view-refusals tbody a"),
    "refusal": ("refusals/{refusal}", "pre.raw"),
    "factors": ("factors?text=CN", ".factor-list li"),
}


@pytest.fixture(scope="module", params=list(LOOKS.values()), ids=list(LOOKS))
def seen(request: pytest.FixtureRequest, browser: Browser, booked: Booked) -> Iterator[Looking]:
    """A page with one of the looks."""
    with looking(browser, booked.url, **request.param) as opened:
        yield opened


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_for_everybody(
    request: pytest.FixtureRequest, seen: Looking, booked: Booked, view: str
) -> None:
    path, shown = VIEWS[view]
    ids = {name: path_of(getattr(booked, name)) for name in ("account", "reduction", "refusal")}
    seen.go(path.format(**ids))
    expect(seen.page.locator(shown).first).to_be_visible()
    expect(seen.page.locator("main h1")).to_have_count(1)
    assert seen.page.title().endswith("Carbonflow")
    if folder := os.environ.get("SCREENSHOTS"):
        name = request.node.callspec.id.replace(", ", "-")
        seen.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
    assert seen.overflow_px() <= 0
    assert seen.violations() == []
    seen.check()


def test_a_view_speaks_the_language_it_is_in(browser: Browser, booked: Booked) -> None:
    with looking(browser, booked.url, language="en") as english:
        english.go("carbon")
        assert english.page.locator("html").get_attribute("lang") == "en"
        assert all(ord(letter) < 0x2E80 for letter in english.page.inner_text("main"))
        english.page.click("text=中文")
        expect(english.page.locator("h1")).to_have_text("碳量")
        assert english.page.locator("html").get_attribute("lang") == "zh-Hans"
        expect(english.page.locator("tbody th", has_text="江苏")).to_have_count(1)
        # It is remembered, and the button keeps the focus.
        assert english.page.evaluate("document.activeElement.id") == "language"
        english.page.reload()
        expect(english.page.locator("h1")).to_have_text("碳量")
        english.check()


def test_light_and_dark_can_be_chosen_and_are_remembered(browser: Browser, booked: Booked) -> None:
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    with looking(browser, booked.url) as page:
        page.go("factors")
        light = page.page.evaluate(ground)
        page.page.click("#theme")
        dark = page.page.evaluate(ground)
        assert dark != light
        page.page.reload()
        page.settled()
        assert page.page.evaluate(ground) == dark
        page.page.click("#theme")
        assert page.page.evaluate(ground) == light
        page.check()
    with looking(browser, booked.url, dark=True) as page:
        page.go("factors")
        assert page.page.evaluate(ground) == dark
        page.page.emulate_media(color_scheme="light")
        expect(page.page.locator("html")).to_have_attribute("data-theme", "light")
        page.check()
