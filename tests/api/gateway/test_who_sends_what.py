"""Every row of the table of docs/security.md about sending, put to a running gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Final

import pytest

from api.tokens import new_token
from producers.topics import ensure_topics
from schemas.settings import BrokerSettings
from tests.api.gateway.served import SCOPES, Gateway, served
from tests.api.gateway.test_ocpi import session as ocpi_session
from tests.pages import ROOT, rows, section
from tests.producers.adapters.test_ocpi import cdr
from tests.streams.scene import session, trip

PAGE: Final = (ROOT / "docs/security.md").read_text("utf-8")
TABLE: Final = rows(section(PAGE, "Who may send what"))
WHO: Final = (None, "operator", "stranger", "acme", "cpo", "live")
"""The columns: no token, one of the API's, one of a sender that is not known, and three senders."""


@pytest.fixture(scope="module")
def gateway(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of this module."""
    topics = BrokerSettings(bootstrap=broker, prefix="who-sends.")
    asyncio.run(ensure_topics(topics))
    with served(topics, tmp_path_factory.mktemp("files"), gateway_burst=10_000) as running:
        yield running


def body_of(route: str, who: str | None, of: str) -> dict[str, Any]:
    """Return what a request of a row sends."""
    source = "test" if who == "acme" else who or ""
    source = "other" if of == "another's records" else source
    if route == "POST /v1/charging-sessions":
        return {"json": session(source=source)}
    if route == "POST /v1/freight-trips":
        return {"json": trip(source=source, programme="cn-charging")}
    if route == "POST /v1/events":
        event = {"specversion": "1.0", "id": "1", "source": "/", "type": "com.acme.session"}
        return {
            "json": event | {"data": session(session_id="event", source=source)},
            "headers": {"Content-Type": "application/cloudevents+json"},
        }
    if "cdrs" in route:
        return {"json": cdr()}
    return {"json": ocpi_session()} if not route.startswith("GET") else {}


def verdict(answer: Any) -> str:
    """Return what the table says of such an answer."""
    if answer.status_code not in {200, 201, 202}:
        return str(answer.status_code)
    found = answer.json() if answer.headers["content-type"] == "application/json" else {}
    code = found.get("status_code", 1000) if isinstance(found, dict) else 1000
    return "yes" if code == 1000 else str(code)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]} {row[1]}")
@pytest.mark.parametrize("who", WHO)
def test_a_row_of_the_table(gateway: Gateway, row: list[str], who: str | None) -> None:
    route, of, *cells = row
    method, path = route.strip("`").split()
    body = body_of(route.strip("`"), who, of)
    if method == "PATCH" or (method == "GET" and "sessions" in path):
        gateway.ask("live", "PUT", "/ocpi/2.2.1/sessions/BE/BEC/101", json=ocpi_session())
    path = path.replace("{version}", "2.2.1").replace("{country_code}", "BE")
    path = path.replace("{party_id}", "BEC").replace("{session_id}", "101")
    assert verdict(gateway.ask(who, method, path, **body)) == cells[WHO.index(who)]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]} {row[1]}")
def test_a_token_that_is_nobodys_is_none(gateway: Gateway, row: list[str]) -> None:
    method, path = row[0].strip("`").split()
    path = path.replace("{version}", "2.2.1")
    scheme = "Token" if path.startswith("/ocpi/") else "Bearer"
    headers = {"Authorization": f"{scheme} {new_token()}"}
    without = gateway.ask(None, method, path)
    answer = gateway.ask(None, method, path, headers=headers)
    assert (answer.status_code, answer.content) == (without.status_code, without.content)


def test_every_operation_is_in_the_table_and_no_other(gateway: Gateway) -> None:
    document = gateway.client.get(f"{gateway.url}/openapi.json").json()
    operations = {
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method in methods
    }
    operations |= {"GET /docs", "GET /openapi.json"}
    assert {row[0].strip("`") for row in TABLE} == operations


def test_the_columns_are_the_tokens_of_these_tests() -> None:
    assert set(WHO) - {None} == set(SCOPES)


def test_an_api_token_says_where_it_belongs(gateway: Gateway) -> None:
    answer = gateway.ask("operator", "POST", "/v1/charging-sessions", json=session())
    assert answer.json()["type"] == "urn:carbonflow:problem:out-of-scope"
    answer = gateway.ask("stranger", "POST", "/v1/charging-sessions", json=session())
    assert answer.json()["type"] == "urn:carbonflow:problem:unknown-sender"
