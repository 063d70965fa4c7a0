"""The door: ClickHouse's HTTP interface in front of the embedded store, to read from.

The embedded store has one owner, its process. Through the door another process asks it as it would
ask a server: the API is the same program on one machine as in production. It speaks what
clickhouse-connect's HTTP client needs: `/ping`, statements in the body or the URL with settings,
parameters and `database`, tables that a query takes along (its external data, a form of several
parts), answers in any format, and errors with `X-ClickHouse-Exception-Code`. What would change
anything is refused by the engine. `/metrics` has the metrics of the owner.
"""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email import message_from_bytes, policy
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar, Final
from urllib.parse import parse_qsl, urlsplit

from chdb.state.sqlitelike import Connection
from prometheus_client import CollectorRegistry, generate_latest

from embedded.broker import HOST

# Parameters of a request that are not settings of the engine.
_TRANSPORT: Final = frozenset(
    {
        "query",
        "database",
        "query_id",
        "session_id",
        "compress",
        "decompress",
        "wait_end_of_query",
        "client_protocol_version",
        "enable_http_compression",
        "send_progress_in_http_headers",
        "http_headers_progress_interval_ms",
        "cancel_http_readonly_queries_on_client_close",
    }
)
_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*$", re.IGNORECASE)
_NAME = re.compile(r"\w+")
_CODE = re.compile(r"Code: (\d+)")


class Door(BaseHTTPRequestHandler):
    """Answers requests with handles to the store in `folder`, which this process has open."""

    protocol_version = "HTTP/1.1"
    folder: ClassVar[str]
    registry: ClassVar[CollectorRegistry] = CollectorRegistry()
    settings: ClassVar[Mapping[str, str]] = {"readonly": "2"}
    """Set before each statement; readonly 2 allows settings and nothing that writes."""

    def do_GET(self) -> None:
        """Answer."""
        self._answer()

    def do_POST(self) -> None:
        """Answer."""
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is the parent's)
        """Say nothing."""

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        body = self._body()
        if parts.path == "/ping":
            self._send(HTTPStatus.OK, b"Ok.\n", {})
            return
        if parts.path == "/metrics":
            self._send(HTTPStatus.OK, generate_latest(self.registry), {})
            return
        values = dict(parse_qsl(parts.query, keep_blank_values=True))
        # A handle of one's own for each request: settings and USE end with it, as with a request to
        # a server.
        engine = Connection(self.folder)
        try:
            if self.headers.get_content_maintype() == "multipart":
                for name, table in self._tables(body):
                    _take_along(engine, name, table, values)
                body = b""
            answer, headers = self._run(engine, values, body)
        except RuntimeError as error:
            code = _CODE.search(str(error))
            headers = {"X-ClickHouse-Exception-Code": code[1] if code else "1002"}
            status = (
                HTTPStatus.NOT_FOUND
                if code and code[1] in ("60", "81")
                else HTTPStatus.INTERNAL_SERVER_ERROR
            )
            self._send(status, str(error).encode(), headers)
        else:
            self._send(HTTPStatus.OK, answer, headers)
        finally:
            engine.close()

    def _run(
        self, engine: Connection, values: dict[str, str], body: bytes
    ) -> tuple[bytes, dict[str, str]]:
        """Return body and headers of the answer to one request."""
        parameters = {}
        for name, value in values.items():
            if name.startswith("param_"):
                parameters[name.removeprefix("param_")] = value
            elif name not in _TRANSPORT and _NAME.fullmatch(name):
                engine.query(f"SET {name} = {quoted(value)}", "TabSeparated")
        if database := values.get("database"):
            engine.query(f"USE `{database}`", "TabSeparated")
        for name, value in self.settings.items():
            engine.query(f"SET {name} = {quoted(value)}", "TabSeparated")
        statement = values.get("query", "").encode()
        return self.answer(engine, statement + b"\n" + body if statement else body, parameters)

    def answer(
        self, engine: Connection, request: bytes, parameters: dict[str, str]
    ) -> tuple[bytes, dict[str, str]]:
        """Return body and headers of the answer to a statement."""
        sql = request.decode()
        chosen = _FORMAT.search(sql)
        # Only statements with a result have a format; asking for names tells an empty result from
        # none.
        answer = engine.query(sql, "TabSeparatedWithNames", params=parameters).bytes() or b""
        if chosen:
            return answer, {"X-ClickHouse-Format": chosen[1]}
        if not answer:
            return b"", {}
        return answer.partition(b"\n")[2], {"X-ClickHouse-Format": "TabSeparated"}

    def _tables(self, body: bytes) -> Iterator[tuple[str, bytes]]:
        """Yield the tables that a query takes along, each with its name."""
        kind = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n"
        form = message_from_bytes(kind.encode() + body, policy=policy.HTTP)
        for part in form.iter_parts():
            name = part.get_param("name", header="Content-Disposition")
            table = part.get_payload(decode=True)
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise RuntimeError(f"not a name of a table: {name!r}")
            assert isinstance(table, bytes), "decoded, and not a form in itself"
            yield name, table

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _send(self, status: HTTPStatus, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("X-ClickHouse-Timezone", "UTC")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _take_along(engine: Connection, name: str, table: bytes, values: dict[str, str]) -> None:
    """Make a table of one request, which ends with its handle."""
    kind, structure = values.pop(f"{name}_format", ""), values.pop(f"{name}_structure", "")
    with tempfile.NamedTemporaryFile(suffix=".table") as file:
        file.write(table)
        file.flush()
        source = f"file({quoted(file.name)}, {quoted(kind)}, {quoted(structure)})"
        engine.query(f"CREATE TEMPORARY TABLE {name} AS SELECT * FROM {source}", "TabSeparated")


def quoted(text: str) -> str:
    """Return a text as a literal of SQL."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


@contextmanager
def open_to_readers(folder: str, registry: CollectorRegistry) -> Iterator[str]:
    """Let other processes of this machine read the store in a folder; gives the URL.

    Args:
        folder: chDB's folder, which this process has open.
        registry: This process's metrics.
    """
    handler = type("Door", (Door,), {"folder": folder, "registry": registry})
    with ThreadingHTTPServer((HOST, 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever, name="door", daemon=True)
        serving.start()
        try:
            yield f"http://{HOST}:{server.server_port}"
        finally:
            server.shutdown()
            serving.join()
