"""OCPI: a receiver of CDRs or Sessions, 2.2.1 and 2.3.0.

    GET    /ocpi/versions
    GET    /ocpi/{version}
    POST   /ocpi/{version}/cdrs
    PUT    /ocpi/{version}/sessions/{country_code}/{party_id}/{session_id}
    PATCH  the same
    GET    the same

Answers have OCPI's envelope. As OCPI wants it, HTTP says 200 to all that is JSON and addresses
something that exists, and `status_code` what became of it:

    1000    taken: the broker has it; or a Session that is not over, which is kept
    2000    the broker has it with other values, or the sender sends the other module
    2001    it cannot be read: `data` says code, path and reason
    2003    the table of stations does not know the location
    3000    with HTTP 503: the broker has not acknowledged it; send it again

A Session comes whole by PUT and then in parts by PATCH, until it is COMPLETED (or INVALID). What
is not kept any more has no parts: 404, and the CPO sends it whole (OCPI, PATCH).
The token comes as `Authorization: Token` and base64, as OCPI since 2.2-d2 has it, or as it stands,
as older implementations have it: ours have an underscore, which no base64 has.
"""

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args
from urllib.parse import quote

import orjson
from fastapi import APIRouter, Path, Request, Response
from starlette.types import Scope

from api.gate import Rate, bearer
from api.gateway.documents import activity_from
from api.gateway.intake import AGAIN_S, Intake, Status
from api.gateway.kept import Kept, Place
from api.gateway.reading import check_quota, json_of, media_of, sender_of
from api.gateway.senders import Known, Module, Senders
from api.problems import MEDIA_TYPE, ProblemError, responses
from api.tokens import PREFIX
from producers.adapters import ocpi
from producers.adapters.document import DocumentError, Node
from producers.adapters.outcome import Outcome, Refused

ROOT: Final = "/ocpi"
Version: TypeAlias = Literal["2.2.1", "2.3.0"]
VERSIONS: Final[tuple[Version, ...]] = get_args(Version)
UNDER_WAY: Final = frozenset({"ACTIVE", "PENDING", "RESERVATION"})

DOCUMENT_BYTES_MAX: Final = 256 * 1024
"""Of a CDR or Session; one that is not over is kept as it is."""

TAKEN: Final = 1000
WRONG: Final = 2000
UNREADABLE: Final = 2001
UNKNOWN_LOCATION: Final = 2003
SERVER: Final = 3000

_TOKEN: Final = b"token "
_BODY: Final = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": {}}}},
}
_ENVELOPE: Final = {
    "type": "object",
    "required": ["status_code", "timestamp"],
    "properties": {
        "data": {},
        "status_code": {"type": "integer"},
        "status_message": {"type": "string"},
        "timestamp": {"type": "string", "format": "date-time"},
    },
}
_JSON: Final = {"application/json": {"schema": _ENVELOPE}}
_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    **responses(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    ),
    200: {
        "description": "Taken, or why not, as `status_code` says.",
        "content": _JSON,
    },
    404: {"description": "The session is not here.", "content": _JSON},
    503: {
        "description": "The broker has not acknowledged it.",
        "content": {**_JSON, MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    },
}
CiString = Annotated[str, Path(max_length=64)]


def given(scope: Scope) -> bytes | None:
    """Return the token of a request: OCPI's own scheme on OCPI's paths, a bearer elsewhere."""
    if not scope["path"].startswith(f"{ROOT}/"):
        return bearer(scope)
    token = bearer(scope, _TOKEN)
    if token is None or token.startswith(PREFIX.encode()):
        return token
    try:
        return base64.b64decode(token, validate=True).strip()
    except (binascii.Error, ValueError):
        return None


def envelope(
    status_code: int,
    message: str = "",
    data: Any = None,
    *,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return an answer as OCPI has it."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    content: dict[str, Any] = {"status_code": status_code, "timestamp": now}
    if message:
        content["status_message"] = message
    if data is not None:
        content["data"] = data
    return Response(orjson.dumps(content), status, headers, media_type="application/json")


class Receiver:
    """Takes CDRs and Sessions.

    Args:
        senders: Who may send which of the two.
        intake: Where records go.
        kept: Sessions that are not over; None where nobody sends Sessions.
        quota: How many records a token may send; None counts nothing.
        url: Where senders reach the gateway; as they asked for it where empty.
    """

    def __init__(
        self,
        senders: Senders,
        intake: Intake,
        kept: Kept | None,
        quota: Rate | None,
        url: str,
    ) -> None:
        self._senders, self._intake, self._kept = senders, intake, kept
        self._quota, self._url = quota, url.rstrip("/")

    def url_of(self, request: Request, *parts: str) -> str:
        """Return the URL of one of OCPI's paths."""
        base = self._url or str(request.base_url).rstrip("/")
        return "/".join([base + ROOT, *(quote(part, safe="") for part in parts)])

    def known(self, request: Request) -> Known:
        """Return who sends."""
        return sender_of(request, self._senders)

    def sends(self, request: Request, module: Module) -> Known | Response:
        """Return who sends, or the answer that they send the other module."""
        known = self.known(request)
        if known.module != module:
            return envelope(WRONG, f"{module} are not taken from {known.name}")
        return known

    async def cdr(self, request: Request, version: Version) -> Response:
        """Take a CDR."""
        known = self.sends(request, "cdrs")
        if isinstance(known, Response):
            return known
        document = await self._document(request)
        outcome = ocpi.cdr(document, known.sender, version)
        answer = await self._taken(outcome)
        if answer is None:
            return envelope(
                TAKEN,
                "Success",
                headers={"location": self.url_of(request, version, "cdrs", str(document["id"]))},
                status=HTTPStatus.CREATED,
            )
        return answer

    async def session(self, request: Request, version: Version, place: tuple[str, ...]) -> Response:
        """Take a Session, or the part of one that changed."""
        known = self.sends(request, "sessions")
        if isinstance(known, Response):
            return known
        document, where = await self._document(request), Place.of(known.name, *place)
        earlier: Mapping[str, Any] | None = {}
        if request.method == "PATCH":
            earlier = self._sessions.get(where)
        if earlier is None:
            return _nowhere()
        try:
            whole, updated_ms = _whole(document, earlier, where)
        except DocumentError as wrong:
            return _unreadable(Refused(wrong.code, wrong.path, wrong.reason))
        if not self._sessions.put(where, whole, updated_ms):
            return envelope(TAKEN, "a later update of it was taken before")
        answer = None
        if whole["status"] not in UNDER_WAY:
            answer = await self._taken(ocpi.session(whole, known.sender, version))
            if answer is None:
                self._sessions.forget(where, updated_ms)
        return answer or envelope(TAKEN, "Success")

    def kept(self, request: Request, place: tuple[str, ...]) -> Response:
        """Return a Session that is kept."""
        known = self.sends(request, "sessions")
        if isinstance(known, Response):
            return known
        found = self._sessions.get(Place.of(known.name, *place))
        return _nowhere() if found is None else envelope(TAKEN, "Success", found)

    @property
    def _sessions(self) -> Kept:
        assert self._kept is not None, "a sender of Sessions needs a file of them"
        return self._kept

    async def _document(self, request: Request) -> Any:
        media_of(request)
        if len(await request.body()) > DOCUMENT_BYTES_MAX:
            raise ProblemError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "content-too-large",
                f"A document of OCPI has {DOCUMENT_BYTES_MAX} bytes at most.",
            )
        document = await json_of(request)
        check_quota(request, self._quota, 1)
        return document

    async def _taken(self, outcome: Outcome) -> Response | None:
        """Return None once the broker has the record, or the answer that it has not."""
        if not self._intake.has_room(1):
            return _again("too many records wait for the broker")
        (result,) = await self._intake.take([activity_from(outcome)])
        match result.status:
            case Status.ACCEPTED | Status.REPEATED:
                return None
            case Status.REFUSED:
                return _unreadable(Refused(result.code, result.path, result.reason))
            case Status.CONFLICT:
                return envelope(WRONG, result.reason)
            case _:
                return _again("the broker has not acknowledged it")


def _whole(document: Any, earlier: Mapping[str, Any], place: Place) -> tuple[dict[str, Any], int]:
    """Return a Session as it is now and when it became so, checked as far as keeping it needs.

    Raises:
        DocumentError: It is none, or not the one of its URL.
    """
    if not isinstance(document, dict):
        Node(document).refuse("row_bad_value", "is not an object")
    now = {**earlier, **document}
    node = Node(now)
    node.need("status").text()
    for name, said in (
        ("country_code", place.country),
        ("party_id", place.party),
        ("id", place.id),
    ):
        member = node.need(name)
        if member.text().upper() != said:
            member.refuse("row_bad_value", "is another than that of the URL")
    return now, node.need("last_updated").instant()


def _unreadable(refused: Refused) -> Response:
    code = UNKNOWN_LOCATION if refused.path == "$.location_id" else UNREADABLE
    data = {"code": refused.code, "path": refused.path, "reason": refused.reason}
    return envelope(code, f"{refused.path}: {refused.reason}", data)


def _again(why: str) -> Response:
    return envelope(
        SERVER,
        f"{why}; send it again",
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        headers={"retry-after": str(AGAIN_S)},
    )


def _nowhere() -> Response:
    return envelope(
        WRONG, "the session is not here; send it whole (PUT)", status=HTTPStatus.NOT_FOUND
    )


def receiving(receiver: Receiver) -> APIRouter:
    """Return OCPI's routes."""
    router = APIRouter(prefix=ROOT, tags=["ocpi"], responses=_RESPONSES)
    session = "/{version}/sessions/{country_code}/{party_id}/{session_id}"

    @router.get("/versions", response_class=Response)
    async def versions(request: Request) -> Response:
        """Return the versions there are, and where each is described."""
        receiver.known(request)
        return envelope(
            TAKEN,
            "Success",
            [{"version": each, "url": receiver.url_of(request, each)} for each in VERSIONS],
        )

    @router.get("/{version}", response_class=Response)
    async def details(request: Request, version: Version) -> Response:
        """Return the endpoints of a version, of the module that the sender sends."""
        module = receiver.known(request).module
        endpoints = [
            {
                "identifier": module,
                "role": "RECEIVER",
                "url": receiver.url_of(request, version, module),
            }
            for module in ([module] if module else [])
        ]
        return envelope(TAKEN, "Success", {"version": version, "endpoints": endpoints})

    @router.post(
        "/{version}/cdrs",
        response_class=Response,
        status_code=201,
        openapi_extra=_BODY,
        responses={201: {"description": "The broker has it.", "content": _JSON}},
    )
    async def cdr(request: Request, version: Version) -> Response:
        """Take in a CDR, or a credit CDR."""
        return await receiver.cdr(request, version)

    @router.put(session, response_class=Response, openapi_extra=_BODY)
    async def put(
        request: Request,
        version: Version,
        country_code: CiString,
        party_id: CiString,
        session_id: CiString,
    ) -> Response:
        """Take in a Session as it is now."""
        return await receiver.session(request, version, (country_code, party_id, session_id))

    @router.patch(session, response_class=Response, openapi_extra=_BODY)
    async def patch(
        request: Request,
        version: Version,
        country_code: CiString,
        party_id: CiString,
        session_id: CiString,
    ) -> Response:
        """Take in what changed of a Session."""
        return await receiver.session(request, version, (country_code, party_id, session_id))

    @router.get(session, response_class=Response)
    async def get(
        request: Request,
        version: Version,
        country_code: CiString,
        party_id: CiString,
        session_id: CiString,
    ) -> Response:
        """Return a Session that is not over, as it is kept."""
        del version
        return receiver.kept(request, (country_code, party_id, session_id))

    return router
