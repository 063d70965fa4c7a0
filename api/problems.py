"""Problems: every error of the API as RFC 9457 `application/problem+json`.

ProblemError          the API said no: unknown account, bad cursor, store not ready
validation            FastAPI's own checks of paths, queries and bodies: 422, with a list of what is
wrong where
HTTPException         unknown route or method
Exception             a bug: 500 without details, which stand in the log

What goes wrong with the store becomes a problem in `api.away`.
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from api.metrics import UNMATCHED
from schemas.log_events import tell

AGAIN_S = 1
MEDIA_TYPE = "application/problem+json"
_NONE: Final[Mapping[str, str]] = MappingProxyType({})

log = logging.getLogger("carbonflow.api")


class Wrong(BaseModel):
    """One thing that is wrong with a request."""

    where: str = Field(description="Where in the request.", examples=["query.limit"])
    what: str = Field(description="What is wrong.", examples=["Input should be greater than 0"])


class Problem(BaseModel):
    """Problem details as of RFC 9457."""

    type: str = Field(
        description="Kind of the problem; stable.", examples=["urn:carbonflow:problem:not-found"]
    )
    title: str = Field(description="The kind in words.", examples=["Not Found"])
    status: int = Field(description="HTTP status.", examples=[404])
    detail: str = Field(
        description="What happened this time.", examples=["There is no account 'driver-7'."]
    )
    instance: str | None = Field(
        default=None,
        description="Path of the request, if it was read.",
        examples=["/v1/accounts/driver-7/balance"],
    )
    errors: list[Wrong] | None = Field(
        default=None, description="What is wrong where, if the request does not validate."
    )


class ProblemError(Exception):
    """The API says no, with an HTTP status, a kind for programs and a sentence for people."""

    def __init__(
        self, status: HTTPStatus, kind: str, detail: str, headers: Mapping[str, str] = _NONE
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.headers = headers


def not_found(what: str) -> ProblemError:
    """Return the problem that there is no such thing."""
    return ProblemError(HTTPStatus.NOT_FOUND, "not-found", f"There is no {what}.")


def add_problem_handlers(app: FastAPI) -> None:
    """Make every error of an app a problem."""

    def no(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ProblemError)
        answered = answer(request, error.status, error.kind, error.detail)
        answered.headers.update(error.headers)
        return answered

    def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        status = HTTPStatus(error.status_code)
        answered = answer(request, status, slug(status), str(error.detail))
        answered.headers.update(error.headers or {})
        return answered

    def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        errors = [
            Wrong(where=".".join(map(str, each["loc"])), what=each["msg"])
            for each in error.errors()
        ]
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        return answer(request, status, "invalid-request", "The request does not validate.", errors)

    app.add_exception_handler(ProblemError, no)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, broken)


def broken(request: Request, error: Exception) -> JSONResponse:
    """Return the answer to a request that failed, and log why."""
    tell(log, "request_failed", error=error, method=request.method, route=route_of(request))
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return answer(request, status, slug(status), "The request failed; the log says why.")


def route_of(request: Request) -> str:
    """Return the template of a request's route: its path may name an account, or anything."""
    return str(getattr(request.scope.get("route"), "path", UNMATCHED))


def responses(*statuses: HTTPStatus, is_guarded: bool = True) -> dict[int | str, dict[str, object]]:
    """Return what OpenAPI says about the problems of a route.

    Any may answer 422, 500 and 503, and those behind the gate 401, 403 and 429.
    """
    always = [
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ]
    if is_guarded:
        always += [HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS]
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        int(status): {
            "description": status.phrase,
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
        for status in (*statuses, *always)
    }


def schemas() -> dict[str, object]:
    """Return the OpenAPI schemas that `responses` refers to."""
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    parts: dict[str, object] = problem.pop("$defs")
    return {**parts, "Problem": problem}


def slug(status: HTTPStatus) -> str:
    """Return the kind of a problem that says no more than its status."""
    return status.phrase.lower().replace(" ", "-")


def answer(
    request: Request,
    status: HTTPStatus,
    kind: str,
    detail: str,
    errors: list[Wrong] | None = None,
) -> JSONResponse:
    """Return a problem as the answer to a request."""
    problem = Problem(
        type=f"urn:carbonflow:problem:{kind}",
        title=status.phrase,
        status=status,
        detail=detail,
        instance=request.url.path,
        errors=errors,
    )
    return JSONResponse(
        problem.model_dump(exclude_none=True), status_code=status, media_type=MEDIA_TYPE
    )
