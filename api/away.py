"""Away: problems of those who ask the store, or for balances that are not at hand yet.

NotLevelError         balances are still being read at the start: 503, come again in a second
StoreError            the store is away: 503; it refuses a question: as any other bug
"""

import logging
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from api.problems import AGAIN_S, ProblemError, answer, broken, route_of
from schemas.log_events import tell
from schemas.progress import Seldom
from sinks.connect import StoreError, is_away, reason
from sinks.following import NotLevelError

NOT_READY: Final = "store-not-ready"
NOT_LEVEL: Final = "balances-not-ready"

log = logging.getLogger("carbonflow.api")


def not_level() -> ProblemError:
    """Return the problem that balances are still being read."""
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        NOT_LEVEL,
        "Balances are still being read; ask again soon.",
        {"retry-after": str(AGAIN_S)},
    )


def add_store_handlers(app: FastAPI) -> None:
    """Make what goes wrong with the store a problem, too."""
    early_told, away_told = Seldom(), Seldom()

    def early(request: Request, error: Exception) -> JSONResponse:
        if times := early_told.times():
            tell(
                log,
                "balances_not_ready",
                method=request.method,
                route=route_of(request),
                reason=str(error),
                times=times,
            )
        problem = not_level()
        answered = answer(request, problem.status, problem.kind, problem.detail)
        answered.headers.update(problem.headers)
        return answered

    def store(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, StoreError)
        if not is_away(error):
            return broken(request, error)
        if times := away_told.times():
            tell(
                log,
                "store_away",
                method=request.method,
                route=route_of(request),
                reason=reason(error),
                times=times,
            )
        status = HTTPStatus.SERVICE_UNAVAILABLE
        return answer(request, status, NOT_READY, "The store does not answer, or lacks its tables.")

    app.add_exception_handler(NotLevelError, early)
    app.add_exception_handler(StoreError, store)
