"""Every row of the table of docs/security.md, put to a running API with a token of each kind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from api.app import create_app
from api.settings import ApiSettings
from api.tokens import new_token
from embedded.serving import ServingSettings, add_verify
from sinks.queries import Queries
from tests.api.asked import Http
from tests.api.served import Served, served, tokens_in
from tests.pages import rows, section
from tests.sinks.facts import Facts

PAGE: Final = (Path(__file__).resolve().parents[2] / "docs/security.md").read_text("utf-8")
TABLE: Final = rows(section(PAGE, "Who may see what"))
KINDS: Final = (None, "account", "programme", "operator", "send")

# The token of an account is ann's, and ann is in the programme city.
ACCOUNTS: Final = {
    "its account": "ann",
    "another account of its programme": "fleet/7",
    "an account of another programme": "eva",
    "nobody's account": "nobody",
}
TRANSFERS: Final = {
    "its account": "charging:cpo:s2:0:emission:0",
    "another account of its programme": "charging:cpo:s5:0:emission:0",
    "an account of another programme": "charging:cpo:s20:0:emission:0",
    "nobody's account": "charging:cpo:s99:0:emission:0",
}
REFERENCE: Final = {"release": "r1", "factor_id": "grid:CN-BJ:2021", "refusal_id": "0-0"}


@pytest.fixture(scope="module")
def api(facts: Facts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An API that is served."""
    queries = Queries(facts.client, database=facts.database)
    with served(queries, tmp_path_factory.mktemp("tokens"), api_burst=10_000) as running:
        yield running


def request_of(route: str, of: str) -> tuple[str, str, dict[str, Any]]:
    """Return method, path and body of the request that a row means."""
    method, path = route.strip("`").split()
    values = REFERENCE | {"account_id": ACCOUNTS.get(of), "transfer_id": TRANSFERS.get(of)}
    path = re.sub(r"\{(\w+)\}", lambda name: str(values[name[1]]), path)
    return method, path, {"json": {"account_ids": [ACCOUNTS[of]]}} if method == "POST" else {}


def asked(api: Served, kind: str | None, method: str, path: str, **body: Any) -> httpx.Response:
    """Return the answer to a request; of one that is answered for ever the first part."""
    headers = {} if kind is None else api.headers(kind)
    with api.client.stream(method, api.url + path, headers=headers, **body) as answer:
        if "event-stream" not in answer.headers["content-type"]:
            answer.read()
            return answer
        lines = answer.iter_lines()
        data = next(line for line in lines if line.startswith("data: "))
        return httpx.Response(answer.status_code, text=data)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]} {row[1]}")
@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_the_table(api: Served, row: list[str], kind: str | None) -> None:
    route, of, *cells = row
    method, path, body = request_of(route, of)
    expected = cells[KINDS.index(kind)]
    answer = asked(api, kind, method, path, **body)
    assert answer.status_code == (int(expected) if expected.isdecimal() else 200), answer.text
    if method == "POST" and answer.status_code == 200:
        seen, unknown = answer.json()["balances"], answer.json()["unknown"]
        account = ACCOUNTS[of]
        found = {"yes": ([account], []), "unknown": ([], [account])}[expected]
        assert ([each["account_id"] for each in seen], unknown) == found
    if expected == "its programme" or (expected == "yes" and of == "every programme"):
        programmes = set(re.findall(r'"programme":"(\w+)"', answer.text))
        if "refusal" in path:
            return
        assert programmes == {"yes": {"city", "scheme"}, "its programme": {"city"}}[expected]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]} {row[1]}")
def test_a_token_that_is_nobodys_is_none(api: Served, row: list[str]) -> None:
    method, path, body = request_of(row[0], row[1])
    without = api.ask(None, method, path, **body)
    stranger = replace(api, tokens={"stranger": new_token()})
    answer = stranger.ask("stranger", method, path, **body)
    assert (answer.status_code, answer.content) == (without.status_code, without.content)


def test_every_operation_is_in_the_table_and_no_other(facts: Facts) -> None:
    app = create_app(
        Queries(facts.client, database=facts.database),
        settings=ApiSettings(),
        registry=CollectorRegistry(),
        programmes={},
    )
    served = {
        f"{method.upper()} {path}"
        for path, methods in app.openapi()["paths"].items()
        for method in methods
    }
    served |= {f"GET {app.docs_url}", f"GET {app.openapi_url}", "GET /console"}
    assert {row[0].strip("`") for row in TABLE} == served


@pytest.mark.parametrize("kind", ["account", "programme"])
def test_verify_is_for_operators(facts: Facts, tmp_path: Path, kind: str) -> None:
    tokens = tokens_in(tmp_path / "tokens.toml")
    app: FastAPI = create_app(
        Queries(facts.client, database=facts.database),
        settings=ApiSettings(api_tokens_file=tmp_path / "tokens.toml"),
        registry=CollectorRegistry(),
        programmes={},
    )
    nowhere = ServingSettings(
        bootstrap="127.0.0.1:1", group="g", clickhouse_url="", api_port=0, api_metrics_port=0
    )
    add_verify(app, facts.client, nowhere)
    headers = {"Authorization": f"Bearer {tokens[kind]}"}
    answer = Http(app).ask("GET", "/v1/verify", headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (
        403,
        "urn:carbonflow:problem:out-of-scope",
    )
