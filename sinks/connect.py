"""Where the store is, and a client to it over HTTP.

A `Client` is clickhouse-connect's; the same class drives a ClickHouse server over HTTP and chDB
inside the process (`embedded.store` opens that one). Everything in `sinks` takes a `Client` and
cannot tell which it got. A client may be used from several threads at once: over HTTP no session
ties its requests together, and a chDB client locks around each call. So callers in an event loop
only have to leave the loop (`asyncio.to_thread`), never to take turns.

`StoreError` is what every call raises when the store is away or refuses.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as StoreError

__all__ = ["Client", "StoreError", "StoreSettings", "connect", "database_name"]

_DATABASE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """Settings of the store, read from `CARBONFLOW_<FIELD>`.

    Attributes:
        clickhouse_url: `http://user:password@host:port` or `https://...` of a ClickHouse server.
        database: Database that holds the tables.
        replicated: Whether tables are created as `ReplicatedReplacingMergeTree`.
    """

    clickhouse_url: str = "http://127.0.0.1:8123"
    database: str = "carbonflow"
    replicated: bool = False


def connect(url: str) -> Client:
    """Return a client to the ClickHouse server at `url`.

    Raises:
        ValueError: The URL is not `http://` or `https://` with a host.
        StoreError: The server does not answer.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"not a ClickHouse URL: {parts.scheme}://{parts.hostname or ''}")
    secure = parts.scheme == "https"
    return clickhouse_connect.get_client(
        host=parts.hostname,
        port=parts.port or (8443 if secure else 8123),
        secure=secure,
        username=unquote(parts.username) if parts.username else "default",
        password=unquote(parts.password or ""),
        # A session serialises its requests on the server and makes concurrent ones fail in the
        # client.
        autogenerate_session_id=False,
    )


def database_name(name: str) -> str:
    """Return `name` if it is a plain identifier, so that it may stand in SQL text.

    Raises:
        ValueError: It is not.
    """
    if not _DATABASE.fullmatch(name):
        raise ValueError(f"not a database name: {name!r}")
    return name
