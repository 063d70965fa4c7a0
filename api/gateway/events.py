"""Events: CloudEvents by HTTP, binary, structured or a batch; each holds a document of its type."""

from typing import Any, Final

from fastapi import APIRouter, Request, Response

from api.gate import Rate
from api.gateway.answers import RESPONSES, answered
from api.gateway.documents import Found, activity_from, adapters_of
from api.gateway.intake import Intake
from api.gateway.reading import check_count, check_quota, media_of, sender_of
from api.gateway.senders import Senders
from producers.adapters import cloudevents

_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        f"{media}+json": {"schema": {"type": kind}}
        for media, kind in ((cloudevents.STRUCTURED, "object"), (cloudevents.BATCH, "array"))
    }
    | {"application/json": {"schema": {}}},
}


def events(senders: Senders, intake: Intake, *, records_max: int, quota: Rate | None) -> APIRouter:
    """Return the route of CloudEvents; arguments as `records` has them."""
    router = APIRouter(tags=["events"])
    adapters = {
        known.name: adapters_of(known.events, known.sender, known.account) for known in senders
    }

    @router.post(
        "/v1/events",
        status_code=202,
        response_class=Response,
        responses=RESPONSES,
        openapi_extra={"requestBody": _BODY},
    )
    async def take(request: Request) -> Response:
        """Take in events (CloudEvents 1.0); which adapter reads one is told by its type."""
        known = sender_of(request, senders)
        media_of(request)  # Nothing encoded is read.
        found = cloudevents.from_http(request.headers.items(), await request.body())
        check_count(len(found), records_max)
        outcomes = [
            (number, activity_from(outcome))
            for number, event in enumerate(found)
            for outcome in cloudevents.outcomes(event, adapters[known.name])
        ]
        check_count(len(outcomes), records_max)
        check_quota(request, quota, len(outcomes))
        intake.check_room(len(outcomes))
        at = [number for number, _ in outcomes]
        activities: list[Found] = [activity for _, activity in outcomes]
        return answered(request, await intake.take(activities), at)

    return router
