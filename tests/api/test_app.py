"""What the API answers."""

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from api.app import create_app, create_service
from api.server import serve
from api.settings import ApiSettings
from sinks.connect import StoreSettings, connect
from sinks.following import NotLevelError
from sinks.migrate import migrate
from sinks.queries import Queries
from sinks.records import Balance
from sinks.writer import BrokenRecordError
from tests import clickhouse_server
from tests.api.asked import Http
from tests.sinks.facts import Facts


def get(http: Http, path: str, status: int = 200, /, **query: Any) -> Any:
    """Return the JSON of a GET, having checked its status and kind."""
    answer = http.ask("GET", path, params=query)
    assert answer.status_code == status, answer.text
    kind = "application/json" if status == 200 else "application/problem+json"
    assert answer.headers["content-type"] == kind
    return answer.json()


def test_a_balance(http: Http) -> None:
    found = get(http, "/v1/accounts/ann/balance")
    assert (found["account_id"], found["reduction_mg"]) == ("ann", 4 * 7_000 - 2_000)
    assert found["last_booked_at"] == "2021-01-01T05:00:00Z"


def test_an_account_may_hold_a_slash(http: Http) -> None:
    assert get(http, "/v1/accounts/fleet%2F7/balance")["session_count"] == 2
    assert get(http, "/v1/accounts/fleet/7/balance")["session_count"] == 2


def test_an_unknown_account_is_a_problem(http: Http) -> None:
    assert get(http, "/v1/accounts/eve/balance", 404) == {
        "type": "urn:carbonflow:problem:not-found",
        "title": "Not Found",
        "status": 404,
        "detail": "There is no account 'eve'.",
        "instance": "/v1/accounts/eve/balance",
    }


def test_a_batch_of_balances_names_the_unknown(http: Http) -> None:
    answer = http.ask("POST", "/v1/balances", json={"account_ids": ["fleet", "eve", "ann", "ann"]})
    assert answer.status_code == 200
    assert [each["account_id"] for each in answer.json()["balances"]] == ["ann", "fleet"]
    assert answer.json()["unknown"] == ["eve"]


def test_a_batch_has_a_limit(http: Http) -> None:
    answer = http.ask("POST", "/v1/balances", json={"account_ids": list("abcd")})
    assert (answer.status_code, answer.json()["type"]) == (
        413,
        "urn:carbonflow:problem:too-many-accounts",
    )


@pytest.mark.parametrize("body", [{}, {"account_ids": []}, {"account_ids": [7]}, [], "x"])
def test_a_batch_that_does_not_validate_is_a_problem(http: Http, body: object) -> None:
    answer = http.ask("POST", "/v1/balances", json=body)
    assert (answer.status_code, answer.json()["type"]) == (
        422,
        "urn:carbonflow:problem:invalid-request",
    )
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["where"].startswith("body")


def test_a_batch_that_is_no_text_is_a_problem(http: Http) -> None:
    headers = {"Content-Type": "application/json"}
    answer = http.ask("POST", "/v1/balances", content=b"\xff", headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (
        400,
        "urn:carbonflow:problem:bad-request",
    )
    documented = get(http, "/openapi.json")["paths"]["/v1/balances"]["post"]["responses"]
    assert "400" in documented


def test_a_statement_is_paged(http: Http) -> None:
    path = "/v1/accounts/ann/statement"
    first = get(http, path, limit=6)
    second = get(http, path, limit=6, cursor=first["next_cursor"])
    assert second["next_cursor"] is None
    rows = first["transfers"] + second["transfers"]
    assert [row["source_offset"] for row in rows] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert {row["signed_mg"] for row in rows} == {5_000, 7_000, -2_000}


def test_a_statement_is_cut_by_time_in_any_zone(http: Http) -> None:
    path = "/v1/accounts/ann/statement"
    query = {"from": "2021-01-01T10:00:00+08:00", "to": "2021-01-01T03:00:00.001Z"}
    rows = get(http, path, **query)["transfers"]
    assert [row["source_offset"] for row in rows] == [1, 1, 2, 2]


@pytest.mark.parametrize(
    ("start", "end", "rows"),
    [
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", 10),
        ("9999-12-31T23:59:59Z", None, 0),
        (None, "0001-01-01T00:00:00Z", 0),
    ],
)
def test_a_statement_takes_any_time(
    http: Http, start: str | None, end: str | None, rows: int
) -> None:
    query = {name: each for name, each in (("from", start), ("to", end)) if each}
    assert len(get(http, "/v1/accounts/ann/statement", **query)["transfers"]) == rows


@pytest.mark.parametrize(
    ("query", "status", "kind"),
    [
        ({"from": "2021-01-01T00:00:00"}, 422, "invalid-request"),
        ({"limit": "0"}, 422, "invalid-request"),
        ({"limit": "51"}, 422, "invalid-request"),
        ({"cursor": "nonsense"}, 400, "bad-cursor"),
    ],
)
def test_a_wrong_statement_is_a_problem(
    http: Http, query: dict[str, str], status: int, kind: str
) -> None:
    found = get(http, "/v1/accounts/ann/statement", status, **query)
    assert found["type"] == f"urn:carbonflow:problem:{kind}"


def test_the_statement_of_an_unknown_account_is_a_problem(http: Http) -> None:
    assert get(http, "/v1/accounts/eve/statement", 404)["status"] == 404


def test_a_transfer(http: Http) -> None:
    found = get(http, "/v1/transfers/charging:cpo:s2:0:reduction:0")
    assert (found["amount_mg"], found["signed_mg"]) == (2_000, -2_000)
    assert found["debit_account"] == "ann"


def test_an_unknown_transfer_is_a_problem(http: Http) -> None:
    assert get(http, "/v1/transfers/x", 404)["detail"] == "There is no transfer 'x'."


def test_an_explanation_shows_activity_and_factor(http: Http) -> None:
    found = get(http, "/v1/transfers/charging:cpo:s2:0:emission:0/explanation")
    assert found["activity"]["session_id"] == "s2"
    assert found["activity"]["started_at"] == "2021-01-01T02:00:00Z"
    assert [each["factor_id"] for each in found["factors"]] == ["grid:CN-BJ:2021"]
    assert found["factors"][0]["licence"] == "ODbL"
    assert found["lines"]
    assert (found["recomputed_mg"], found["agrees"]) == (None, None)


def test_an_explanation_recomputes_under_a_loaded_programme(http: Http) -> None:
    found = get(http, "/v1/transfers/charging:cpo:s20:0:emission:0/explanation")
    assert (found["recomputed_mg"], found["agrees"]) == (10_020 * 200, True), found["lines"]


def test_an_explanation_of_a_trip_shows_the_trip(http: Http) -> None:
    found = get(http, "/v1/transfers/freight:tms:t0:0:emission:0/explanation")
    assert found["activity"]["cargo_kg"] == 10_000


def test_an_explanation_without_its_activity_is_a_problem(http: Http, facts: Facts) -> None:
    lost = facts.transfers[0] | {"transfer_id": "lost", "source_offset": 99, "account_id": "bob"}
    facts.put("transfers", lost)
    found = get(http, "/v1/transfers/lost/explanation", 404)
    assert found["type"] == "urn:carbonflow:problem:activity-not-stored"


def test_factors_are_listed_by_page(http: Http) -> None:
    query = {"kind": "grid_hourly", "limit": 5}
    first = get(http, "/v1/factors", **query)
    second = get(http, "/v1/factors", **query, cursor=first["next_cursor"])
    values = [each["value_mg"] for each in first["factors"] + second["factors"]]
    assert values == [200_000 + number for number in range(9)]


def test_factors_are_listed_at_a_time(http: Http) -> None:
    found = get(http, "/v1/factors", at="2021-01-01T03:30:00Z", region="US-CAL-CISO")["factors"]
    assert [each["valid_from"] for each in found] == ["2021-01-01T03:00:00Z"]


def test_an_undated_factor_is_open(http: Http) -> None:
    found = get(http, "/v1/factors/r1/grid:CN-BJ:2021")
    assert (found["valid_from"], found["valid_to"]) == (None, None)


def test_a_factor_tells_its_place_in_the_order_of_publication(http: Http) -> None:
    assert get(http, "/v1/factors/r1/hour:US-CAL-CISO:00007")["published_order"] == 7


def test_an_unknown_factor_is_a_problem(http: Http) -> None:
    assert get(http, "/v1/factors/r1/x", 404)["status"] == 404


def test_totals(http: Http) -> None:
    found = {(each["region"], each["quantity"]): each for each in get(http, "/v1/totals")["totals"]}
    assert found["IN", "emission"]["transport_kg_km"] == 1_000_000


def test_refusals_are_listed_by_code(http: Http) -> None:
    found = get(http, "/v1/refusals", code="too_long")["refusals"]
    assert [each["refusal_id"] for each in found] == ["0-1"]


def test_a_refusal_shows_its_bytes(http: Http) -> None:
    found = get(http, "/v1/refusals/0-0")
    assert (found["key_base64"], found["value_base64"]) == ("YW5u", "AP/+")
    assert get(http, "/v1/refusals/9-9", 404)["status"] == 404


def test_an_unknown_route_is_a_problem(http: Http) -> None:
    assert get(http, "/v2/nothing", 404)["title"] == "Not Found"


def test_a_wrong_method_is_a_problem(http: Http) -> None:
    answer = http.ask("DELETE", "/v1/totals")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert answer.json()["type"] == "urn:carbonflow:problem:method-not-allowed"


def test_a_store_without_tables_is_a_problem(facts: Facts) -> None:
    queries = Queries(facts.client, database="nothing")
    app = create_app(queries, settings=ApiSettings(), registry=CollectorRegistry(), programmes={})
    service = Http(create_service(queries, settings=ApiSettings(), registry=CollectorRegistry()))
    for http, path in ((Http(app), "/v1/totals"), (service, "/readyz")):
        assert get(http, path, 503)["type"] == "urn:carbonflow:problem:store-not-ready"
    assert get(service, "/healthz") == {"status": "ok"}


def test_a_store_that_went_away_is_a_problem_without_a_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with clickhouse_server.start(tmp_path / "data") as url:
        client = connect(StoreSettings(clickhouse_url=url))
        migrate(client, database="gone")
    queries = Queries(client, database="gone")
    app = create_app(queries, settings=ApiSettings(), registry=CollectorRegistry(), programmes={})
    found = get(Http(app), "/v1/totals", 503)
    assert found["type"] == "urn:carbonflow:problem:store-not-ready"
    (line,) = (each for each in caplog.records if each.name == "carbonflow.api")
    assert line.getMessage() == "GET /v1/totals: the store is away: connection refused"
    assert line.exc_info is None


def test_a_store_that_refuses_a_question_is_a_problem_without_details(facts: Facts) -> None:
    facts.client.command("CREATE DATABASE IF NOT EXISTS odd")
    facts.client.command("CREATE OR REPLACE VIEW odd.ledger AS SELECT 1 AS programme")
    queries = Queries(facts.client, database="odd")
    app = create_app(queries, settings=ApiSettings(), registry=CollectorRegistry(), programmes={})
    found = get(Http(app), "/v1/totals", 500)
    assert found["detail"] == "The request failed; the log says why."


def test_a_store_with_tables_is_ready(service: Http) -> None:
    assert get(service, "/readyz") == {"status": "ready"}


def test_requests_are_counted_by_route(http: Http, registry: CollectorRegistry) -> None:
    get(http, "/v1/accounts/ann/balance")
    get(http, "/v1/accounts/eve/balance", 404)
    get(http, "/nothing", 404)
    route = {"method": "GET", "route": "/v1/accounts/{account_id:path}/balance"}
    for status in ("200", "404"):
        labels = route | {"status": status}
        assert registry.get_sample_value("carbonflow_api_requests_total", labels) == 1
    assert registry.get_sample_value("carbonflow_api_request_seconds_count", route) == 2
    unmatched = {"method": "GET", "route": "unmatched", "status": "404"}
    assert registry.get_sample_value("carbonflow_api_requests_total", unmatched) == 1


def test_metrics_are_for_prometheus(http: Http, service: Http) -> None:
    get(http, "/v1/totals")
    answer = service.ask("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "carbonflow_api_requests_total" in answer.text


def test_openapi_describes_every_route_and_its_problems(http: Http) -> None:
    document = get(http, "/openapi.json")
    operations = [
        (path, operation) for path, each in document["paths"].items() for operation in each.values()
    ]
    assert {path for path, _ in operations} == {
        "/v1/accounts/{account_id}/balance",
        "/v1/accounts/{account_id}/statement",
        "/v1/balances",
        "/v1/transfers/{transfer_id}",
        "/v1/transfers/{transfer_id}/explanation",
        "/v1/factors",
        "/v1/factors/{release}/{factor_id}",
        "/v1/totals",
        "/v1/refusals",
        "/v1/refusals/{refusal_id}",
        *(f"/v1/console/{of}" for of in ("me", "pulse", "carbon", "accounts")),
        *(f"/v1/console/{of}" for of in ("refusal-codes", "factors")),
    }
    assert document["security"] == [{"token": []}]
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for path, operation in operations:
        # A token for sending is none of the API's, whatever it asks.
        assert {"401", "403", "429"} <= operation["responses"].keys(), path
        assert operation["description"], path
        for parameter in operation.get("parameters", []):
            assert parameter["description"], (path, parameter["name"])
        for status, response in operation["responses"].items():
            if status >= "400":
                assert list(response["content"]) == ["application/problem+json"], (path, status)


def test_the_application_is_served_until_stopped(facts: Facts) -> None:
    settings = ApiSettings(api_port=0)
    queries = Queries(facts.client, database=facts.database)
    app = create_app(queries, settings=settings, registry=CollectorRegistry(), programmes={})

    async def scenario() -> None:
        stop = asyncio.Event()
        url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve(app, settings, stop=stop, listening=url.set_result))
        async with asyncio.timeout(30), httpx.AsyncClient() as http:
            balance = f"{await url}/v1/accounts/ann/balance"
            answers = await asyncio.gather(*(http.get(balance) for _ in range(20)))
            assert {answer.status_code for answer in answers} == {200}
            stop.set()
            await serving

    asyncio.run(scenario())


class Early:
    """Balances that cannot tell yet."""

    def is_ready(self) -> bool:
        """Return that it is not."""
        return False

    async def balances(self, account_ids: Sequence[str]) -> list[Balance | None]:
        """Say so."""
        raise NotLevelError(f"nobody knows {account_ids} yet")


def test_balances_that_are_not_at_hand_yet_are_asked_for_again(facts: Facts) -> None:
    queries = Queries(facts.client, database=facts.database)
    app = create_app(
        queries,
        settings=ApiSettings(),
        registry=CollectorRegistry(),
        programmes={},
        balances=Early(),
    )
    service = create_service(
        queries, settings=ApiSettings(), registry=CollectorRegistry(), balances=Early()
    )
    for part, path in ((app, "/v1/accounts/ann/balance"), (service, "/readyz")):
        answer = Http(part).ask("GET", path)
        assert (answer.status_code, answer.json()["type"]) == (
            503,
            "urn:carbonflow:problem:balances-not-ready",
        )
        assert answer.headers["retry-after"] == "1"
    assert get(Http(app), "/v1/accounts/ann/statement")["transfers"]


def test_serving_ends_with_what_runs_beside_it(facts: Facts) -> None:
    queries = Queries(facts.client, database=facts.database)
    settings = ApiSettings(api_port=0)
    app = create_app(queries, settings=settings, registry=CollectorRegistry(), programmes={})

    async def beside() -> None:
        raise BrokenRecordError("damaged")

    async def scenario() -> None:
        async with asyncio.timeout(30):
            await serve(app, settings, stop=asyncio.Event(), beside=beside)

    with pytest.raises(BrokenRecordError, match="damaged"):
        asyncio.run(scenario())


def test_a_taken_port_is_an_error(facts: Facts) -> None:
    queries = Queries(facts.client, database=facts.database)
    app = create_app(queries, settings=ApiSettings(), registry=CollectorRegistry(), programmes={})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = ApiSettings(api_port=taken.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            asyncio.run(serve(app, settings, stop=asyncio.Event()))
