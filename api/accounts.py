"""Accounts: balances and statements."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import AwareDatetime

from api.access import Access, access_of
from api.balances import Balances as Source
from api.models import Balance, Balances, BalancesRequest, Statement, Transfer
from api.problems import ProblemError, not_found, responses
from api.settings import ApiSettings
from sinks import records
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

    async def seen(access: Access, account_ids: list[str]) -> dict[str, records.Balance]:
        """Return the balances of those accounts that exist and may be seen."""
        asked = [each for each in account_ids if access.asks_for(each)]
        return {
            found.account_id: found
            for found in await source.balances(asked)
            if found is not None and access.sees(found.account_id, found.programme)
        }

    @router.get("/accounts/{account_id:path}/balance", responses=responses(HTTPStatus.NOT_FOUND))
    async def balance(account_id: Account, request: Request) -> Balance:
        """Return what an account adds up to."""
        found = await seen(access_of(request), [account_id])
        if account_id not in found:
            raise not_found(f"account {account_id!r}")
        return Balance.of(found[account_id])

    @router.post(
        "/balances",
        responses=responses(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.BAD_REQUEST),
    )
    async def balances(wanted_of: BalancesRequest, request: Request) -> Balances:
        """Return the balances of many accounts; a POST because ids are many, nothing is changed."""
        wanted = list(dict.fromkeys(wanted_of.account_ids))
        if len(wanted) > settings.api_accounts_max:
            raise ProblemError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "too-many-accounts",
                f"{len(wanted)} accounts are more than {settings.api_accounts_max}.",
            )
        found = await seen(access_of(request), wanted)
        return Balances(
            balances=[Balance.of(each) for _, each in sorted(found.items())],
            unknown=[account_id for account_id in wanted if account_id not in found],
        )

    @router.get(
        "/accounts/{account_id:path}/statement",
        responses=responses(HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST),
    )
    async def statement(
        account_id: Account,
        request: Request,
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
        access = access_of(request)
        # An operator sees any account, so that its balance need not be asked for first.
        if access.kind != "operator" and not await seen(access, [account_id]):
            raise not_found(f"account {account_id!r}")
        try:
            page = await run_in_threadpool(
                queries.statement,
                account_id,
                from_ms=None if from_ is None else milliseconds(from_),
                to_ms=None if to is None else milliseconds(to),
                cursor=cursor,
                limit=limit,
            )
        except CursorError as error:
            raise bad_cursor(error) from error
        if not page.items and not await run_in_threadpool(queries.balance, account_id):
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
