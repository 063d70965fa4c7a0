"""The console, used: real clicks and keys on a running stack."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.console.conftest import Booked
from tests.console.looking import PHONE, Looking, looking, path_of


@pytest.fixture
def console(browser: Browser, booked: Booked) -> Iterator[Looking]:
    """The console on a desktop, in English."""
    with looking(browser, booked.url) as page:
        yield page
        page.check()


def tile(console: Looking, name: str) -> str:
    """Return the value of a tile."""
    tiles = console.page.locator(".tile", has=console.page.locator("dt", has_text=name))
    return tiles.locator(".value").inner_text()


def whole(text: str) -> int:
    return int(text.replace(",", ""))


def test_the_address_of_the_api_leads_to_the_console(console: Looking, booked: Booked) -> None:
    console.page.goto(booked.url)
    expect(console.page).to_have_url(f"{booked.url}/console#/pipeline")


def test_the_pipeline_shows_what_comes_as_it_comes(console: Looking, booked: Booked) -> None:
    console.go("pipeline")
    expect(console.page.locator(".pill")).to_have_text("Idle")
    before = whole(tile(console, "Activities booked"))
    with booked.traffic.flowing(per_s=150):
        expect(console.page.locator(".pill")).to_have_text("Working")
        lead = console.page.locator(".heading .lead")
        expect(lead).to_have_text(
            re.compile(r"^\d+ events a second are being booked, half of them within .+ of arriving")
        )
        console.page.locator(".as-table summary").first.click()
        booked_cell = console.page.locator(".as-table td").first
        expect(booked_cell).not_to_have_text("0")
    assert whole(tile(console, "Activities booked")) > before
    # What is told to those who listen is that it works, not each second of it.
    expect(console.page.locator("#announcer")).to_have_text(re.compile(r"^Pipeline: "))


def test_why_this_milligram_is_three_clicks_away(console: Looking, booked: Booked) -> None:
    console.go("pipeline")
    console.page.click("nav >> text=Accounts")
    console.page.click(f"tbody a >> text={booked.account}")
    console.page.locator("tbody tr").first.locator(".why").last.click()
    expect(console.page.locator("h1")).to_have_text(re.compile(r"^Why −?[\d,]+\smg\?$"))
    amount = console.page.locator("h1").inner_text().removeprefix("Why ").removesuffix("?")
    expect(console.page.locator(".formula .result").last).to_contain_text(amount)
    expect(console.page.locator(".pill")).to_have_text("Recomputed: agrees with the ledger")
    facts = console.page.locator(".facts").first
    expect(facts).to_contain_text("MEE and NBS: Announcement")
    expect(facts).to_contain_text("PRC official document")
    link = facts.locator("a")
    expect(link).to_have_attribute("href", re.compile(r"^https://www\.mee\.gov\.cn/"))


def test_the_formula_is_right_on_paper(console: Looking, booked: Booked) -> None:
    console.go(f"transfers/{path_of(booked.reduction)}")
    emitted, baseline, saved = (
        [
            whole(re.sub(r"[^\d,]", "", text))
            for text in line.locator(".term-value").all_inner_texts()
            if re.match(r"[\d,]+( \w.*)?$", text.replace("\xa0", " "))
        ]
        for line in console.page.locator(".formula li").all()
    )
    results = [
        whole(re.sub(r"[^\d,−]", "", text.splitlines()[0]).replace("−", "-"))
        for text in console.page.locator(".formula .result").all_inner_texts()
    ]
    energy_wh, grid_mg = emitted[:2]
    gross_up = 1
    assert emitted == [energy_wh, grid_mg, gross_up, 1_000]
    assert results[0] == round(energy_wh * grid_mg / 1_000)
    assert results[1] == round(baseline[0] * baseline[1] / 1_000)
    assert abs(results[2] - (results[1] - results[0])) <= 1
    assert saved[:2] == [results[1], results[0]]


def test_an_account_is_found_by_a_part_of_its_name(console: Looking, booked: Booked) -> None:
    console.go("accounts")
    console.page.fill("#account-search", booked.account[-6:].upper())
    expect(console.page.locator("tbody a").first).to_have_text(re.compile(booked.account[-6:]))
    console.page.fill("#account-search", "nobody at all")
    expect(console.page.locator(".nothing-title")).to_contain_text("nobody at all")


def test_a_statement_goes_on(console: Looking, booked: Booked) -> None:
    account = booked.account
    if sessions(booked, account) < 60:
        booked.traffic.send(2_000)
    booked.stack.until(lambda: sessions(booked, account) >= 60)
    console.go(f"accounts/{account}")
    expect(console.page.locator("tbody tr")).to_have_count(25)
    console.page.click("text=Show more")
    expect(console.page.locator("tbody tr").nth(26)).to_be_visible()
    shown = console.page.locator("tbody time").evaluate_all("all => all.map(e => e.dateTime)")
    assert shown == sorted(shown)
    assert len(shown) == len(
        set(zip(shown, console.page.locator("tbody .why").all(), strict=False))
    )


def sessions(booked: Booked, account: str) -> int:
    """Return how many sessions of an account are in the store."""
    found = booked.stack.get(f"/v1/console/accounts?text={account}")["accounts"]
    return max((each["session_count"] for each in found), default=0)


def test_a_refusal_is_shown_to_its_last_byte(console: Looking, booked: Booked) -> None:
    console.go("refusals")
    total = whole(console.page.locator(".chips button").first.inner_text().split("·")[1])
    code = booked.stack.get("/v1/console/refusal-codes")["codes"][0]
    assert code["code"] == "not_framed"
    console.page.click(f".chips >> text={code['code']}")
    expect(console.page.locator(".explained")).to_contain_text(code["meaning"])
    expect(console.page.locator(".explained")).to_contain_text(code["remedy"].replace("`", ""))
    expect(console.page).to_have_url(re.compile(f"code={code['code']}"))
    console.settled()
    assert 0 < console.page.locator("tbody tr").count() < total
    console.page.locator("tbody a").first.click()
    refusal_id = console.page.locator("h1").inner_text().split()[-1]
    record = booked.stack.get(f"/v1/refusals/{refusal_id}")
    value = base64.b64decode(record["value_base64"])
    lines = console.page.locator("pre.raw").inner_text().splitlines()
    assert bytes.fromhex("".join(line[8:55] for line in lines)) == value
    console.page.click(".choice >> text=UTF-8")
    expect(console.page.locator("pre.raw")).not_to_contain_text("000000")


def test_refusals_come_in_pages_the_newest_first(console: Looking) -> None:
    console.go("refusals")
    first = console.page.locator("tbody a").evaluate_all("all => all.map(e => e.hash)")
    assert len(first) == 25
    console.page.click("text=Next page")
    expect(console.page.locator("caption")).to_have_text("Refusals, page 2")
    second = console.page.locator("tbody a").evaluate_all("all => all.map(e => e.hash)")
    assert second
    assert not set(first) & set(second)
    console.page.click("text=Previous page")
    expect(console.page.locator("caption")).to_have_text("Refusals, page 1")
    assert console.page.locator("tbody a").evaluate_all("all => all.map(e => e.hash)") == first


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("北京", "Beijing · Electricity"),
        ("beijing 2023", "Beijing · Electricity"),
        ("重型货车", "United Kingdom · Heavy goods vehicle, all, Diesel"),
        ("加氢植物油", "European Union · Hydrotreated vegetable oil (HVO)"),
    ],
)
def test_factors_are_found_in_both_languages(console: Looking, text: str, found: str) -> None:
    console.go("factors")
    console.page.fill("#factor-search", text)
    expect(console.page).to_have_url(re.compile("text="))
    first = console.page.locator(".factor-list .factor-name").first
    expect(first).to_contain_text(found)
    first.click()
    expect(console.page.locator(".factor[open] .facts")).to_contain_text("Licence")


def test_a_factor_nobody_has_is_said(console: Looking) -> None:
    console.go("factors?text=zzzz")
    expect(console.page.locator(".nothing-title")).to_have_text("No factor fits")
    console.page.fill("#factor-search", "")
    console.page.select_option("#kind", "fuel")
    expect(console.page.locator(".factor-list .sub").first).to_contain_text("Fuel")


def test_carbon_can_be_looked_at_by_programme(console: Looking, booked: Booked) -> None:
    console.go("carbon")
    saved = tile(console, "Saved")
    expect(console.page.locator("tbody th", has_text="Taxi")).to_have_count(1)
    console.page.select_option("#programme", "cn-freight")
    expect(console.page.locator("tbody th", has_text="Taxi")).to_have_count(0)
    expect(console.page.locator("tbody th", has_text="Truck, 46 t")).to_have_count(1)
    assert tile(console, "Saved") != saved
    totals = booked.stack.get("/v1/totals")["totals"]
    ours = [each for each in totals if each["programme"] == "cn-freight"]
    activities = sum(each["activities"] for each in ours if each["quantity"] == "emission")
    assert whole(tile(console, "Activities")) == activities


def test_the_keyboard_is_enough(console: Looking, booked: Booked) -> None:
    page = console.page
    console.go("pipeline")
    page.keyboard.press("Tab")
    expect(page.locator("#skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.locator("#skip").focus()
    for _ in range(4):  # The mark, then pipeline, carbon, accounts.
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Accounts"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "3px"
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Accounts")
    expect(page.locator("#main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#account-search")).to_be_focused()
    page.keyboard.type(booked.account)
    expect(page.locator("caption")).to_have_text("1 accounts found")
    page.keyboard.press("Tab")  # The table can be scrolled,
    page.keyboard.press("Tab")  # and what is in it be opened.
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(booked.account)
    expect(page.locator(".why").first).to_be_visible()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.className") == "why":
            break
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(re.compile("^Why "))


def test_who_is_cut_off_is_told_and_tries_again(browser: Browser, booked: Booked) -> None:
    with looking(browser, booked.url, size=PHONE) as console:
        console.go("accounts")
        console.page.context.set_offline(True)
        console.page.fill("#account-search", booked.account)
        expect(console.page.locator(".wrong-title")).to_have_text("The API cannot be reached")
        console.page.context.set_offline(False)
        console.page.click("text=Try again")
        expect(console.page.locator("tbody a")).to_have_text(booked.account)
        # Chromium itself says that there was no network, and nothing else is wrong.
        assert all("ERR_INTERNET_DISCONNECTED" in each for each in console.wrong)


def test_what_does_not_exist_is_said(browser: Browser, booked: Booked) -> None:
    with looking(browser, booked.url) as console:
        console.go("transfers/charging:nobody:1:0:emission:0")
        expect(console.page.locator(".wrong-title")).to_have_text("There is no such thing")


def test_the_documentation_comes_from_here(console: Looking, booked: Booked) -> None:
    console.page.goto(f"{booked.url}/docs")
    expect(
        console.page.locator(".swagger-ui .info h1, .swagger-ui .info h2").first
    ).to_contain_text("Carbonflow")
    console.page.click("#operations-ledger-totals_v1_totals_get button")
    console.page.click("text=Try it out")
    console.page.click(".execute-wrapper >> text=Execute")
    expect(console.page.locator(".live-responses-table .response").first).to_contain_text("200")
