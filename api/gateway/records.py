"""Records: sessions and trips in our own fields, single, as an array or a line each."""

import asyncio
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from api.gate import Rate
from api.gateway.answers import RESPONSES, answered
from api.gateway.columns import LINES_LEAST, Columns, Written, lines_in
from api.gateway.documents import Reader
from api.gateway.intake import Intake
from api.gateway.reading import (
    JSON,
    LINES,
    check_count,
    check_quota,
    documents_of,
    media_of,
    sender_of,
)
from api.gateway.senders import Known, Senders
from producers.adapters.outcome import Refused
from producers.client.sending import now_ms
from producers.targets import targets
from schemas.fields import Field

PATHS: Final = {"/v1/charging-sessions": "charging_session", "/v1/freight-trips": "freight_trip"}


class _Taking:
    """Takes records of one kind; arguments as `records` has them."""

    def __init__(
        self,
        senders: Senders,
        intake: Intake,
        record: str,
        *,
        records_max: int,
        quota: Rate | None,
    ) -> None:
        self._senders, self._intake, self._record = senders, intake, record
        self._records_max, self._quota = records_max, quota
        self._readers = {known.name: Reader(known.sender, record) for known in senders}
        self._columns = {known.name: Columns(known.sender, record) for known in senders}

    async def take(self, request: Request) -> Response:
        """Take in the records of a request."""
        known = sender_of(request, self._senders)
        lines = lines_in(await request.body()) if media_of(request) in LINES else 0
        if lines >= LINES_LEAST:
            self._check(request, lines)
            written = await self._written(known, await request.body(), lines)
            if written is not None:
                results = await self._intake.take_written(
                    written, known.sender.source, self._record
                )
                return answered(request, results, range(lines))
        count, documents = await documents_of(request, self._records_max)
        if lines < LINES_LEAST:
            self._check(request, count)
        read = self._readers[known.name]
        found = (
            document if isinstance(document, Refused) else read(document) for document in documents
        )
        return answered(request, await self._intake.take(found), range(count))

    async def _written(self, known: Known, body: bytes, lines: int) -> Written | None:
        """Return the records of lines that are all in order; worked on another thread."""
        columns = self._columns[known.name]
        if known.sender.pseudonyms is not None:
            # They remember, and are the event loop's.
            return columns.written(body, lines, now_ms())
        return await asyncio.to_thread(columns.written, body, lines, now_ms())

    def _check(self, request: Request, count: int) -> None:
        check_count(count, self._records_max)
        check_quota(request, self._quota, count)
        self._intake.check_room(count)


def records(senders: Senders, intake: Intake, *, records_max: int, quota: Rate | None) -> APIRouter:
    """Return the routes that take our own records.

    Args:
        senders: Who may send.
        intake: Where records go.
        records_max: Records of one request.
        quota: How many a token may send; None counts nothing.
    """
    router = APIRouter(tags=["records"])
    for path, record in PATHS.items():
        taking = _Taking(senders, intake, record, records_max=records_max, quota=quota)
        router.add_api_route(
            path,
            taking.take,
            methods=["POST"],
            status_code=202,
            response_class=Response,
            responses=RESPONSES,
            name=record,
            summary=f"Take in one {record}, an array of them, or one a line",
            openapi_extra={"requestBody": _body(record)},
        )
    return router


def _body(record: str) -> dict[str, Any]:
    """Return what OpenAPI says about a body of records."""
    fields = targets(record)
    one = {
        "type": "object",
        "title": record,
        "properties": {field.name: _schema(field) for field in fields},
        "required": [
            field.name
            for field in fields
            if not field.has_default and field.name not in {"source", "programme"}
        ],
        "additionalProperties": False,
    }
    return {
        "required": True,
        "content": {
            JSON: {"schema": {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}},
            "application/x-ndjson": {"schema": {"type": "string"}},
        },
    }


def _schema(field: Field) -> dict[str, Any]:
    kinds: dict[str, dict[str, Any]] = {
        "enum": {"type": "string", "enum": list(field.symbols)},
        "string": {"type": "string"},
        "instant": {
            "anyOf": [{"type": "integer"}, {"type": "string", "format": "date-time"}],
        },
    }
    schema = kinds.get(field.kind, {"type": "integer"}) | {"description": field.doc}
    return {"anyOf": [schema, {"type": "null"}]} if field.nullable else schema
