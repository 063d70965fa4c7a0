"""The gate lets in who has a token, as often as a token may, and nobody by another door."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from api.app import create_app
from api.gate import Rate
from api.settings import ApiSettings
from sinks.queries import Queries
from tests.api.asked import Http
from tests.api.served import tokens_in
from tests.sinks.facts import Facts

PATH = "/v1/accounts/ann/balance"


class Clock:
    """A time that passes when it is told to [s]."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        """Return it."""
        return self.now_s


def test_a_bucket_holds_a_burst_and_fills_at_its_rate() -> None:
    clock = Clock()
    rate = Rate(per_s=2, burst=3, now=clock)
    assert [rate.wait_s("a") for _ in range(3)] == [0, 0, 0]
    assert rate.wait_s("a") == pytest.approx(0.5)
    clock.now_s += 0.5
    assert rate.wait_s("a") == 0
    assert rate.wait_s("a") == pytest.approx(0.5)
    clock.now_s += 100
    assert [rate.wait_s("a") > 0 for _ in range(4)] == [False, False, False, True]


def test_who_comes_when_told_to_is_let_in() -> None:
    clock = Clock()
    rate = Rate(per_s=7, burst=1, now=clock)
    assert rate.wait_s("a") == 0
    for _ in range(100):
        wait_s = rate.wait_s("a")
        assert wait_s > 0
        clock.now_s += wait_s
        assert rate.wait_s("a") == 0


def test_buckets_are_apart() -> None:
    rate = Rate(per_s=1, burst=1, now=Clock())
    assert [rate.wait_s(who) > 0 for who in ("a", "a", "b")] == [False, True, False]


@given(
    per_s=st.floats(0.1, 1_000),
    burst=st.integers(1, 50),
    pauses_s=st.lists(st.floats(0, 5), max_size=200),
)
def test_never_more_than_the_burst_and_the_rate(
    per_s: float, burst: int, pauses_s: list[float]
) -> None:
    clock = Clock()
    rate = Rate(per_s=per_s, burst=burst, now=clock)
    let_in = 0
    for pause_s in pauses_s:
        clock.now_s += pause_s
        let_in += rate.wait_s("a") == 0
    assert let_in <= burst + per_s * sum(pauses_s) + 1e-3


def app_of(facts: Facts, registry: CollectorRegistry, settings: ApiSettings) -> Http:
    queries = Queries(facts.client, database=facts.database)
    return Http(create_app(queries, settings=settings, registry=registry, programmes={}))


@pytest.fixture
def guarded(facts: Facts, registry: CollectorRegistry, tmp_path: Path) -> tuple[Http, str]:
    """An application with tokens that may ask twice, and an operator's."""
    tokens = tokens_in(tmp_path / "tokens.toml")
    settings = ApiSettings(
        api_tokens_file=tmp_path / "tokens.toml", api_rate_per_s=0.01, api_burst=2
    )
    return app_of(facts, registry, settings), tokens["operator"]


def test_who_asks_too_much_is_told_when_to_come_again(
    guarded: tuple[Http, str], registry: CollectorRegistry
) -> None:
    http, token = guarded
    headers = {"Authorization": f"Bearer {token}"}
    answers = [http.ask("GET", PATH, headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    last = answers[-1]
    assert last.headers["content-type"] == "application/problem+json"
    assert last.json()["type"] == "urn:carbonflow:problem:too-many-requests"
    assert 90 < int(last.headers["retry-after"]) <= 100
    labels = {"method": "GET", "route": "unmatched", "status": "429"}
    assert registry.get_sample_value("carbonflow_api_requests_total", labels) == 1


def test_guessing_takes_nothing_from_those_with_a_token(guarded: tuple[Http, str]) -> None:
    http, token = guarded
    guesses = [
        http.ask("GET", PATH, headers={"Authorization": f"Bearer cf_{number}"}).status_code
        for number in range(5)
    ]
    assert guesses == [401, 401, 429, 429, 429]
    assert http.ask("GET", "/openapi.json").status_code == 429
    assert http.ask("GET", PATH, headers={"Authorization": f"Bearer {token}"}).status_code == 200


@pytest.mark.parametrize("scheme", ["Basic ", "Bearer", "", "Token "])
def test_a_token_is_a_bearers(guarded: tuple[Http, str], scheme: str) -> None:
    http, token = guarded
    answer = http.ask("GET", PATH, headers={"Authorization": scheme + token})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["type"] == "urn:carbonflow:problem:unauthorized"
    assert token not in answer.text


@pytest.mark.parametrize("scheme", ["bearer ", "BEARER ", "Bearer  "])
def test_its_scheme_may_be_written_in_any_case(guarded: tuple[Http, str], scheme: str) -> None:
    http, token = guarded
    assert http.ask("GET", PATH, headers={"Authorization": scheme + token}).status_code == 200


def test_two_tokens_are_none(guarded: tuple[Http, str]) -> None:
    http, token = guarded
    headers = [("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")]
    assert http.ask("GET", PATH, headers=headers).status_code == 401


@pytest.mark.parametrize(
    "path", ["/v2/nothing", "/docs/", "/docs/x", "/console/", "/console/x.js", "/openapi.json/x"]
)
def test_what_is_not_there_is_no_door_either(guarded: tuple[Http, str], path: str) -> None:
    assert guarded[0].ask("GET", path).status_code == 401


def test_an_open_api_of_this_machine_answers_to_its_own_names_only(
    facts: Facts, registry: CollectorRegistry
) -> None:
    http = app_of(facts, registry, ApiSettings())
    for host in ("127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:8080", "127.0.0.1"):
        assert http.ask("GET", PATH, headers={"Host": host}).status_code == 200
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8080", ""):
        answer = http.ask("GET", PATH, headers={"Host": host})
        assert (answer.status_code, answer.json()["type"]) == (
            421,
            "urn:carbonflow:problem:not-here",
        )


def test_an_api_that_is_said_to_be_open_answers_to_any_name(
    facts: Facts, registry: CollectorRegistry
) -> None:
    http = app_of(facts, registry, ApiSettings(api_host="0.0.0.0", api_open=True))
    assert http.ask("GET", PATH, headers={"Host": "carbonflow.example"}).status_code == 200


def test_an_open_api_counts_nothing(facts: Facts, registry: CollectorRegistry) -> None:
    http = app_of(facts, registry, ApiSettings(api_rate_per_s=0.01, api_burst=1))
    assert [http.ask("GET", PATH).status_code for _ in range(3)] == [200, 200, 200]
