"""Records: sessions and trips in our own fields, single, as an array or a line each."""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from api.gate import Rate
from api.gateway.answers import RESPONSES, answered
from api.gateway.documents import Reader
from api.gateway.intake import Intake
from api.gateway.reading import JSON, check_quota, documents_of, sender_of
from api.gateway.senders import Senders
from producers.adapters.outcome import Refused
from producers.targets import targets
from schemas.fields import Field

PATHS: Final = {"/v1/charging-sessions": "charging_session", "/v1/freight-trips": "freight_trip"}


def records(senders: Senders, intake: Intake, *, records_max: int, quota: Rate | None) -> APIRouter:
    """Return the routes that take our own records.

    Args:
        senders: Who may send.
        intake: Where records go.
        records_max: Records of one request.
        quota: How many a token may send; None counts nothing.
    """
    router = APIRouter(tags=["records"])

    def route(path: str, record: str) -> None:
        readers = {known.name: Reader(known.sender, record) for known in senders}

        async def take(request: Request) -> Response:
            return await _take(request, readers)

        router.add_api_route(
            path,
            take,
            methods=["POST"],
            status_code=202,
            response_class=Response,
            responses=RESPONSES,
            name=record,
            summary=f"Take in one {record}, an array of them, or one a line",
            openapi_extra={"requestBody": _body(record)},
        )

    async def _take(request: Request, readers: Mapping[str, Reader]) -> Response:
        read = readers[sender_of(request, senders).name]
        count, documents = await documents_of(request, records_max)
        check_quota(request, quota, count)
        intake.check_room(count)
        found = (
            document if isinstance(document, Refused) else read(document) for document in documents
        )
        return answered(request, await intake.take(found), range(count))

    for path, record in PATHS.items():
        route(path, record)
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
