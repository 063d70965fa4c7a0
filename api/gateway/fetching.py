"""Fetching: one answer of a partner at a time, with patience and within limits.

An answer of 429 or 5xx, or none, is asked for again a few times, after what `Retry-After` says or a
random, growing while. A secret goes by https only, but to this machine, and never to another host
than the one it is for: redirections are not followed, and links lead to the same host or nowhere.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import orjson

from api.listening import is_loopback

ANSWER_S_MAX: Final = 60.0
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
TRIES: Final = 5
FIRST_WAIT_S: Final = 0.5
WAIT_S_MAX: Final = 60.0
_PASSING: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT})


class PullError(Exception):
    """A partner's documents cannot be had; the message says why, and shows no secret."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer, parsed."""

    status: int
    headers: httpx.Headers
    content: Any


def check_url(url: str) -> None:
    """Check that a secret may go to a URL.

    Raises:
        ValueError: It is none of https, nor of this machine.

    >>> check_url("http://partner.example/2/ileap/tad")
    Traceback (most recent call last):
    ValueError: http://partner.example is not https
    """
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme != "http" or not is_loopback(parts.hostname or ""):
        raise ValueError(f"{parts.scheme}://{parts.netloc} is not https")


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port of a URL.

    >>> origin_of("https://Partner.example/2/ileap/tad?limit=1")
    ('https', 'partner.example', 443)
    """
    parts = urlsplit(url)
    try:
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:  # It is no number.
        port = None
    return parts.scheme, parts.hostname or "", port


def opened() -> httpx.AsyncClient:
    """Return a client for partners."""
    return httpx.AsyncClient(timeout=ANSWER_S_MAX, follow_redirects=False)


@dataclass(slots=True)
class Fetcher:
    """Asks a partner.

    Attributes:
        http: The client.
        sleep: Waits so long [s].
        chance: Makes waits differ.
    """

    http: httpx.AsyncClient
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: random.Random = field(default_factory=random.Random)

    async def fetch(
        self, method: str, url: str, headers: Mapping[str, str], **options: Any
    ) -> Fetched:
        """Return the answer to a request, whatever its status, once it is not a passing one.

        Raises:
            PullError: There is none, or none that can be read.
        """
        for attempt in range(1, TRIES + 1):
            try:
                answer = await self._once(method, url, headers, options)
            except httpx.TransportError as error:
                why, wait_s = f"{type(error).__name__} {error}".strip(), None
            else:
                status = answer.status
                if status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _PASSING:
                    return answer
                why, wait_s = f"HTTP {status}", _told_s(answer.headers)
            if attempt < TRIES:
                growing_s = FIRST_WAIT_S * 2 ** (attempt - 1) * self.chance.uniform(0.5, 1.5)
                await self.sleep(min(growing_s if wait_s is None else wait_s, WAIT_S_MAX))
        raise PullError(f"{_shown(url)}: {why}, {TRIES} times")

    async def _once(
        self, method: str, url: str, headers: Mapping[str, str], options: Mapping[str, Any]
    ) -> Fetched:
        body = bytearray()
        asked = self.http.stream(method, url, headers=dict(headers), **options)
        async with asked as answer:
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > ANSWER_BYTES_MAX:
                    raise PullError(f"{_shown(url)}: more than {ANSWER_BYTES_MAX} bytes")
        if answer.status_code != HTTPStatus.OK:
            return Fetched(answer.status_code, answer.headers, None)
        try:
            return Fetched(answer.status_code, answer.headers, orjson.loads(bytes(body)))
        except orjson.JSONDecodeError:
            raise PullError(f"{_shown(url)}: the answer is no JSON") from None


def _told_s(headers: httpx.Headers) -> float | None:
    told = headers.get("retry-after", "")
    return float(told) if told.isdecimal() else None


def _shown(url: str) -> str:
    """Return a URL without its query, which may tell a secret."""
    return url.partition("?")[0]
