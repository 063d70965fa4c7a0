"""A ClickHouse server for tests: the door of one chDB engine, through which it can also be written.

The engine is the real one; only the door is ours. chDB takes one path per process, so the server is
a process of its own: `start(folder)` runs it on a free port and stops it at the end. With `users`
it lets in only those, by their passwords, and the engine holds each to its grants; with
`certificate` it speaks TLS.
"""

import json
import re
import ssl
import subprocess
import sys
import tempfile
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

from chdb.state.sqlitelike import Connection

from embedded.door import Door, quoted
from tests.clickhouse_access import write_config

_INSERT = re.compile(
    rb"\s*(INSERT\s+INTO\s+.+?)\s+FORMAT\s+(\w+)\s*?(?:\n|$)", re.IGNORECASE | re.DOTALL
)


DOOR_GRANTS = ("GRANT CREATE TEMPORARY TABLE ON *.*", "GRANT READ ON FILE")
"""For tables that a query takes along, which need no right on a server; given up before a user's
statement is run."""


@dataclass(frozen=True, slots=True)
class User:
    """A user: its password, and its GRANT statements without their TO."""

    password: str
    grants: Sequence[str]


class _Writable(Door):
    settings: ClassVar[Mapping[str, str]] = {}
    users: ClassVar[Mapping[str, User]] = {}
    """Who is let in; where there are none, everybody."""

    def _answer(self) -> None:
        if self.users and self.path != "/ping" and self._user() is None:
            self._body()
            told = b"Code: 516. DB::Exception: Authentication failed. (AUTHENTICATION_FAILED)"
            self._send(HTTPStatus.FORBIDDEN, told, {"X-ClickHouse-Exception-Code": "516"})
            return
        super()._answer()

    def _run(
        self, engine: Connection, values: dict[str, str], body: bytes
    ) -> tuple[bytes, dict[str, str]]:
        if self.users:
            engine.query(f"SET ROLE {self._user()}", "TabSeparated")
        return super()._run(engine, values, body)

    def _user(self) -> str | None:
        """Return who asks, None where the password is another."""
        kind, _, code = self.headers.get("Authorization", "").partition(" ")
        try:
            name, _, password = b64decode(code).decode().partition(":")
        except (NotBase64, UnicodeDecodeError):
            return None
        known = self.users.get(name) if kind == "Basic" else None
        return name if known is not None and known.password == password else None

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
def start(
    folder: Path,
    *,
    users: Mapping[str, User] | None = None,
    certificate: Path | None = None,
    port: int = 0,
) -> Iterator[str]:
    """Run a server; give its URL, and stop it at the end.

    Args:
        folder: Where its data lives.
        users: Who may ask; everybody may do everything where not given.
        certificate: Key and certificates in PEM, to speak TLS.
        port: Its port; a free one for 0.
    """
    about = {
        "folder": str(folder),
        "users": {name: asdict(user) for name, user in (users or {}).items()},
        "certificate": str(certificate) if certificate else None,
        "port": port,
    }
    command = [sys.executable, "-m", "tests.clickhouse_server"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            if process.stdin is None or process.stdout is None:
                raise RuntimeError("the server has no standard input or output")
            # Not on its command line: it has passwords.
            process.stdin.write(json.dumps(about))
            process.stdin.close()
            listens_on = process.stdout.readline().strip()
            if not listens_on:
                raise RuntimeError(f"the server ended with status {process.wait()}")
            yield f"{'https' if certificate else 'http'}://127.0.0.1:{listens_on}"
        finally:
            process.terminate()
            process.wait(timeout=30)


def main(folder: str, users: Mapping[str, User], certificate: str | None, port: int = 0) -> None:
    """Serve `folder` until terminated; the first line of output is the port."""
    where = folder
    if users:
        config = Path(f"{folder}.xml")
        grants = {name: user.grants for name, user in users.items()}
        write_config(config, {**grants, "door": DOOR_GRANTS})
        where = f"{folder}?config-file={config}"
    engine = Connection(where)
    handler = type("Handler", (_Writable,), {"folder": folder, "users": users})
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        sys.stdout.write(f"{server.server_port}\n")
        sys.stdout.flush()
        try:
            server.serve_forever()
        finally:
            engine.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1], {}, None, int(sys.argv[2]))
    else:
        told = json.load(sys.stdin)
        main(
            told["folder"],
            {name: User(**user) for name, user in told["users"].items()},
            told["certificate"],
            told["port"],
        )
