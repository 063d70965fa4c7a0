"""Nobody can tell an account that their token does not see from one that does not exist."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from sinks.queries import Queries
from tests.api.served import Served, served
from tests.sinks.facts import Facts

# Beyond the token of ann; beyond that of the programme city. With somebody who does not exist, of
# a name as long.
ACCOUNTS: Final = [
    ("account", "eva", "eve"),
    ("account", "fleet", "fleee"),
    ("programme", "eva", "eve"),
]
TRANSFERS: Final = [
    ("account", "charging:cpo:s20:0:emission:0", "charging:cpo:s99:0:emission:0"),
    ("account", "charging:cpo:s5:0:emission:0", "charging:cpo:s7:0:emission:0"),
    ("programme", "charging:cpo:s20:0:emission:0", "charging:cpo:s99:0:emission:0"),
]
PAIRS: Final = [
    *(
        (f"/v1/accounts/{{}}/{what}", *pair)
        for pair in ACCOUNTS
        for what in ("balance", "statement")
    ),
    *(("/v1/accounts/{}/statement?cursor=nonsense", *pair) for pair in ACCOUNTS),
    *((f"/v1/transfers/{{}}{what}", *pair) for pair in TRANSFERS for what in ("", "/explanation")),
]


class Noted(Queries):
    """Questions to a store, which are noted before they are asked."""

    asked: list[tuple[str, str]]

    def rows(self, sql: str, **values: Any) -> Sequence[Sequence[Any]]:
        self.asked.append((sql, repr(values)))
        return super().rows(sql, **values)


@pytest.fixture(scope="module")
def queries(facts: Facts) -> Noted:
    """Questions to the store."""
    noted = Noted(facts.client, database=facts.database)
    noted.asked = []
    return noted


@pytest.fixture(scope="module")
def api(queries: Noted, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An API that is served."""
    with served(queries, tmp_path_factory.mktemp("tokens"), api_burst=10_000) as running:
        yield running


def bytes_of(api: Served, kind: str, method: str, path: str, body: bytes = b"") -> bytes:
    """Return every byte of an answer but those of its date."""
    where = urlsplit(api.url)
    head = [f"{method} {path} HTTP/1.1", "host: api", "connection: close"]
    head += [f"{name}: {value}" for name, value in api.headers(kind).items()]
    head += [f"content-length: {len(body)}", "content-type: application/json"]
    with socket.create_connection((where.hostname, where.port), timeout=30) as peer:
        peer.sendall("\r\n".join([*head, "", ""]).encode() + body)
        answer = b"".join(iter(lambda: peer.recv(65_536), b""))
    dated, count = re.subn(rb"\r\ndate: [^\r]*", b"", answer)
    assert count == 1
    return dated


@pytest.mark.parametrize(("path", "kind", "unseen", "nobody"), PAIRS)
def test_the_answers_are_the_same_bytes(
    api: Served, path: str, kind: str, unseen: str, nobody: str
) -> None:
    answers = [bytes_of(api, kind, "GET", path.format(each)) for each in (unseen, nobody)]
    assert answers[0].startswith(b"HTTP/1.1 404 ")
    assert unseen.encode() in answers[0]
    assert answers[0].replace(unseen.encode(), nobody.encode()) == answers[1]


@pytest.mark.parametrize(("kind", "unseen", "nobody"), ACCOUNTS)
def test_so_they_are_in_a_batch(api: Served, kind: str, unseen: str, nobody: str) -> None:
    bodies = [b'{"account_ids": ["ann", "%s"]}' % each.encode() for each in (unseen, nobody)]
    answers = [bytes_of(api, kind, "POST", "/v1/balances", body) for body in bodies]
    assert b'"account_id":"ann"' in answers[0]
    assert answers[0].replace(unseen.encode(), nobody.encode()) == answers[1]


@pytest.mark.parametrize(("path", "kind", "unseen", "nobody"), PAIRS)
def test_the_store_is_asked_the_same(
    api: Served, queries: Noted, path: str, kind: str, unseen: str, nobody: str
) -> None:
    noted = []
    for each in (unseen, nobody):
        queries.asked.clear()
        assert api.ask(kind, "GET", path.format(each)).status_code == 404
        noted.append([(sql, values.replace(each, "<id>")) for sql, values in queries.asked])
    assert noted[0] == noted[1]
    # An account's token is answered by the name alone; the owner of a transfer has to be looked up.
    assert bool(noted[0]) == (kind == "programme" or "transfers" in path)


def test_the_store_is_not_asked_for_who_is_unknown_or_asks_too_much(
    facts: Facts, tmp_path_factory: pytest.TempPathFactory
) -> None:
    noted = Noted(facts.client, database=facts.database)
    noted.asked = []
    slow = {"api_rate_per_s": 0.001, "api_burst": 1}
    with served(noted, tmp_path_factory.mktemp("tokens"), **slow) as api:
        assert api.ask(None, "GET", "/v1/totals").status_code == 401
        assert noted.asked == []
        assert api.ask("operator", "GET", "/v1/totals").status_code == 200
        assert len(noted.asked) == 1
        assert api.ask("operator", "GET", "/v1/totals").status_code == 429
        assert len(noted.asked) == 1
