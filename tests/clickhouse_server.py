"""A ClickHouse server for tests: the HTTP interface in front of one chDB engine.

The engine is the real one; only the door is ours. It speaks what clickhouse-connect's HTTP client
needs: `/ping`, queries in the body or the URL with settings, parameters and `database`, reads in
any format, inserts of Native and Arrow blocks, and errors with `X-ClickHouse-Exception-Code`. chDB
takes one path per process, so the server is a process of its own: `start(folder)` runs it on a free
port and stops it at the end.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from chdb.state.sqlitelike import Connection

# Parameters of a request that are not settings of the engine.
_TRANSPORT = frozenset(
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
_INSERT = re.compile(
    rb"\s*(INSERT\s+INTO\s+.+?)\s+FORMAT\s+(\w+)\s*?(?:\n|$)", re.IGNORECASE | re.DOTALL
)
_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*$", re.IGNORECASE)
_NAME = re.compile(r"\w+")
_CODE = re.compile(r"Code: (\d+)")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: str

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is the parent's)
        """Say nothing."""

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        body = self._body()
        if parts.path == "/ping":
            self._send(HTTPStatus.OK, b"Ok.\n", {})
            return
        values = dict(parse_qsl(parts.query, keep_blank_values=True))
        # A handle of one's own for each request: settings and USE end with it, as with a request to
        # a server.
        engine = Connection(self.folder)
        try:
            answer, headers = _run(engine, values, body)
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


def _run(engine: Connection, values: dict[str, str], body: bytes) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of the answer to one request."""
    parameters = {}
    for name, value in values.items():
        if name.startswith("param_"):
            parameters[name.removeprefix("param_")] = value
        elif name not in _TRANSPORT and _NAME.fullmatch(name):
            engine.query(f"SET {name} = {_quoted(value)}", "TabSeparated")
    if database := values.get("database"):
        engine.query(f"USE `{database}`", "TabSeparated")
    statement = values.get("query", "").encode()
    request = statement + b"\n" + body if statement else body
    if insert := _INSERT.match(request):
        return b"", _insert(engine, insert[1].decode(), insert[2].decode(), request[insert.end() :])
    sql = request.decode()
    chosen = _FORMAT.search(sql)
    # Only statements with a result have a format; asking for names tells an empty result from none.
    answer = engine.query(sql, "TabSeparatedWithNames", params=parameters).bytes() or b""
    if chosen:
        return answer, {"X-ClickHouse-Format": chosen[1]}
    if not answer:
        return b"", {}
    return answer.partition(b"\n")[2], {"X-ClickHouse-Format": "TabSeparated"}


def _insert(engine: Connection, into: str, block_format: str, block: bytes) -> dict[str, str]:
    with tempfile.NamedTemporaryFile(suffix=".block") as file:
        file.write(block)
        file.flush()
        done = engine.query(
            f"{into} FROM INFILE {_quoted(file.name)} FORMAT {block_format}", "TabSeparated"
        )
    return {"X-ClickHouse-Summary": f'{{"written_rows":"{done.rows_read()}"}}'}


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


@contextmanager
def start(folder: Path) -> Iterator[str]:
    """Run a server whose data lives in `folder`; give its URL, and stop it at the end."""
    command = [sys.executable, __file__, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None:
                raise RuntimeError("the server has no standard output")
            port = process.stdout.readline().strip()
            if not port:
                raise RuntimeError(f"the server ended with status {process.wait()}")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=30)


def main(folder: str) -> None:
    """Serve `folder` until terminated; the first line of output is the port."""
    engine = Connection(folder)
    handler = type("Handler", (_Handler,), {"folder": folder})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        sys.stdout.write(f"{server.server_port}\n")
        sys.stdout.flush()
        try:
            server.serve_forever()
        finally:
            engine.close()


if __name__ == "__main__":
    main(sys.argv[1])
