"""OCPI: CDRs and Sessions of 2.1.1, 2.2.1 and 2.3.0 become charging sessions.

A CDR is the sealed account of a session, a Session its changing state: take CDRs or Sessions from a
network, never both, or each is booked twice. Their ids are apart (`BE*BEC*12345` and
`BE*BEC*session*101`), because OCPI lets a CDR and a Session of different events share one.

A credit CDR undoes a CDR. It repeats the energy as a positive number and negates costs alone, so
`credit` decides and never a sign. A correction is a credit CDR and then a CDR with a new id.

Source: OCPI 2.1.1-d2, 2.2.1-d2 and 2.3.0, modules CDRs and Sessions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from producers.adapters.document import Node
from producers.adapters.outcome import Adapted, Sender, adapted, coordinates, refusing
from producers.regions import Place
from producers.stations import Station

Version: TypeAlias = Literal["2.1.1", "2.2.1", "2.3.0"]

CURRENTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "AC_1_PHASE": "ac",
        "AC_2_PHASE": "ac",
        "AC_2_PHASE_SPLIT": "ac",
        "AC_3_PHASE": "ac",
        "DC": "dc",
    }
)
_STATUSES: Final = {
    name: name for name in ("ACTIVE", "COMPLETED", "INVALID", "PENDING", "RESERVATION")
}
_NOT_AVAILABLE: Final = "#NA"
"""What a CDR has for EVSE and connector where a reservation ended before one was chosen."""


def _ci(node: Node) -> str:
    """Return a CiString, which does not tell upper from lower case, as one spelling."""
    return node.text().upper()


def _party(document: Node, sender: Sender, version: Version) -> str:
    """Return whose document it is; 2.1.1 leaves that to the URL it is sent to."""
    if version == "2.1.1":
        return sender.operator(document).upper()
    parts = [document.need("country_code"), document.need("party_id")]
    for part in parts:
        if "*" in part.text():
            part.wrong("has '*', which parts country, party and id")
    return "*".join(map(_ci, parts))


def _account(document: Node, version: Version) -> tuple[Node, str]:
    """Return the natural id of the account: the contract, since a driver may have several cards."""
    if version == "2.1.1":
        token = document.need("auth_id").hidden()
        return token, token.text()
    token = document.need("cdr_token").hidden().need("contract_id", "uid")
    return token, _ci(token)


def _text(node: Node | None) -> str | None:
    return node.text() if node is not None else None


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where it was charged: the EVSE, the kind of current and the ids a table may know it by."""

    evse_id: str
    current: str
    place: Place
    at: Node
    doubts: tuple[str, ...] = ()


def _spot(location: Node, evse: Node, power: Node) -> _Spot:
    """Return the spot of a document that describes its location itself."""
    evse_id = evse.need("evse_id", "uid", "evse_uid").text()
    ids = (evse_id, *filter(None, [_text(evse.get("evse_uid", "uid")), _text(location.get("id"))]))
    point = location.get("coordinates")
    found, doubts = coordinates(point, "latitude", "longitude") if point else (None, [])
    place = Place(
        stations=tuple(one for one in ids if one != _NOT_AVAILABLE),
        country=_text(location.get("country")),
        state=_text(location.get("state")),
        coordinates=found,
    )
    return _Spot(evse_id, power.word(CURRENTS), place, location, tuple(doubts))


def _nested_spot(location: Node) -> _Spot:
    """Return the spot of 2.1.1, whose location holds the one EVSE and connector that were used."""
    evse = location.need("evses").first()
    return _spot(location, evse, evse.need("connectors").first().need("power_type"))


def _table_spot(document: Node, party: str, sender: Sender) -> _Spot:
    """Return the spot of a Session since 2.2.1, which names it and leaves the rest to a table."""
    location, evse = document.need("location_id"), document.need("evse_uid")
    ids = (
        f"{party}*{location.text()}*{evse.text()}",
        evse.text(),
        f"{party}*{location.text()}",
        location.text(),
    )
    station: Station | None = sender.regions.station(*ids)
    if station is None or not station.current:
        location.refuse(
            "row_missing_value",
            "a Session does not say where it was and which current it took; "
            f"the table of stations needs {ids[0]!r} with its current",
        )
    return _Spot(station.evse_id or evse.text(), station.current, Place(stations=ids), location)


def _finish(
    document: Node,
    sender: Sender,
    version: Version,
    spot: _Spot,
    times: tuple[int, int],
    energy: Node,
) -> Callable[..., Adapted]:
    """Return a function from what identifies the record to the record."""
    account_node, account = _account(document, version)
    account_id = sender.pseudonym(account)
    vehicle = sender.vehicle(account_node, account, account_id)
    region = sender.region(spot.at, spot.place)
    if energy.number() < 0:
        energy.wrong("is negative; a credit is told by its flag alone", "energy_out_of_range")
    energy_wh = energy.quantity("energy_wh", "kWh")

    def record(session_id: str, operator: str, reversal_of: str | None) -> Adapted:
        return adapted(
            "charging_session",
            [*region.notes, *spot.doubts, *vehicle.notes],
            session_id=session_id,
            source=sender.source,
            account_id=account_id,
            programme=sender.programme,
            vehicle_class=vehicle.vehicle_class,
            grid_region=region.code,
            started_at=times[0],
            ended_at=times[1],
            energy_wh=energy_wh,
            meter_side="dispenser",
            current=spot.current,
            operator_id=operator,
            evse_id=spot.evse_id,
            reversal_of=reversal_of,
        )

    return record


@refusing
def cdr(document: Node, sender: Sender, version: Version = "2.2.1") -> Adapted:
    """Return the charging session of a CDR, or the reversal of one where it is a credit CDR.

    Args:
        document: The CDR, without OCPI's response envelope.
        sender: Who sends it; for 2.1.1 with its operator.
        version: Of the endpoint it came by.
    """
    party = _party(document, sender, version)
    number = document.need("id")
    credit = document.get("credit")
    reference = document.get("credit_reference_id")
    is_credit = credit is not None and credit.truth()
    if is_credit:
        reference = document.need("credit_reference_id")
    elif reference is not None:
        reference.wrong("names a CDR to undo, but credit is not true")
    if version == "2.1.1":
        spot = _nested_spot(document.need("location"))
    else:
        location = document.need("cdr_location")
        spot = _spot(location, location, location.need("connector_power_type"))
    start = document.need("start_date_time").instant()
    end = document.need("stop_date_time" if version == "2.1.1" else "end_date_time").instant()
    record = _finish(document, sender, version, spot, (start, end), document.need("total_energy"))
    undone = f"{party}*{_ci(reference)}" if reference is not None else None
    return record(f"{party}*{_ci(number)}", party, undone)


@refusing
def session(document: Node, sender: Sender, version: Version = "2.2.1") -> Adapted:
    """Return the charging session of a Session that is over, or the reversal of one that is void.

    INVALID undoes the session that COMPLETED may have made. Sessions that still change are refused
    as `row_unmapped`: they will be sent again when they are over.
    """
    party = _party(document, sender, version)
    number = document.need("id")
    status = document.need("status")
    state = status.word(_STATUSES)
    if state not in ("COMPLETED", "INVALID"):
        status.refuse("row_unmapped", f"{state}: the session is not over")
    if version == "2.1.1":
        starts, ends = ["start_datetime", "start_date_time"], ["end_datetime", "end_date_time"]
        spot = _nested_spot(document.need("location"))
    else:
        starts, ends = ["start_date_time"], ["end_date_time"]
        spot = _table_spot(document, party, sender)
    start = document.need(*starts).instant()
    # A void session may never have ended; its last change is the latest that is known of it.
    end = document.need(*ends, *(["last_updated"] if state == "INVALID" else [])).instant()
    record = _finish(document, sender, version, spot, (start, end), document.need("kwh"))
    # The id of a Session is a CiString since 2.2.1; before, cases are told apart.
    own = number.text() if version == "2.1.1" else _ci(number)
    session_id = f"{party}*session*{own}"
    if state == "INVALID":
        return record(f"{session_id}*invalid", party, session_id)
    return record(session_id, party, None)
