"""What the console asks: the same figures as the rest of the API, and no more than a token sees."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from api.app import create_app
from api.settings import ApiSettings
from sinks.queries import Queries
from tests.api.asked import Http
from tests.api.served import Served, served
from tests.sinks.facts import Facts

BASE = "/v1/console"


@pytest.fixture(scope="module")
def api(facts: Facts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An API with tokens, whose balances come from the store."""
    queries = Queries(facts.client, database=facts.database)
    limits = {"api_burst": 10_000, "api_console_listeners_max": 2}
    with served(queries, tmp_path_factory.mktemp("tokens"), **limits) as running:
        yield running


def first_beat(api: Served, kind: str) -> dict[str, Any]:
    """Return the first beat that the holder of a token gets."""
    with api.client.stream("GET", f"{api.url}{BASE}/pulse", headers=api.headers(kind)) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["cache-control"] == "no-store"
        for line in stream.iter_lines():
            if line.startswith("data: "):
                (beat, *_) = json.loads(line.removeprefix("data: "))
                assert isinstance(beat, dict)
                return beat
    raise AssertionError("the stream ended")


def test_carbon_is_that_of_the_totals(api: Served) -> None:
    carbon = api.ask("operator", "GET", f"{BASE}/carbon").json()
    totals = api.ask("operator", "GET", "/v1/totals").json()["totals"]
    for quantity, name in (("emission", "emissions_mg"), ("reduction", "reduction_mg")):
        expected: dict[tuple[str, str], int] = {}
        for each in totals:
            if each["quantity"] == quantity:
                expected[each["programme"], each["region"]] = each["amount_mg"]
        found = {(each["programme"], each["name"]): each[name] for each in carbon["regions"]}
        assert {place: found[place] for place in expected} == expected
        for part in ("classes", "months", "days"):
            assert sum(each[name] for each in carbon[part]) == sum(expected.values())
    activities = sum(each["activities"] for each in totals if each["quantity"] == "emission")
    assert sum(each["activities"] for each in carbon["months"]) == activities
    assert {each["name"] for each in carbon["months"]} == {"2021-01-01"}
    assert {each["title"] for each in carbon["programmes"]} == {"", "A scheme of these tests"}


def test_a_programme_sees_its_own(api: Served) -> None:
    carbon = api.ask("programme", "GET", f"{BASE}/carbon").json()
    assert {each["programme"] for each in carbon["programmes"]} == {"city"}
    for part in ("regions", "classes", "months", "days"):
        assert {each["programme"] for each in carbon[part]} == {"city"}
    accounts = api.ask("programme", "GET", f"{BASE}/accounts").json()["accounts"]
    assert {each["account_id"] for each in accounts} == {"ann", "fleet/7", "fleet"}
    nobody = api.ask("programme", "GET", f"{BASE}/accounts?text=eva").json()
    assert nobody == {"accounts": []}
    beat = first_beat(api, "programme")
    assert [each["programme"] for each in beat["sums"]] == ["city"]
    hidden = ("behind_ms", "lag_offsets", "received", "refused")
    assert [beat[name] for name in hidden] == [None] * 4


def test_an_operator_sees_the_whole_pipeline(api: Served, facts: Facts) -> None:
    beat = first_beat(api, "operator")
    assert (beat["source"], beat["is_store_away"], beat["freshness"]) == ("store", False, None)
    assert beat["refused"] == {"undecodable": 1, "too_long": 1}
    sessions, trips = (
        facts.client.query(f"SELECT count() FROM api.{table}").result_rows[0][0]
        for table in ("charging_sessions", "freight_trips")
    )
    assert beat["received"] == sessions + trips
    for each in beat["sums"]:
        rows = [
            api.ask("operator", "GET", f"/v1/accounts/{account['account_id']}/balance").json()
            for account in api.ask("operator", "GET", f"{BASE}/accounts?limit=100").json()[
                "accounts"
            ]
            if account["programme"] == each["programme"]
        ]
        assert each["accounts"] == len(rows)
        assert each["reduction_mg"] == sum(row["reduction_mg"] for row in rows)
        assert each["activities"] == sum(row["session_count"] + row["trip_count"] for row in rows)


def test_no_more_may_look_than_there_is_room_for(api: Served) -> None:
    url, headers = f"{api.url}{BASE}/pulse", api.headers("operator")
    with (
        api.client.stream("GET", url, headers=headers) as one,
        api.client.stream("GET", url, headers=headers) as two,
    ):
        lines = [stream.iter_lines() for stream in (one, two)]
        assert [next(each) for each in lines] == ["event: beats"] * 2
        refused = api.ask("operator", "GET", f"{BASE}/pulse")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
        assert refused.json()["type"] == "urn:carbonflow:problem:too-many-listeners"


@pytest.mark.parametrize(
    ("kind", "me"),
    [
        ("operator", ("operator", "")),
        ("programme", ("programme", "city")),
        ("account", ("account", "ann")),
    ],
)
def test_who_looks_is_said(api: Served, kind: str, me: tuple[str, str]) -> None:
    answer = api.ask(kind, "GET", f"{BASE}/me").json()
    assert ((answer["kind"], answer["subject"]), answer["needs_token"]) == (me, True)


def test_codes_come_with_what_to_do(api: Served) -> None:
    codes = api.ask("operator", "GET", f"{BASE}/refusal-codes").json()["codes"]
    assert {each["code"]: each["count"] for each in codes} == {"undecodable": 1, "too_long": 1}
    assert all(each["meaning"].endswith(".") and each["remedy"] for each in codes)


def test_accounts_are_found_by_any_part_whatever_its_case(api: Served) -> None:
    found = api.ask("operator", "GET", f"{BASE}/accounts", params={"text": "ET/7"}).json()
    assert [each["account_id"] for each in found["accounts"]] == ["fleet/7"]
    exact = api.ask("operator", "GET", f"{BASE}/accounts", params={"text": "fleet"}).json()
    assert [each["account_id"] for each in exact["accounts"]] == ["fleet", "fleet/7"]
    assert api.ask("operator", "GET", f"{BASE}/accounts?text={'x' * 201}").status_code == 422


def test_factors_are_found_page_by_page(api: Served) -> None:
    path, seen, cursor = f"{BASE}/factors", list[str](), ""
    while cursor is not None:
        query = {"text": "北京 电力", "limit": 1, **({"cursor": cursor} if cursor else {})}
        page = api.ask("account", "GET", path, params=query).json()
        seen += [each["factor_id"] for each in page["factors"]]
        cursor = page["next_cursor"]
    assert "grid:CN-BJ:2021" in seen
    assert len(seen) == len(set(seen))
    nothing = api.ask("account", "GET", path, params={"text": "北京 柴油"}).json()
    assert nothing["factors"] == []
    assert api.ask("account", "GET", f"{path}?cursor=x").status_code == 400


def test_the_newest_refusals_come_first_page_by_page(api: Served) -> None:
    by_place = api.ask("operator", "GET", "/v1/refusals").json()["refusals"]
    first = api.ask("operator", "GET", "/v1/refusals?order=newest&limit=1").json()
    cursor = first["next_cursor"]
    second = api.ask("operator", "GET", f"/v1/refusals?order=newest&limit=1&cursor={cursor}").json()
    assert first["refusals"] + second["refusals"] == by_place[::-1]
    assert second["next_cursor"] is None
    # A cursor of one order is none of the other.
    assert api.ask("operator", "GET", f"/v1/refusals?cursor={cursor}").status_code == 400


def test_an_explanation_has_its_formula_as_data(api: Served) -> None:
    path = "/v1/transfers/charging:cpo:s20:0:emission:0/explanation"
    answer = api.ask("operator", "GET", path).json()
    (step,) = answer["steps"]
    assert (step["what"], step["amount_mg"]) == ("emissions", answer["recomputed_mg"])
    energy, factor, loss = (term["value"] for term in step["terms"])
    assert round(int(energy) * int(factor) * int(loss) / step["divisor"]) == step["amount_mg"]


def test_without_a_console_there_is_none(facts: Facts, registry: CollectorRegistry) -> None:
    queries = Queries(facts.client, database=facts.database)
    settings = ApiSettings(api_console=False)
    app = create_app(queries, settings=settings, registry=registry, programmes={})
    for path in ("/", "/console", "/console/main.js", f"{BASE}/me", f"{BASE}/pulse"):
        assert Http(app).ask("GET", path).status_code == 404
