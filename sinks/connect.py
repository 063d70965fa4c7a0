"""Where the store is, and a client to it over HTTP.

A `Client` is clickhouse-connect's; the same class drives a ClickHouse server over HTTP and chDB
inside the process (`embedded.store` opens that one). Everything in `sinks` takes a `Client` and
cannot tell which it got. A client may be used from several threads at once: over HTTP no session
ties its requests together, and a chDB client locks around each call. So callers in an event loop
only have to leave the loop (`asyncio.to_thread`), never to take turns.

`StoreError` is what every call raises when the store is away or refuses; `is_away` tells the two
apart, and `reason` says either in a line. Neither shows a password.
"""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as StoreError
from clickhouse_connect.driver.exceptions import OperationalError

from schemas.settings import secret, trusted, variable, variables

__all__ = [
    "OPEN",
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
        clickhouse_url: `http://host:port` or `https://...` of a ClickHouse server. A user and a
            password may stand in it; they become the two settings below, so that it can be shown.
        clickhouse_user: Whom to be there.
        clickhouse_password: Its password.
        clickhouse_cafile: Certificates to trust; the system's where not given.
        database: Database that holds the tables.
        replicated: Whether tables are created as `ReplicatedReplacingMergeTree`.
    """

    clickhouse_url: str = "http://127.0.0.1:8123"
    clickhouse_user: str | None = None
    clickhouse_password: str | None = secret()
    clickhouse_cafile: Path | None = None
    database: str = "carbonflow"
    replicated: bool = False

    def __post_init__(self) -> None:
        """Refuse what is no URL and no name, and what is said twice or would go unused."""
        check_url(self.clickhouse_url)
        database_name(self.database)
        self._part()
        if self.clickhouse_password is not None and self.clickhouse_user is None:
            raise ValueError(
                f"{variable('clickhouse_password')} is set without {variable('clickhouse_user')}"
            )
        if self.clickhouse_cafile is not None:
            if not self.is_encrypted:
                raise ValueError(
                    f"{variable('clickhouse_cafile')} is set, but {self.clickhouse_url} is not "
                    "https: there is no TLS"
                )
            trusted(self.clickhouse_cafile, variable("clickhouse_cafile"))

    @property
    def is_encrypted(self) -> bool:
        """Whether connections use TLS."""
        return self.clickhouse_url.startswith("https:")

    def _part(self) -> None:
        """Take user and password out of the URL."""
        parts = urlsplit(self.clickhouse_url)
        object.__setattr__(self, "clickhouse_url", shown(self.clickhouse_url))
        for name, found in (
            ("clickhouse_user", parts.username),
            ("clickhouse_password", parts.password),
        ):
            if not found:
                continue
            if getattr(self, name) is not None:
                raise ValueError(
                    f"{variable('clickhouse_url')} has what {variable(name)} says, too; "
                    "say it in one of them"
                )
            object.__setattr__(self, name, unquote(found))


OPEN: Final[Mapping[str, str]] = {
    name: ""
    for each in fields(StoreSettings)
    if each.name in ("clickhouse_user", "clickhouse_password", "clickhouse_cafile")
    for name in variables(each)
}
"""Variables that let a client into a store without a user, whatever else an environment says."""


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
    >>> shown("http://carbonflow:se/cret@clickhouse:8123")
    'http://clickhouse:8123'
    """
    before, _, after = url.rpartition("@")
    scheme, slashes, _ = before.partition("://")
    return f"{scheme}{slashes}{after}" if slashes else after


def is_away(error: StoreError) -> bool:
    """Return whether the store cannot be asked at all, rather than refuses one question."""
    return isinstance(error, OperationalError) or error.code in _NOTHING_THERE


def reason(error: StoreError) -> str:
    """Return what went wrong in a short line: the system's words where a connection failed."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            name = variable("clickhouse_cafile")
            return f"its certificate is not trusted ({name}): {cause.verify_message}"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
        cause = cause.__cause__ or cause.__context__
    line = " ".join(str(error).split())
    cut = len(line) > REASON_CHARACTERS_MAX
    return line[:REASON_CHARACTERS_MAX] + "..." if cut else line


def connect(settings: StoreSettings, *, answer_s_max: int = 300) -> Client:
    """Return a client to a ClickHouse server; over TLS its certificate is always checked.

    Args:
        settings: Where it is, and whom to be there.
        answer_s_max: How long an answer may be silent.

    Raises:
        StoreError: The server does not answer, or does not let this user in.
    """
    parts = urlsplit(settings.clickhouse_url)
    secure = settings.is_encrypted
    return clickhouse_connect.get_client(
        host=str(parts.hostname),
        port=parts.port or (8443 if secure else 8123),
        secure=secure,
        verify=True,
        ca_cert=str(settings.clickhouse_cafile) if settings.clickhouse_cafile else None,
        username=settings.clickhouse_user or "default",
        password=settings.clickhouse_password or "",
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
