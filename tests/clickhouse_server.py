"""A ClickHouse server for tests: the door of one chDB engine, through which it can also be written.

The engine is the real one; only the door is ours. chDB takes one path per process, so the server is
a process of its own: `start(folder)` runs it on a free port and stops it at the end.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

from chdb.state.sqlitelike import Connection

from embedded.door import Door, quoted

_INSERT = re.compile(
    rb"\s*(INSERT\s+INTO\s+.+?)\s+FORMAT\s+(\w+)\s*?(?:\n|$)", re.IGNORECASE | re.DOTALL
)


class _Writable(Door):
    settings: ClassVar[Mapping[str, str]] = {}

    def answer(
        self, engine: Connection, request: bytes, parameters: dict[str, str]
    ) -> tuple[bytes, dict[str, str]]:
        """Also take blocks of Native and Arrow."""
        insert = _INSERT.match(request)
        if insert is None:
            return super().answer(engine, request, parameters)
        into, kind, block = insert[1].decode(), insert[2].decode(), request[insert.end() :]
        with tempfile.NamedTemporaryFile(suffix=".block") as file:
            file.write(block)
            file.flush()
            done = engine.query(
                f"{into} FROM INFILE {quoted(file.name)} FORMAT {kind}", "TabSeparated"
            )
        return b"", {"X-ClickHouse-Summary": f'{{"written_rows":"{done.rows_read()}"}}'}


@contextmanager
def start(folder: Path, port: int = 0) -> Iterator[str]:
    """Run a server whose data lives in `folder`; give its URL, and stop it at the end."""
    command = [sys.executable, "-m", "tests.clickhouse_server", str(folder), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None:
                raise RuntimeError("the server has no standard output")
            listens_on = process.stdout.readline().strip()
            if not listens_on:
                raise RuntimeError(f"the server ended with status {process.wait()}")
            yield f"http://127.0.0.1:{listens_on}"
        finally:
            process.terminate()
            process.wait(timeout=30)


def main(folder: str, port: str = "0") -> None:
    """Serve `folder` until terminated; the first line of output is the port."""
    engine = Connection(folder)
    handler = type("Handler", (_Writable,), {"folder": folder})
    with ThreadingHTTPServer(("127.0.0.1", int(port)), handler) as server:
        sys.stdout.write(f"{server.server_port}\n")
        sys.stdout.flush()
        try:
            server.serve_forever()
        finally:
            engine.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
