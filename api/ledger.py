"""The ledger: single transfers, their explanation, and totals."""

from collections.abc import Mapping
from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Request

from api.access import Access, access_of, only_for
from api.models import (
    ChargingSession,
    Explanation,
    Factor,
    FreightTrip,
    Step,
    Total,
    Totals,
    Transfer,
)
from api.problems import ProblemError, not_found, responses
from carbon.explain import explain
from carbon.programmes import Programme
from sinks import records
from sinks.queries import Queries

TransferId = Annotated[
    str, Path(description="The transfer.", examples=["charging:cpo-a:4711:0:reduction:0"])
]


def ledger(queries: Queries, programmes: Mapping[str, Programme]) -> APIRouter:
    """Return the routes of the ledger; `programmes` are those loaded, by name."""
    router = APIRouter(prefix="/v1", tags=["ledger"])

    def find(transfer_id: str, access: Access) -> records.Transfer:
        found = queries.transfer(transfer_id)
        if found is None or not access.sees(found.account_id, found.programme):
            raise not_found(f"transfer {transfer_id!r}")
        return found

    # Ids may contain slashes, so the more specific route comes first.
    @router.get(
        "/transfers/{transfer_id:path}/explanation", responses=responses(HTTPStatus.NOT_FOUND)
    )
    def explanation(transfer_id: TransferId, request: Request) -> Explanation:
        """Return how a transfer's amount came to be.

        Its inputs, the factors with source and licence, and the formula with its numbers.
        """
        transfer = find(transfer_id, access_of(request))
        activity = queries.activity(transfer)
        if activity is None:
            raise ProblemError(
                HTTPStatus.NOT_FOUND,
                "activity-not-stored",
                f"The record behind transfer {transfer_id!r} is not in the store.",
            )
        factors = queries.factors_behind(transfer, activity)
        explained = explain(
            asdict(transfer), asdict(activity), factors, programmes.get(transfer.programme)
        )
        shown = (
            ChargingSession.of(activity)
            if isinstance(activity, records.ChargingSession)
            else FreightTrip.of(activity)
        )
        return Explanation(
            transfer=Transfer.of(transfer),
            activity=shown,
            factors=[Factor.of(each) for each in factors],
            lines=list(explained.lines),
            steps=[Step.of(each) for each in explained.steps],
            recomputed_mg=explained.recomputed_mg,
            agrees=None if explained.recomputed_mg is None else explained.agrees,
        )

    @router.get("/transfers/{transfer_id:path}", responses=responses(HTTPStatus.NOT_FOUND))
    def transfer(transfer_id: TransferId, request: Request) -> Transfer:
        """Return a transfer."""
        return Transfer.of(find(transfer_id, access_of(request)))

    @router.get("/totals", responses=responses())
    def totals(request: Request) -> Totals:
        """Return what was booked, by programme, region and quantity."""
        access = only_for(request, "programme", "operator")
        return Totals(
            totals=[
                Total.of(each) for each in queries.totals() if access.sees_programme(each.programme)
            ]
        )

    return router
