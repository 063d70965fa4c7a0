"""A connection ends when a client sends too much, or takes too long."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from sinks.queries import Queries
from tests.api.served import Served, served
from tests.api.test_hardening import EVERY
from tests.sinks.facts import Facts

LIMITS: dict[str, Any] = {
    "api_url_bytes_max": 200,
    "api_head_bytes_max": 1_000,
    "api_headers_max": 12,
    "api_body_bytes_max": 300,
    "api_burst": 10_000,
}
ANSWER_S_MAX = 30.0


@pytest.fixture(scope="module")
def api(facts: Facts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An API that is served, with small limits."""
    queries = Queries(facts.client, database=facts.database)
    with served(queries, tmp_path_factory.mktemp("tokens"), **LIMITS) as running:
        yield running


@pytest.fixture(scope="module")
def hasty(facts: Facts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An API that does not wait long."""
    queries = Queries(facts.client, database=facts.database)
    with served(queries, tmp_path_factory.mktemp("tokens"), api_request_s_max=1.5) as running:
        yield running


def connect(api: Served) -> socket.socket:
    where = urlsplit(api.url)
    assert where.hostname
    assert where.port
    return socket.create_connection((where.hostname, where.port), timeout=ANSWER_S_MAX)


def head(api: Served, path: str = "/v1/totals", *more: str, method: str = "GET") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: api"]
    lines += [f"authorization: {api.headers('operator')['Authorization']}"]
    return "\r\n".join([*lines, *more, "", ""]).encode()


def answer_to(peer: socket.socket, *sent: bytes) -> bytes:
    """Send something, and return all that comes until the connection is closed."""
    for piece in sent:
        peer.sendall(piece)
    return b"".join(iter(lambda: peer.recv(65_536), b""))


def status_of_one(peer: socket.socket) -> int:
    """Return the status of the next answer, having read it to its end."""
    answer = http.client.HTTPResponse(peer)
    answer.begin()
    answer.read()
    return answer.status


def assert_refused(answer: bytes, status: int) -> None:
    """Check that an answer is a problem, and the last on its connection."""
    top, _, body = answer.partition(b"\r\n\r\n")
    lines = top.decode().split("\r\n")
    assert lines[0].split()[1] == str(status), answer
    headers = dict(line.split(": ", 1) for line in lines[1:])
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert int(headers["content-length"]) == len(body)
    assert {name: headers.get(name) for name in EVERY} == EVERY


def status_of(answer: bytes) -> bytes:
    return answer.split(b" ", 2)[1]


CLOSE = "connection: close"


def test_what_is_within_all_limits_is_answered(api: Served) -> None:
    path = "/v1/factors?region=" + "x" * 170
    more = [f"x-{number}: {'y' * 80}" for number in range(9)]
    with connect(api) as peer:
        assert status_of(answer_to(peer, head(api, path, CLOSE, *more))) == b"200"


def test_a_url_has_a_limit(api: Served) -> None:
    path = "/v1/factors?region=" + "x" * 200
    with connect(api) as peer:
        assert_refused(answer_to(peer, head(api, path)), 414)


def test_headers_are_so_many_at_most(api: Served) -> None:
    with connect(api) as peer:
        more = [f"x-{number}: y" for number in range(11)]
        assert_refused(answer_to(peer, head(api, "/v1/totals", *more)), 431)


def test_headers_are_so_long_at_most(api: Served) -> None:
    with connect(api) as peer:
        assert_refused(answer_to(peer, head(api, "/v1/totals", "x: " + "y" * 1_000)), 431)


@pytest.mark.parametrize(
    "begun", [b"GET /v1/totals HTTP/1.1\r\nx: ", b"GET /v1/totals HTTP/1.1\r\nx"]
)
def test_a_header_without_end_has_one(api: Served, begun: bytes) -> None:
    with connect(api) as peer:
        assert_refused(answer_to(peer, begun + b"y" * 1_500), 431)


def test_limits_count_for_each_request_of_a_connection(api: Served) -> None:
    with connect(api) as peer:
        for _ in range(20):
            peer.sendall(head(api, "/v1/accounts/eve/balance", "x: " + "y" * 500))
            assert status_of_one(peer) == 404
        assert_refused(answer_to(peer, head(api, "/v1/totals", "x: " + "y" * 1_000)), 431)


@pytest.mark.parametrize(
    "text", [b"nonsense\r\n\r\n", b"GET\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n"]
)
def test_what_is_no_http_is_a_problem(api: Served, text: bytes) -> None:
    with connect(api) as peer:
        assert_refused(answer_to(peer, text), 400)


def test_a_body_has_a_limit_that_its_length_tells(api: Served) -> None:
    more = ["content-length: 301", "content-type: application/json", CLOSE]
    with connect(api) as peer:
        answer = answer_to(peer, head(api, "/v1/balances", *more, method="POST"))
    assert status_of(answer) == b"413"
    assert b"application/problem+json" in answer


def test_a_body_has_a_limit_that_is_found_out(api: Served) -> None:
    more = ["transfer-encoding: chunked", "content-type: application/json", CLOSE]
    chunks = b"64\r\n" + b" " * 100 + b"\r\n"
    with connect(api) as peer:
        answer = answer_to(peer, head(api, "/v1/balances", *more, method="POST"), chunks * 4)
    assert status_of(answer) == b"413"
    assert b"application/problem+json" in answer


def test_a_body_within_it_is_taken(api: Served) -> None:
    body = b'{"account_ids": ["ann"]' + b" " * 276 + b"}"
    more = [f"content-length: {len(body)}", "content-type: application/json", CLOSE]
    with connect(api) as peer:
        answer = answer_to(peer, head(api, "/v1/balances", *more, method="POST"), body)
    assert (len(body), status_of(answer)) == (300, b"200")


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET /v1/totals HTTP/1.1\r\nhost: ",
        b"POST /v1/balances HTTP/1.1\r\nhost: api\r\ncontent-length: 20\r\n\r\n{",
    ],
)
def test_a_request_that_does_not_come_is_not_waited_for(hasty: Served, begun: bytes) -> None:
    with connect(hasty) as peer:
        if b"POST" in begun:
            token = hasty.headers("operator")["Authorization"].encode()
            begun = begun.replace(b"host", b"authorization: %s\r\nhost" % token)
        assert_refused(answer_to(peer, begun), 408)


def test_empty_lines_between_two_requests_keep_no_connection(hasty: Served) -> None:
    with connect(hasty) as peer:
        peer.sendall(head(hasty, "/v1/accounts/eve/balance"))
        assert status_of_one(peer) == 404
        assert_refused(answer_to(peer, b"\r\n"), 408)


def test_connections_beyond_the_limit_are_closed(
    facts: Facts, tmp_path_factory: pytest.TempPathFactory
) -> None:
    queries = Queries(facts.client, database=facts.database)
    few = {"api_request_s_max": 120.0, "api_connections_max": 3}
    with served(queries, tmp_path_factory.mktemp("tokens"), **few) as api:
        peers = [connect(api) for _ in range(3)]
        for peer in peers:
            peer.sendall(b"GET /")
        assert answer_if_any(api) == b""
        for peer in peers:
            peer.close()
        deadline = time.monotonic() + ANSWER_S_MAX
        while not (answer := answer_if_any(api)):
            assert time.monotonic() < deadline
        assert status_of(answer) == b"200"


def answer_if_any(api: Served) -> bytes:
    """Return an answer, or nothing where the connection is closed without one."""
    try:
        with connect(api) as peer:
            return answer_to(peer, head(api, "/v1/totals", CLOSE))
    except (ConnectionResetError, BrokenPipeError):
        return b""


def test_who_does_not_take_an_answer_holds_no_connection(
    facts: Facts, tmp_path_factory: pytest.TempPathFactory
) -> None:
    queries = Queries(facts.client, database=facts.database)
    one = {"api_request_s_max": 1.5, "api_connections_max": 1, "api_burst": 1_000_000}
    with served(queries, tmp_path_factory.mktemp("tokens"), **one) as api, connect(api) as stuck:
        wanted = 2_000  # More than the buffers between hold.
        request = b"GET /openapi.json HTTP/1.1\r\nhost: api\r\n\r\n"
        stuck.sendall(request * wanted)
        deadline = time.monotonic() + ANSWER_S_MAX
        while not (answer := answer_if_any(api)):
            assert time.monotonic() < deadline
        assert status_of(answer) == b"200"
        assert 0 < taken(stuck).count(b"HTTP/1.1 200 ") < wanted


def taken(peer: socket.socket) -> bytes:
    """Return what still comes until the connection ends, in whatever way."""
    pieces = []
    try:
        while piece := peer.recv(1 << 20):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    return b"".join(pieces)
