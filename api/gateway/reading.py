"""Reading: what a request brings, as parsed documents, and who brings it.

400    it is no JSON
403    its token is of a sender that the file of senders does not have
413    it holds more records than one request may
415    its content type, or the encoding of its content, is none that is read
"""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final

import orjson
from starlette.requests import Request

from api.access import WHO_KEY, access_of
from api.gate import Rate, too_many
from api.gateway.senders import Known, Senders
from api.problems import ProblemError
from producers.adapters.outcome import Refused

JSON: Final = "application/json"
LINES: Final = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})


def sender_of(request: Request, senders: Senders) -> Known:
    """Return who sends: whom the token is of, or the only one there is where none is asked for.

    Raises:
        ProblemError: The token's sender is not known.
    """
    access = access_of(request)
    known = senders.of(access.subject) if access.kind == "send" else senders.only()
    if known is None:
        raise ProblemError(
            HTTPStatus.FORBIDDEN,
            "unknown-sender",
            "The sender of this token is none that the gateway knows.",
        )
    return known


def check_quota(request: Request, quota: Rate | None, count: int) -> None:
    """Count records of a token.

    Raises:
        ProblemError: They are more than it may send now.
    """
    if quota is None:
        return
    wait_s = quota.wait_s(request.scope[WHO_KEY], count)
    if wait_s:
        refused = too_many(request, wait_s)
        raise ProblemError(
            HTTPStatus.TOO_MANY_REQUESTS,
            "too-many-records",
            f"{count} records are more than may be sent now; come again in "
            f"{refused.headers['retry-after']} s.",
            {"retry-after": refused.headers["retry-after"]},
        )


def media_of(request: Request) -> str:
    """Return the media type of a body.

    Raises:
        ProblemError: The body is encoded.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise _unsupported(f"The content encoding {encoding[:40]!r} is not read.")
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def documents_of(request: Request, most: int) -> tuple[int, Iterator[Any]]:
    """Return how many documents a body has, and them: an object, an array of them, or one a line.

    A line that is no JSON is a refusal among them, because the others are none the worse for it.
    Lines are parsed as they are drawn, and nothing is held that was drawn: what lies about while an
    answer waits for the broker costs time, because the collector of cycles walks it.

    Raises:
        ProblemError: It is nothing of this kind, or there are too many.
    """
    media = media_of(request)
    if media in LINES:
        lines = [line for line in (await request.body()).split(b"\n") if line.strip()]
        check_count(len(lines), most)
        return len(lines), map(_line, lines)
    if media != JSON:
        raise _unsupported(f"The content type is {JSON}, or application/x-ndjson.")
    found = await json_of(request)
    documents = found if isinstance(found, list) else [found]
    check_count(len(documents), most)
    return len(documents), iter(documents)


async def json_of(request: Request) -> Any:
    """Return the body of a request.

    Raises:
        ProblemError: It is no JSON.
    """
    try:
        return orjson.loads(await request.body())
    except orjson.JSONDecodeError:
        raise ProblemError(
            HTTPStatus.BAD_REQUEST, "not-json", "The body is no JSON in UTF-8."
        ) from None


def check_count(count: int, most: int) -> None:
    """Check how many records a request holds.

    Raises:
        ProblemError: None, or more than it may.
    """
    if not count:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request", "The body holds no record."
        )
    if count > most:
        raise ProblemError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "too-many-records",
            f"{count} records are more than {most}.",
        )


def _line(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return Refused("row_bad_value", "$", "is not JSON")


def _unsupported(why: str) -> ProblemError:
    return ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", why)
