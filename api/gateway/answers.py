"""Answers: what became of the records of a request, as one HTTP answer.

    202    the broker has all of them
    207    it has some of them, others are refused or contradict what it has
    409    all of them contradict what it has
    422    it has none: all are refused, or contradict what it has
    503    it has not acknowledged some: send all again, those that it has are told as repeated

Each has a result for each record, in order; above 207 it is a problem that has them, too.
"""

from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final, Literal

import orjson
from fastapi import Response
from pydantic import BaseModel, Field
from starlette.requests import Request

from api.gateway.intake import AGAIN_S, Result, Status
from api.problems import MEDIA_TYPE, Problem, responses


class Told(BaseModel):
    """What became of one record."""

    at: int = Field(description="Which of the request, from 0.", examples=[0])
    status: Literal["accepted", "repeated", "conflict", "refused", "unacknowledged"] = Field(
        description="What became of it.", examples=["accepted"]
    )
    id: str | None = Field(default=None, description="Its session_id or trip_id.")
    partition: int | None = Field(default=None, description="Where it is on its topic.")
    offset: int | None = Field(default=None, description="Where in the partition.")
    code: str | None = Field(default=None, description="Why it is refused.")
    path: str | None = Field(default=None, description="Where in the document.")
    reason: str | None = Field(default=None, description="In words.")


class Results(BaseModel):
    """What became of the records of a request."""

    accepted: int = Field(description="Records that the broker has.", examples=[1])
    repeated: int = Field(description="Records that it had before.", examples=[0])
    conflict: int = Field(description="Records that contradict what it has.", examples=[0])
    refused: int = Field(description="Records that are none.", examples=[0])
    unacknowledged: int = Field(description="Records it may not have.", examples=[0])
    results: list[Told]


RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    202: {"model": Results, "description": "The broker has all of them."},
    207: {"model": Results, "description": "The broker has some of them."},
    **responses(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.CONFLICT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    ),
}
"""What OpenAPI says about a route that takes records."""


def answered(request: Request, results: Sequence[Result], at: Sequence[int]) -> Response:
    """Return the answer to a request.

    Args:
        request: The request.
        results: What became of each of its records.
        at: Which of its documents each came from.
    """
    counts = Counter(result.status for result in results)
    content: dict[str, Any] = {status.value: counts[status] for status in Status}
    content["results"] = [result.told(number) for number, result in zip(at, results, strict=True)]
    status, kind, detail = _verdict(counts, len(results))
    if not kind:
        return Response(orjson.dumps(content), status, media_type="application/json")
    problem = Problem(
        type=f"urn:carbonflow:problem:{kind}",
        title=status.phrase,
        status=status,
        detail=detail,
        instance=request.url.path,
    )
    content |= problem.model_dump(exclude_none=True)
    headers = {"retry-after": str(AGAIN_S)} if status is HTTPStatus.SERVICE_UNAVAILABLE else None
    return Response(orjson.dumps(content), status, headers, media_type=MEDIA_TYPE)


def _verdict(counts: Counter[Status], count: int) -> tuple[HTTPStatus, str, str]:
    """Return status, kind of problem and detail; no kind where it is no problem."""
    if left := counts[Status.UNACKNOWLEDGED]:
        return (
            HTTPStatus.SERVICE_UNAVAILABLE,
            "not-acknowledged",
            f"The broker has not acknowledged {left} of {count} records; send them again.",
        )
    if counts[Status.CONFLICT] == count:
        return (
            HTTPStatus.CONFLICT,
            "conflict",
            "Events of these ids were accepted with other values, which count.",
        )
    if wrong := counts[Status.REFUSED] + counts[Status.CONFLICT]:
        if wrong == count:
            return (
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "refused",
                f"None of {count} records is taken; the results say why.",
            )
        return HTTPStatus.MULTI_STATUS, "", ""
    return HTTPStatus.ACCEPTED, "", ""
