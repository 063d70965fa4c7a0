"""That tests can wait for a scrape: one that failed is none."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Final

import pytest

from embedded.broker import HOST
from tests.prometheus_server import PrometheusServer, write_config

FAILURES: Final = 3
INTERVAL_S: Final = 0.2


class _Counting(ThreadingHTTPServer):
    """Serves one number, and fails `failures` times before it serves the next."""

    number = 1
    failures = 0


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, _Counting)
        if server.failures:
            server.failures -= 1
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(b"number %d\n" % server.number)

    def log_message(self, format: str, *words: object) -> None:  # noqa: A002 -- As it names it.
        """Nobody reads it."""


@pytest.fixture
def counting() -> Iterator[_Counting]:
    server = _Counting((HOST, 0), _Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_failed_scrape_is_none(counting: _Counting, tmp_path: Path) -> None:
    targets = {"one": [f"{HOST}:{counting.server_address[1]}"]}
    config = write_config(tmp_path / "prometheus.yml", targets, interval_s=INTERVAL_S)
    with PrometheusServer(tmp_path / "data", config) as prometheus:
        prometheus.scraped_again()
        assert prometheus.value("number") == 1
        counting.failures, counting.number = FAILURES, 2
        prometheus.scraped_again()
        assert prometheus.value("number") == 2
