"""Accounts: balances and statements."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime

from api.balances import Balances as Source
from api.models import Balance, Balances, BalancesRequest, Statement, Transfer
from api.problems import ProblemError, not_found, responses
from api.settings import ApiSettings
from sinks.cursor import CursorError
from sinks.queries import Queries

Account = Annotated[str, Path(description="The account.", examples=["driver-7"])]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before.")]


def bad_cursor(error: CursorError) -> ProblemError:
    """Return the problem that a cursor is none of this list."""
    return ProblemError(HTTPStatus.BAD_REQUEST, "bad-cursor", f"The cursor is {error}.")


def accounts(queries: Queries, source: Source, settings: ApiSettings) -> APIRouter:
    """Return the routes of accounts; balances come from `source`, statements from the store."""
    router = APIRouter(prefix="/v1", tags=["accounts"])

    @router.get("/accounts/{account_id:path}/balance", responses=responses(HTTPStatus.NOT_FOUND))
    async def balance(account_id: Account) -> Balance:
        """Return what an account adds up to."""
        (found,) = await source.balances([account_id])
        if found is None:
            raise not_found(f"account {account_id!r}")
        return Balance.of(found)

    @router.post("/balances", responses=responses(HTTPStatus.REQUEST_ENTITY_TOO_LARGE))
    async def balances(request: BalancesRequest) -> Balances:
        """Return the balances of many accounts; a POST because ids are many, nothing is changed."""
        wanted = list(dict.fromkeys(request.account_ids))
        if len(wanted) > settings.api_accounts_max:
            raise ProblemError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "too-many-accounts",
                f"{len(wanted)} accounts are more than {settings.api_accounts_max}.",
            )
        found = dict(zip(wanted, await source.balances(wanted), strict=True))
        return Balances(
            balances=[Balance.of(each) for _, each in sorted(found.items()) if each is not None],
            unknown=[account_id for account_id, each in found.items() if each is None],
        )

    @router.get(
        "/accounts/{account_id:path}/statement",
        responses=responses(HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST),
    )
    def statement(
        account_id: Account,
        from_: Annotated[
            AwareDatetime | None,
            Query(alias="from", description="Earliest booked_at, inclusive (RFC 3339)."),
        ] = None,
        to: Annotated[
            AwareDatetime | None, Query(description="Latest booked_at, exclusive (RFC 3339).")
        ] = None,
        cursor: Cursor = None,
        limit: Annotated[
            int, Query(ge=1, le=settings.api_rows_max, description="Rows of a page.")
        ] = 100,
    ) -> Statement:
        """Return an account's transfers, earliest first, a page at a time."""
        try:
            page = queries.statement(
                account_id,
                from_ms=None if from_ is None else milliseconds(from_),
                to_ms=None if to is None else milliseconds(to),
                cursor=cursor,
                limit=limit,
            )
        except CursorError as error:
            raise bad_cursor(error) from error
        if not page.items and queries.balance(account_id) is None:
            raise not_found(f"account {account_id!r}")
        return Statement(
            account_id=account_id,
            transfers=[Transfer.of(each) for each in page.items],
            next_cursor=page.next_cursor,
        )

    return router


# What a DateTime64(3) column can be compared with: 1900 to 2299.
_EARLIEST_MS, _LATEST_MS = -2_208_988_800_000, 10_413_791_999_999


def milliseconds(instant: AwareDatetime) -> int:
    """Return an instant in milliseconds since 1970, held within what the store can compare."""
    whole = int(instant.timestamp() // 1) * 1000 + instant.microsecond // 1000
    return min(max(whole, _EARLIEST_MS), _LATEST_MS)
