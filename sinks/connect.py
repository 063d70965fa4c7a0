"""Where the store is, and a client to it over HTTP.

A `Client` is clickhouse-connect's; the same class drives a ClickHouse server over HTTP and chDB
inside the process (`embedded.store` opens that one). Everything in `sinks` takes a `Client` and
cannot tell which it got. A client may be used from several threads at once: over HTTP no session
ties its requests together, and a chDB client locks around each call. So callers in an event loop
only have to leave the loop (`asyncio.to_thread`), never to take turns.

`StoreError` is what every call raises when the store is away or refuses; `is_away` tells the two
apart, and `reason` says either in a line.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as StoreError
from clickhouse_connect.driver.exceptions import OperationalError

__all__ = [
    "Client",
    "StoreError",
    "StoreSettings",
    "connect",
    "database_name",
    "is_away",
    "reason",
    "shown",
]

REASON_CHARACTERS_MAX = 200
# A server whose database or tables are not there yet is as good as none.
_NOTHING_THERE = frozenset({60, 81})

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

    def __post_init__(self) -> None:
        """Refuse what is no URL and no name."""
        check_url(self.clickhouse_url)
        database_name(self.database)


def check_url(url: str) -> None:
    """Raise ValueError unless a URL is `http://` or `https://` with a host."""
    parts = urlsplit(url)
    try:
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"not a ClickHouse URL, such as http://127.0.0.1:8123: {shown(url)}")


def shown(url: str) -> str:
    """Return a URL for people: without what gives access.

    >>> shown("http://carbonflow:secret@clickhouse:8123")
    'http://clickhouse:8123'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.scheme else url


def is_away(error: StoreError) -> bool:
    """Return whether the store cannot be asked at all, rather than refuses one question."""
    return isinstance(error, OperationalError) or error.code in _NOTHING_THERE


def reason(error: StoreError) -> str:
    """Return what went wrong in a short line: the system's words where a connection failed."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
        cause = cause.__cause__ or cause.__context__
    line = " ".join(str(error).split())
    cut = len(line) > REASON_CHARACTERS_MAX
    return line[:REASON_CHARACTERS_MAX] + "..." if cut else line


def connect(url: str, *, answer_s_max: int = 300) -> Client:
    """Return a client to the ClickHouse server at `url`.

    Args:
        url: Where it is.
        answer_s_max: How long an answer may be silent.

    Raises:
        ValueError: The URL is not `http://` or `https://` with a host.
        StoreError: The server does not answer.
    """
    check_url(url)
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    return clickhouse_connect.get_client(
        host=str(parts.hostname),
        port=parts.port or (8443 if secure else 8123),
        secure=secure,
        username=unquote(parts.username) if parts.username else "default",
        password=unquote(parts.password or ""),
        # A session serialises its requests on the server and makes concurrent ones fail in the
        # client.
        autogenerate_session_id=False,
        send_receive_timeout=answer_s_max,
    )


def database_name(name: str) -> str:
    """Return `name` if it is a plain identifier, so that it may stand in SQL text.

    Raises:
        ValueError: It is not.
    """
    if not _DATABASE.fullmatch(name):
        raise ValueError(f"not a database name: {name!r}")
    return name
