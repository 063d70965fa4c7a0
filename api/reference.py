"""What transfers were computed with, and what was not booked: factors and refusals."""

from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import AwareDatetime

from api.access import only_for
from api.accounts import Cursor, bad_cursor, milliseconds
from api.models import Factor, Factors, Refusal, Refusals, RefusedRecord
from api.problems import not_found, responses
from api.settings import ApiSettings
from sinks.cursor import CursorError
from sinks.queries import FactorFilter, Queries, RefusalFilter


def factors(queries: Queries, settings: ApiSettings) -> APIRouter:
    """Return the routes of factors."""
    router = APIRouter(prefix="/v1/factors", tags=["factors"])

    @router.get("", responses=responses(HTTPStatus.BAD_REQUEST))
    def listing(
        release: Annotated[str | None, Query(description="Only of this release.")] = None,
        kind: Annotated[
            str | None,
            Query(description="grid_average, grid_hourly, fuel or freight_intensity."),
        ] = None,
        region: Annotated[str | None, Query(description="Only of this region.")] = None,
        subject: Annotated[str | None, Query(description="What it is for.")] = None,
        boundary: Annotated[str | None, Query(description="ttw or wtw.")] = None,
        at: Annotated[
            AwareDatetime | None, Query(description="Only those valid then (RFC 3339).")
        ] = None,
        cursor: Cursor = None,
        limit: Annotated[
            int, Query(ge=1, le=settings.api_rows_max, description="Rows of a page.")
        ] = 100,
    ) -> Factors:
        """Return factors by release and id, a page at a time."""
        which = FactorFilter(
            release=release,
            kind=kind,
            region=region,
            subject=subject,
            boundary=boundary,
            at=None if at is None else milliseconds(at),
        )
        try:
            page = queries.factors(which, cursor=cursor, limit=limit)
        except CursorError as error:
            raise bad_cursor(error) from error
        return Factors(
            factors=[Factor.of(each) for each in page.items], next_cursor=page.next_cursor
        )

    @router.get("/{release}/{factor_id:path}", responses=responses(HTTPStatus.NOT_FOUND))
    def factor(
        release: Annotated[str, Path(description="Its release.")],
        factor_id: Annotated[str, Path(description="Its id within the release.")],
    ) -> Factor:
        """Return a factor with its source and licence."""
        found = queries.factor(release, factor_id)
        if found is None:
            raise not_found(f"factor {factor_id!r} in release {release!r}")
        return Factor.of(found)

    return router


def refusals(queries: Queries, settings: ApiSettings) -> APIRouter:
    """Return the routes of refusals."""
    router = APIRouter(prefix="/v1/refusals", tags=["refusals"])

    @router.get("", responses=responses(HTTPStatus.BAD_REQUEST))
    def listing(
        request: Request,
        code: Annotated[str | None, Query(description="Only with this code.")] = None,
        origin: Annotated[str | None, Query(description="worker or loader.")] = None,
        source: Annotated[str | None, Query(description="Only of this source.")] = None,
        topic: Annotated[str | None, Query(description="Only of this topic.")] = None,
        account: Annotated[str | None, Query(description="Only of this account.")] = None,
        from_: Annotated[
            AwareDatetime | None,
            Query(alias="from", description="Earliest refusal, inclusive (RFC 3339)."),
        ] = None,
        to: Annotated[
            AwareDatetime | None, Query(description="Latest refusal, exclusive (RFC 3339).")
        ] = None,
        replayed: Annotated[
            bool | None, Query(description="Only those sent again, or only those that are not.")
        ] = None,
        order: Annotated[
            Literal["place", "newest"],
            Query(description="By their place in the topic, or the newest first."),
        ] = "place",
        cursor: Cursor = None,
        limit: Annotated[
            int, Query(ge=1, le=settings.api_rows_max, description="Rows of a page.")
        ] = 100,
    ) -> Refusals:
        """Return what was refused and why, a page at a time."""
        only_for(request, "operator")
        which = RefusalFilter(
            code=code,
            origin=origin,
            source=source,
            topic=topic,
            account_id=account,
            from_ms=None if from_ is None else milliseconds(from_),
            to_ms=None if to is None else milliseconds(to),
            is_replayed=replayed,
        )
        try:
            page = queries.refusals(
                which, is_newest_first=order == "newest", cursor=cursor, limit=limit
            )
        except CursorError as error:
            raise bad_cursor(error) from error
        return Refusals(
            refusals=[Refusal.of(each) for each in page.items], next_cursor=page.next_cursor
        )

    @router.get("/{refusal_id}", responses=responses(HTTPStatus.NOT_FOUND))
    def refusal(
        request: Request,
        refusal_id: Annotated[str, Path(description="The refusal.", examples=["3-1200"])],
    ) -> RefusedRecord:
        """Return a refusal with the bytes that were refused."""
        only_for(request, "operator")
        found = queries.refusal(refusal_id)
        if found is None:
            raise not_found(f"refusal {refusal_id!r}")
        return RefusedRecord.of(found)

    return router
