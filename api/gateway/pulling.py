"""Pulling: what a partner offers is fetched page by page, and each page sent before the next.

    ileap    GET {url}/2/ileap/tad with a token by OAuth2 client credentials (PACT, 6.3)
    ocpi     GET {url}, the partner's CDRs or Sessions, with `Authorization: Token`

A page names the next one in its `Link` header. Pulling again is harmless: an event is known by its
identity and counts once. So there is no state: who pulls every hour says `since`, some hours back.

Tokens by OAuth2 are had where the partner's OpenID configuration says, or, where it has none, at
`{url}/auth/token`, as PACT wants it; one that has expired is replaced.
"""

import base64
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from api.gateway.documents import activity_from
from api.gateway.fetching import Fetched, Fetcher, PullError, check_url, origin_of
from api.gateway.intake import Intake, Result, Status
from api.gateway.senders import Known, Pull
from producers.adapters import ileap, ocpi
from producers.adapters.document import Node
from producers.adapters.outcome import Outcome

PAGE: Final = 100
PAGES_MAX: Final = 100_000
OCPI_SUCCESS: Final = range(1000, 2000)


@dataclass(slots=True)
class Pulled:
    """What was pulled.

    Attributes:
        pages: How many.
        counts: Documents, by what became of them.
    """

    pages: int = 0
    counts: Counter[Status] = field(default_factory=Counter)


async def pull(
    known: Known,
    intake: Intake,
    fetcher: Fetcher,
    *,
    since: datetime | None = None,
    tell: Callable[[int, Result], None],
) -> Pulled:
    """Fetch all that a partner offers, and send it.

    Args:
        known: The sender, with where it is pulled from.
        intake: Where records go.
        fetcher: Asks the partner.
        since: Leaves out what was changed before; OCPI only, iLEAP has no such filter.
        tell: Called with each document's number, from 0, and what became of it.

    Raises:
        PullError: The partner does not answer as it should, or the broker does not acknowledge.
    """
    assert known.pull is not None, f"{known.name} is not pulled"
    pulled, number = Pulled(), 0
    async for content in _pages(known.pull, fetcher, since):
        results = await intake.take(map(activity_from, _outcomes(known, known.pull, content)))
        pulled.pages += 1
        pulled.counts.update(result.status for result in results)
        for result in results:
            tell(number, result)
            number += 1
        if pulled.counts[Status.UNACKNOWLEDGED]:
            raise PullError("the broker has not acknowledged all of it; pull again")
    return pulled


def _outcomes(known: Known, pull: Pull, content: Any) -> Sequence[Outcome]:
    if pull.partner == "ileap":
        return ileap.tads(content, known.sender, known.account)
    adapt = ocpi.cdr if known.module == "cdrs" else ocpi.session
    return [adapt(node, known.sender, pull.version) for node in Node(content, "$.data").items()]


async def _pages(pull: Pull, fetcher: Fetcher, since: datetime | None) -> AsyncIterator[Any]:
    """Yield the content of each page."""
    access = _OAuth(pull, fetcher) if pull.partner == "ileap" else _Token(pull)
    asked = {"limit": str(PAGE)}
    if pull.partner == "ocpi" and since is not None:
        asked["date_from"] = since.astimezone(UTC).isoformat(timespec="seconds")[:19] + "Z"
    path = "/2/ileap/tad" if pull.partner == "ileap" else ""
    url, seen = f"{pull.url}{path}?{urlencode(asked)}", set[str]()
    while len(seen) < PAGES_MAX:
        seen.add(url)
        page = await _page(url, access, fetcher)
        yield _content(page, pull)
        following = _next(page)
        if following is None:
            return
        if origin_of(following) != origin_of(url):
            raise PullError("the next page is on another host, which the secret is not for")
        if following in seen:
            raise PullError("a page names one before it as the next")
        url = following
    raise PullError(f"there are more than {PAGES_MAX} pages")


async def _page(url: str, access: "_OAuth | _Token", fetcher: Fetcher) -> Fetched:
    page = await fetcher.fetch("GET", url, await access.headers())
    if page.status == HTTPStatus.UNAUTHORIZED and access.renew():
        page = await fetcher.fetch("GET", url, await access.headers())
    if page.status != HTTPStatus.OK:
        raise PullError(f"{url.partition('?')[0]}: HTTP {page.status}")
    return page


def _content(page: Fetched, pull: Pull) -> Any:
    """Return what a page holds: of OCPI the data of its envelope, a list."""
    content = page.content
    if not isinstance(content, dict):
        raise PullError("a page is no object")
    if pull.partner == "ileap":
        if not isinstance(content.get("data"), list):
            raise PullError("a page has no list under data")
        return content
    code = content.get("status_code")
    if code not in OCPI_SUCCESS or not isinstance(content.get("data"), list):
        said = str(content.get("status_message", ""))[:200]
        raise PullError(f"the partner says {code}: {said}" if said else f"the partner says {code}")
    return content["data"]


def _next(page: Fetched) -> str | None:
    for link in page.headers.get_list("link", split_commas=False):
        for url, parameters in _links(link):
            if parameters.get("rel") == "next":
                return url
    return None


def _links(header: str) -> list[tuple[str, dict[str, str]]]:
    """Return the links of a header of RFC 8288.

    >>> _links('<https://a.example/?offset=1,2>; rel="next", <https://a.example/>; rel=first')
    [('https://a.example/?offset=1,2', {'rel': 'next'}), ('https://a.example/', {'rel': 'first'})]
    """
    found = []
    for part in header.split("<")[1:]:
        url, _, rest = part.partition(">")
        parameters = {}
        for parameter in rest.rstrip(", ").split(";")[1:]:
            name, _, value = parameter.partition("=")
            parameters[name.strip().lower()] = value.strip().strip('"')
        found.append((url.strip(), parameters))
    return found


def secret_of(path: Path) -> str:
    """Return the secret of a file, one line.

    Raises:
        PullError: It holds none.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise PullError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise PullError(f"{path}: is no text in UTF-8") from None
    if len(lines) != 1 or not lines[0].strip():
        raise PullError(f"{path}: holds {len(lines)} lines, not one with the secret")
    return lines[0].strip()


class _Token:
    """Access by OCPI's credentials token, in base64 as OCPI since 2.2-d2 has it."""

    def __init__(self, pull: Pull) -> None:
        encoded = base64.b64encode(secret_of(pull.secret_file).encode()).decode()
        self._headers = {"authorization": f"Token {encoded}", "accept": "application/json"}

    async def headers(self) -> dict[str, str]:
        """Return the headers of a request."""
        return self._headers

    def renew(self) -> bool:
        """Return False: there is no other."""
        return False


class _OAuth:
    """Access by OAuth2 client credentials."""

    def __init__(self, pull: Pull, fetcher: Fetcher) -> None:
        self._pull, self._fetcher = pull, fetcher
        self._secret = secret_of(pull.secret_file)
        self._token_url, self._token = pull.token_url, ""

    async def headers(self) -> dict[str, str]:
        """Return the headers of a request; asks for a token where there is none."""
        if not self._token:
            self._token = await self._asked()
        return {"authorization": f"Bearer {self._token}", "accept": "application/json"}

    def renew(self) -> bool:
        """Forget the token, which may have expired, and return True: there will be another."""
        self._token = ""
        return True

    async def _asked(self) -> str:
        if not self._token_url:
            self._token_url = await self._found()
        encoded = base64.b64encode(f"{self._pull.client_id}:{self._secret}".encode()).decode()
        answer = await self._fetcher.fetch(
            "POST",
            self._token_url,
            {"authorization": f"Basic {encoded}", "accept": "application/json"},
            data={"grant_type": "client_credentials"},
        )
        token = answer.content.get("access_token") if isinstance(answer.content, dict) else None
        if answer.status != HTTPStatus.OK or not isinstance(token, str) or not token:
            raise PullError(f"{self._token_url}: HTTP {answer.status}, no token")
        return token

    async def _found(self) -> str:
        """Return where tokens are had: as the OpenID configuration says, else where PACT does."""
        url = f"{self._pull.url}/.well-known/openid-configuration"
        answer = await self._fetcher.fetch("GET", url, {"accept": "application/json"})
        if answer.status == HTTPStatus.NOT_FOUND:
            return f"{self._pull.url}/auth/token"
        told = answer.content.get("token_endpoint") if isinstance(answer.content, dict) else None
        if not isinstance(told, str):
            raise PullError(f"{url}: HTTP {answer.status}, no token_endpoint")
        try:
            check_url(told)
        except ValueError as error:
            raise PullError(f"{url}: token_endpoint {error}") from None
        return told
