"""The console of an API with tokens: who has none is asked for one, and each sees what it sees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from sinks.queries import Queries
from tests.api.conftest import client, facts  # noqa: F401 - Fixtures.
from tests.api.served import Served, served
from tests.console.looking import Looking, looking
from tests.sinks.facts import Facts


@pytest.fixture(scope="module")
def api(
    facts: Facts,  # noqa: F811 - The fixture above.
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Served]:
    """An API with tokens, whose balances come from the store."""
    folder: Path = tmp_path_factory.mktemp("tokens")
    queries = Queries(facts.client, database=facts.database)
    with served(queries, folder, api_burst=10_000, api_rate_per_s=10_000) as running:
        yield running


@pytest.fixture
def console(browser: Browser, api: Served) -> Iterator[Looking]:
    """The console, where nobody has signed in."""
    with looking(browser, api.url) as page:
        page.go()
        yield page


def sign_in(console: Looking, token: str) -> None:
    console.page.fill("#token", token)
    console.page.keyboard.press("Enter")


def menu(console: Looking) -> list[str]:
    return console.page.locator("nav a").all_inner_texts()


def test_a_token_is_asked_for_and_nobodys_is_refused(console: Looking) -> None:
    expect(console.page.locator("h1")).to_have_text("Sign in")
    expect(console.page.locator("#token")).to_be_focused()
    assert console.violations() == []
    sign_in(console, "cf_nobody")
    expect(console.page.locator("#token-wrong")).to_contain_text("nobody's")
    assert console.violations() == []
    assert console.page.locator("nav").count() == 0
    # The browser notes each 401 by itself.
    assert all("401" in each for each in console.wrong)


def test_a_token_for_sending_is_told_so(console: Looking, api: Served) -> None:
    sign_in(console, api.tokens["send"])
    expect(console.page.locator("#token-wrong")).to_contain_text("for sending")


def test_an_operator_sees_everything_until_signed_out(console: Looking, api: Served) -> None:
    sign_in(console, api.tokens["operator"])
    expect(console.page.locator("h1")).to_contain_text("Pipeline")
    assert menu(console) == ["Pipeline", "Carbon", "Accounts", "Refusals", "Factors"]
    # Balances come from the store, which tells no freshness, and says so.
    expect(console.page.locator(".tile", has_text="Freshness")).to_contain_text("not measured")
    expect(console.page.locator("tbody th", has_text="city").first).to_be_visible()
    console.page.reload()
    expect(console.page.locator("h1")).to_contain_text("Pipeline")
    assert api.tokens["operator"] not in console.page.url
    assert console.page.evaluate("Object.values(localStorage)") == []
    console.page.click("#sign-out")
    expect(console.page.locator("h1")).to_have_text("Sign in")
    assert console.page.evaluate("sessionStorage.length") == 0


def test_a_programme_sees_itself(console: Looking, api: Served) -> None:
    sign_in(console, api.tokens["programme"])
    expect(console.page.locator("h1")).to_contain_text("Pipeline")
    assert menu(console) == ["Pipeline", "Carbon", "Accounts", "Factors"]
    expect(console.page.locator("tbody th", has_text="city").first).to_be_visible()
    expect(console.page.locator("dt", has_text="Refused")).to_have_count(0)
    expect(console.page.locator("tbody")).not_to_contain_text(["scheme", "eva"])
    console.go("carbon")
    expect(console.page.locator("#programme option")).to_have_text(["All programmes", "city"])
    console.go("refusals")
    expect(console.page.locator("h1")).to_contain_text("Pipeline")
    console.go("accounts/eva")
    expect(console.page.locator(".wrong-title").first).to_have_text("There is no such thing")


def test_an_account_sees_its_own(console: Looking, api: Served) -> None:
    sign_in(console, api.tokens["account"])
    expect(console.page.locator("h1")).to_have_text("ann")
    assert menu(console) == ["Accounts", "Factors"]
    expect(console.page.locator(".why").first).to_be_visible()
    console.page.locator(".why").first.click()
    expect(console.page.locator("h1")).to_contain_text("Why ")
    # The programme city is not loaded here: that it was not recomputed is said.
    expect(console.page.locator(".pill")).to_have_text("Not recomputed")


def test_who_is_no_longer_let_in_is_asked_again(console: Looking, api: Served) -> None:
    sign_in(console, api.tokens["operator"])
    expect(console.page.locator("h1")).to_contain_text("Pipeline")
    console.page.evaluate("sessionStorage.setItem('carbonflow.token', 'cf_revoked')")
    console.page.click("nav >> text=Carbon")
    expect(console.page.locator("h1")).to_have_text("Sign in")
    expect(console.page.locator("#token-wrong")).to_contain_text("nobody's")
