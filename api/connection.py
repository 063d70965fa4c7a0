"""A connection: uvicorn's, with an end to what a client may send and to how long it may take.

uvicorn reads heads of any length, and waits for ever for the rest of a request or for a client to
take its answer; it limits only how long a connection idles between two requests. Here:

    400    no HTTP
    408    the request is not there in time
    414    its path and query are too long
    431    its headers are too many or too long

After each of these the connection is closed, as it is without a word if an answer is not taken.
"""

import asyncio
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, NoReturn

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.hardening import Headers
from api.problems import MEDIA_TYPE, Problem, slug

_DETAILS: Final = {
    HTTPStatus.BAD_REQUEST: "This is no HTTP request.",
    HTTPStatus.REQUEST_TIMEOUT: "The request did not come in time.",
    HTTPStatus.REQUEST_URI_TOO_LONG: "Path and query are too long.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "The headers are too many or too long.",
}


class _RefusedError(Exception):
    """Ends the parser in the middle of a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a client may send, and how long it may take.

    Attributes:
        url_bytes: Path and query.
        head_bytes: All headers together.
        headers: How many.
        request_s: To send a request, and to take what of its answer is ready [s].
        connections: At a time.
    """

    url_bytes: int
    head_bytes: int
    headers: int
    request_s: float
    connections: int


def protocol(limits: Limits, headers: Headers) -> type[asyncio.Protocol]:
    """Return the class of connections with these limits, whose own answers have these headers."""
    return type("Limited", (Connection,), {"limits": limits, "answered_with": headers})


class Connection(HttpToolsProtocol):
    """A connection with limits."""

    limits: Limits
    answered_with: Headers

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._waits_since_s: float | None = None
        self._stuck_since_s: float | None = None
        self._is_in_head = True
        self._fed_bytes = 0
        self._wrong = HTTPStatus.BAD_REQUEST

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request, unless there are connections enough."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            transport.abort()
        self._waits_since_s = self.loop.time()

    def look(self) -> None:
        """End what has waited too long; called now and then."""
        too_long_ago = self.loop.time() - self.limits.request_s
        if self._stuck_since_s is not None and self._stuck_since_s < too_long_ago:
            self.transport.abort()
        elif self._waits_since_s is not None and self._waits_since_s < too_long_ago:
            self._waits_since_s = None
            if not self.transport.is_closing():
                self._refuse(HTTPStatus.REQUEST_TIMEOUT)

    def data_received(self, data: bytes) -> None:
        """Take what has come, and no head without end.

        httptools holds a header back until it is whole, so bytes are counted here too.
        """
        if self._waits_since_s is None:
            self._waits_since_s = self.loop.time()
        self._fed_bytes = len(data) + (self._fed_bytes if self._is_in_head else 0)
        super().data_received(data)
        most = self.limits.url_bytes + self.limits.head_bytes
        if self._is_in_head and self._fed_bytes > most and not self.transport.is_closing():
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._is_in_head = True
        if self._waits_since_s is None:
            self._waits_since_s = self.loop.time()

    def on_url(self, url: bytes) -> None:
        """Take a piece of path and query."""
        super().on_url(url)
        if len(self.url) > self.limits.url_bytes:
            self._give_up(HTTPStatus.REQUEST_URI_TOO_LONG)

    def on_headers_complete(self) -> None:
        """Take the request on, unless its headers are too many or too long."""
        self._is_in_head = False
        is_long = self._fed_bytes > self.limits.head_bytes and (
            sum(len(name) + len(value) for name, value in self.headers) > self.limits.head_bytes
        )
        if is_long or len(self.headers) > self.limits.headers:
            self._give_up(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Wait no more: the request is here."""
        self._waits_since_s = None
        self._is_in_head = True
        self._fed_bytes = 0
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Note that the client takes nothing."""
        super().pause_writing()
        self._stuck_since_s = self.loop.time()

    def resume_writing(self) -> None:
        """Note that it does again."""
        super().resume_writing()
        self._stuck_since_s = None

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser would not read on."""
        del msg
        self._refuse(self._wrong)

    def _give_up(self, status: HTTPStatus) -> NoReturn:
        # The parser ends with an error of its own, and uvicorn answers it with the method above.
        self._wrong = status
        raise _RefusedError

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer with a problem and close; where an answer is under way, only close."""
        if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
            self.transport.write(refusal(status, self.answered_with))
        self.transport.close()


def refusal(status: HTTPStatus, headers: Headers) -> bytes:
    """Return a whole answer of HTTP/1.1 that closes the connection."""
    problem = Problem(
        type=f"urn:carbonflow:problem:{slug(status)}",
        title=status.phrase,
        status=status,
        detail=_DETAILS[status],
    )
    body = json.dumps(problem.model_dump(exclude_none=True)).encode()
    head = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
        *headers,
    ]
    lines = [f"HTTP/1.1 {int(status)} {status.phrase}".encode()]
    lines += [name + b": " + value for name, value in head]
    return b"\r\n".join([*lines, b"", body])
