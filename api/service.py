"""Health, readiness and metrics of the API itself, for those who run it: no token is asked for."""

import logging
from http import HTTPStatus

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from api.away import NOT_READY, not_level
from api.balances import Balances
from api.health import Health
from api.problems import ProblemError, responses
from schemas.log_events import tell
from sinks.connect import StoreError, reason
from sinks.queries import Queries

log = logging.getLogger("carbonflow.api")


def service(queries: Queries, balances: Balances | None, registry: CollectorRegistry) -> APIRouter:
    """Return the routes of operation."""
    router = APIRouter(tags=["service"])
    store = _Store(queries)

    @router.get("/healthz", responses=responses(is_guarded=False))
    def healthz() -> Health:
        """Say that the process answers."""
        return Health(status="ok")

    @router.get("/readyz", responses=responses(is_guarded=False))
    def readyz() -> Health:
        """Say whether the store answers and has its tables, and balances are at hand."""
        if not store.answers():
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                NOT_READY,
                "The store does not answer, or lacks its tables.",
            )
        if balances is not None and not balances.is_ready():
            raise not_level()
        return Health(status="ready")

    @router.get("/metrics", response_class=Response, responses=responses(is_guarded=False))
    def scrape() -> Response:
        """Return the metrics of this process for Prometheus."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router


class _Store:
    """Asks the store whether it is ready, and tells when that changes, not at every probe."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._was_ready = True

    def answers(self) -> bool:
        """Return whether it answers and has its tables."""
        why = ""
        try:
            is_ready = self._queries.ping()
        except StoreError as error:
            is_ready, why = False, reason(error)
        if is_ready != self._was_ready:
            self._was_ready = is_ready
            if is_ready:
                tell(log, "store_ready")
            else:
                tell(log, "store_not_ready", reason=why or "it lacks its tables")
        return is_ready
