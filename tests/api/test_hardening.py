"""What every answer has, whatever it is; and what is on which port."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from api.app import create_app
from api.settings import ApiSettings
from sinks.queries import Queries
from tests.api.asked import Http
from tests.api.served import Served, served
from tests.sinks.facts import Facts

EVERY = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
ANSWERS = [
    ("operator", "GET", "/v1/accounts/ann/balance", 200),
    ("operator", "GET", "/v1/accounts/eve/balance", 404),
    ("operator", "GET", "/v1/factors?limit=0", 422),
    ("operator", "GET", "/v1/factors?cursor=x", 400),
    ("operator", "GET", "/nowhere", 404),
    ("operator", "DELETE", "/v1/totals", 405),
    ("account", "GET", "/v1/totals", 403),
    (None, "GET", "/v1/totals", 401),
    (None, "GET", "/openapi.json", 200),
]


@pytest.fixture(scope="module")
def api(facts: Facts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An API that is served."""
    queries = Queries(facts.client, database=facts.database)
    with served(queries, tmp_path_factory.mktemp("tokens")) as running:
        yield running


@pytest.mark.parametrize(("kind", "method", "path", "status"), ANSWERS)
def test_every_answer_has_them(
    api: Served, kind: str | None, method: str, path: str, status: int
) -> None:
    answer = api.ask(kind, method, path)
    assert answer.status_code == status
    assert {name: answer.headers.get(name) for name in EVERY} == EVERY
    assert {"server", "strict-transport-security", "x-powered-by"} & set(answer.headers) == set()


def test_too_many_requests_have_them(
    facts: Facts, tmp_path_factory: pytest.TempPathFactory
) -> None:
    queries = Queries(facts.client, database=facts.database)
    slow = {"api_rate_per_s": 0.001, "api_burst": 1}
    with served(queries, tmp_path_factory.mktemp("tokens"), **slow) as api:
        answers = [api.ask(None, "GET", "/v1/totals") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [401, 429]
    assert {name: answers[1].headers.get(name) for name in EVERY} == EVERY


def test_a_failure_of_ours_has_them(facts: Facts, registry: CollectorRegistry) -> None:
    facts.client.command("CREATE DATABASE IF NOT EXISTS hard")
    facts.client.command("CREATE OR REPLACE VIEW hard.ledger AS SELECT 1 AS programme")
    queries = Queries(facts.client, database="hard")
    app = create_app(queries, settings=ApiSettings(), registry=registry, programmes={})

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("a bug with a secret")

    for path in ("/v1/totals", "/broken"):
        answer = Http(app).ask("GET", path)
        assert answer.status_code == 500
        assert {name: answer.headers.get(name) for name in EVERY} == EVERY
        assert "secret" not in answer.text


def test_behind_tls_browsers_are_told_to_stay_there(
    facts: Facts, registry: CollectorRegistry
) -> None:
    queries = Queries(facts.client, database=facts.database)
    settings = ApiSettings(api_behind_tls=True)
    app = create_app(queries, settings=settings, registry=registry, programmes={})
    answer = Http(app).ask("GET", "/v1/totals")
    assert answer.headers["strict-transport-security"] == "max-age=31536000"


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz"])
def test_metrics_and_health_are_on_their_own_port_and_ask_for_no_token(
    api: Served, path: str
) -> None:
    assert api.ask("operator", "GET", path).status_code == 404
    answer = api.client.get(api.service_url + path)
    assert answer.status_code == 200
    assert {name: answer.headers.get(name) for name in EVERY} == EVERY


@pytest.mark.parametrize("path", ["/v1/totals", "/v1/accounts/ann/balance", "/docs"])
def test_nothing_else_is_on_that_port(api: Served, path: str) -> None:
    answer = api.client.get(api.service_url + path, headers=api.headers("operator"))
    assert answer.status_code == 404


def test_metrics_name_no_account_and_no_token(api: Served) -> None:
    api.ask("operator", "GET", "/v1/accounts/ann/balance")
    text = api.client.get(f"{api.service_url}/metrics").text
    assert "{account_id:path}" in text
    assert "ann/" not in text
    assert all(token not in text for token in api.tokens.values())
