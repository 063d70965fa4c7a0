"""OICP 2.3: an eRoamingChargeDetailRecord becomes a charging session.

Energy flowed from ChargingStart to ChargingEnd; SessionStart and SessionEnd include the time before
and after, with the car parked. `ConsumedEnergy` is in kWh. A record is sent once, about a second
after the session, and never corrected.

The kind of current and the region stand in Hubject's EVSE data and not here: a table of stations
has them by EvseID. For the region an EvseID of the ISO form names the country of its operator,
which stands in where the table has no region; one of the DIN form (`+49*810*000*438`) does not.

Source: Hubject OICP 2.3 for eMSPs, eRoamingChargeDetailRecord (DOMAIN, section 4.3).
"""

import re
from fractions import Fraction
from typing import Final

from producers.adapters.document import Node
from producers.adapters.outcome import Adapted, Sender, adapted, refusing
from producers.regions import Place

IDENTIFICATIONS: Final = (
    "RFIDMifareFamilyIdentification",
    "RFIDIdentification",
    "QRCodeIdentification",
    "PlugAndChargeIdentification",
    "RemoteIdentification",
)
_ISO_EVSE: Final = re.compile(r"([A-Z]{2})\*?([A-Z0-9]{3})\*?E[A-Z0-9*]{1,30}")
METER_SLACK: Final = Fraction(1, 100)


def _account(identification: Node) -> Node:
    """Return the contract of an identification, or its card where it has none."""
    return identification.need(*IDENTIFICATIONS).hidden().need("EvcoID", "UID")


def _meter_differs(document: Node, energy: Node) -> bool:
    """Return whether the meter values at start and end say another energy."""
    first, last = document.get("MeterValueStart"), document.get("MeterValueEnd")
    if first is None or last is None:
        return False
    consumed = energy.number()
    return abs(last.number() - first.number() - consumed) > METER_SLACK * max(consumed, Fraction(1))


@refusing
def charge_detail_record(document: Node, sender: Sender) -> Adapted:
    """Return the charging session of a charge detail record."""
    number, evse = document.need("SessionID"), document.need("EvseID")
    evse_id = evse.text().upper()
    is_iso = _ISO_EVSE.fullmatch(evse_id)
    account = _account(document.need("Identification"))
    natural = account.text().upper()
    account_id = sender.pseudonym(natural)
    vehicle = sender.vehicle(account, natural, account_id)
    station = sender.regions.station(evse_id)
    if station is None or not station.current:
        evse.refuse("row_missing_value", f"the table of stations needs {evse_id!r} and its current")
    country = is_iso[1] if is_iso else None
    region = sender.region(evse, Place(stations=(evse_id,), country=country))
    energy = document.need("ConsumedEnergy")
    notes = [*region.notes, *vehicle.notes]
    if region.how == "country":
        notes.append("the country is that of the EVSE's operator")
    if _meter_differs(document, energy):
        notes.append("MeterValueEnd less MeterValueStart is not ConsumedEnergy")
    operator = station.operator_id or (f"{is_iso[1]}*{is_iso[2]}" if is_iso else "")
    return adapted(
        "charging_session",
        notes,
        session_id=number.text().lower(),
        source=sender.source,
        account_id=account_id,
        programme=sender.programme,
        vehicle_class=vehicle.vehicle_class,
        grid_region=region.code,
        started_at=document.need("ChargingStart").instant(),
        ended_at=document.need("ChargingEnd").instant(),
        energy_wh=energy.quantity("energy_wh", "kWh"),
        meter_side="dispenser",
        current=station.current,
        operator_id=operator or sender.operator(evse),
        evse_id=station.evse_id or evse_id,
    )
