"""What the console asks beyond the rest of the API: a token sees here what it sees there."""

from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from api.access import access_of, only_for
from api.accounts import Cursor, bad_cursor
from api.console.kept import Kept
from api.console.models import Accounts, Carbon, Me, PipelineBeat, RefusalCode, RefusalCodes
from api.console.names import Names
from api.console.pulse import Beat, Pulse
from api.models import Balance, Factor, Factors
from api.problems import responses
from api.settings import ApiSettings
from carbon.programmes import Programme
from carbon.refusal import REFUSALS, REMEDIES
from sinks.cursor import CursorError
from sinks.overview import Overview
from sinks.queries import Queries

EVENT_STREAM = "text/event-stream"
SEARCH_CHARS_MAX = 200

Text = Annotated[str, Query(max_length=SEARCH_CHARS_MAX, description="What to look for.")]


def console_routes(
    queries: Queries,
    pulse: Pulse,
    *,
    settings: ApiSettings,
    programmes: Mapping[str, Programme],
    names: Names,
) -> APIRouter:
    """Return the routes of the console."""
    router = APIRouter(prefix="/v1/console", tags=["console"])
    overview = Overview(queries)
    kept = Kept(overview.carbon)
    titles = {name: programme.title for name, programme in programmes.items()}

    @router.get("/me", responses=responses())
    def me(request: Request) -> Me:
        """Return what the console may be shown."""
        access = access_of(request)
        return Me(
            kind=access.kind,
            subject=access.subject,
            needs_token=settings.api_tokens_file is not None,
            version=version("carbonflow"),
        )

    @router.get(
        "/pulse",
        responses=responses()
        | {200: {"content": {EVENT_STREAM: {}}, "description": "Server-sent events."}},
        response_class=StreamingResponse,
    )
    async def stream(request: Request) -> StreamingResponse:
        """Stream how the pipeline is, a `PipelineBeat` a second, as server-sent events."""
        access = only_for(request, "programme", "operator")
        pulse.check()

        def event(beats: list[Beat]) -> str:
            seen = ",".join(PipelineBeat.of(beat, access).model_dump_json() for beat in beats)
            return f"event: beats\ndata: [{seen}]\n\n"

        async def events() -> AsyncIterator[str]:
            async for beats in pulse.listen():
                yield event(beats)

        return StreamingResponse(
            events(), media_type=EVENT_STREAM, headers={"x-accel-buffering": "no"}
        )

    @router.get("/carbon", responses=responses())
    async def carbon(request: Request) -> Carbon:
        """Return what was booked by region, vehicle class, month and day."""
        access = only_for(request, "programme", "operator")
        parts, asked_at_ms = await kept.get()
        return Carbon.of(parts, titles, asked_at_ms, access)

    @router.get("/accounts", responses=responses())
    def accounts(
        request: Request,
        text: Text = "",
        limit: Annotated[int, Query(ge=1, le=100, description="How many.")] = 20,
    ) -> Accounts:
        """Return accounts whose name has a text in it, those with the latest events first."""
        access = only_for(request, "programme", "operator")
        programme = access.subject if access.kind == "programme" else None
        found = overview.accounts(text, programme=programme, limit=limit)
        return Accounts(accounts=[Balance.of(each) for each in found])

    @router.get("/refusal-codes", responses=responses())
    def codes(request: Request) -> RefusalCodes:
        """Return the codes of what was refused: how often, what they mean, what to do."""
        only_for(request, "operator")
        return RefusalCodes(
            codes=[
                RefusalCode(
                    code=code,
                    count=count,
                    meaning=REFUSALS.get(code, ""),
                    remedy=REMEDIES.get(code, ""),
                )
                for code, count in queries.refusals_by_code().items()
            ]
        )

    @router.get("/factors", responses=responses(HTTPStatus.BAD_REQUEST))
    def factors(
        text: Text = "",
        kind: Annotated[str | None, Query(description="Only of this kind.")] = None,
        cursor: Cursor = None,
        limit: Annotated[
            int, Query(ge=1, le=settings.api_rows_max, description="Rows of a page.")
        ] = 50,
    ) -> Factors:
        """Return factors that all words mean, in English or Chinese, a page at a time."""
        try:
            page = overview.factors(names.words(text), kind=kind, cursor=cursor, limit=limit)
        except CursorError as error:
            raise bad_cursor(error) from error
        return Factors(
            factors=[Factor.of(each) for each in page.items], next_cursor=page.next_cursor
        )

    return router
