"""Waybill: an electronic waybill of China's online freight platforms (MOT logink) becomes a trip.

Times are Shanghai's, as fourteen digits. Weights are kilograms. A waybill has no distance and no
fuel: both come from the track check, a route service or telematics, as a `Drive`. It has no class
either: a register knows the vehicle by number plate and the colour of the plate, since a plate of
two colours is two vehicles.

The account is the driver's. A driving licence in China has the number of the identity card, so a
sender without pseudonyms may not send waybills.

Source: the interface of the freight exchange, as the demo of logink has it (DOMAIN, section 4.7).
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

from producers.adapters.document import ISO, Node, in_field
from producers.adapters.outcome import Adapted, Sender, adapted, refusing
from producers.adapters.tcec import SHANGHAI
from producers.regions import Place, Region

DIGITS: Final = ("%Y%m%d%H%M%S",)
LIKE_TONNES_KG: Final = 100
"""Who sends less by truck has most likely written tonnes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """What a waybill does not say about its trip.

    Attributes:
        distance_m: Loaded distance [m].
        distance_basis: `actual` from a track, `sfd` from a route service.
        empty_distance_m: Driven since the last unloading [m].
        energy_used: In the carrier's small unit [ml, g or Wh]; None where nobody measured it.
    """

    distance_m: int
    distance_basis: Literal["actual", "sfd", "gcd"]
    empty_distance_m: int = 0
    energy_used: int | None = None


def _instant(node: Node) -> int:
    text = node.text()
    return node.instant(SHANGHAI, DIGITS if re.fullmatch(r"[0-9]{14}", text) else ISO)


def _code(node: Node) -> str:
    """Return a code, which some platforms write as a number."""
    is_number = isinstance(node.value, int) and not isinstance(node.value, bool)
    return str(node.whole()) if is_number else node.text()


def _only(node: Node, what: str) -> Node:
    """Return the object, or the one member of an array of objects."""
    if not isinstance(node.value, list | tuple):
        return node
    if len(node.value) > 1:
        node.refuse("row_unmapped", f"{what}: a trip has one, so each needs a waybill of its own")
    return node.first()


def _region(vehicle: Node, key: str, party: Node | None, sender: Sender) -> Region:
    """Return where goods were loaded or received: as the vehicle did it, else as its party is."""
    of_party = party.get("countrySubdivisionCode") if party is not None else None
    code = vehicle.get(key) or of_party or vehicle.need(key)
    return sender.region(code, Place(gb2260=_code(code)))


def _cargo(vehicle: Node, document: Node) -> tuple[int, list[str]]:
    """Return the mass of all goods [kg], and what is odd about it."""
    goods = vehicle.get("goodsInfo") or document.need("goodsInfo")
    many = goods.items() if isinstance(goods.value, list | tuple) else [goods]
    total = Fraction(0)
    for item in many:
        weight = item.need("goodsItemGrossWeight")
        if weight.number() < 0:
            weight.wrong("is negative", "cargo_out_of_range")
        total += weight.number()
    notes = []
    if 0 < total < LIKE_TONNES_KG:
        notes.append("the weights look like tonnes; a waybill has kilograms")
    return in_field(goods, "cargo_kg", total), notes


@refusing
def waybill(document: Node, sender: Sender, drive: Drive | None) -> Adapted:
    """Return the freight trip of a waybill.

    Args:
        document: The waybill.
        sender: The freight platform, with pseudonyms.
        drive: What it does not say; a waybill whose drive nobody knows is refused.

    Raises:
        ValueError: The sender has no pseudonyms.
    """
    if sender.pseudonyms is None:
        raise ValueError("waybills name drivers by their identity cards: they need pseudonyms")
    if drive is None:
        document.refuse(
            "row_missing_value", "a waybill has no distance, and no track or route gave one"
        )
    keys = ("unifiedSocialCreditIdentifier", "shippingNoteNumber", "serialNumber")
    parts = [_code(document.need(key)) for key in keys]
    vehicle = _only(document.need("vehicleInfo"), "several vehicles")
    plate = f"{vehicle.need('vehicleNumber').hidden().text()}/" + _code(
        vehicle.need("vehiclePlateColorCode")
    )
    drivers = vehicle.get("driver") or document.need("driver")
    driver = drivers.first() if isinstance(drivers.value, list | tuple) else drivers
    account = driver.hidden().need("drivingLicense", "driverLicenseNumber")
    vehicle_id = sender.pseudonym(plate.upper())
    known = sender.vehicle(vehicle, plate, vehicle_id)
    if not known.energy_carrier:
        vehicle.refuse("row_missing_value", "the register names no energy carrier for it")
    origin = _region(
        vehicle, "loadingCountrySubdivisionCode", document.get("consignorInfo"), sender
    )
    destination = _region(
        vehicle, "receiptCountrySubdivisionCode", document.get("consigneeInfo"), sender
    )
    cargo_kg, odd = _cargo(vehicle, document)
    return adapted(
        "freight_trip",
        [
            *(f"origin: {note}" for note in origin.notes),
            *(f"destination: {note}" for note in destination.notes),
            *known.notes,
            *odd,
        ],
        trip_id="*".join(parts),
        source=sender.source,
        account_id=sender.pseudonym(_code(account).upper()),
        programme=sender.programme,
        vehicle_id=vehicle_id,
        vehicle_class=known.vehicle_class,
        energy_carrier=known.energy_carrier,
        departed_at=_instant(document.need("despatchActualDateTime")),
        arrived_at=_instant(document.need("goodsReceiptDateTime")),
        distance_m=drive.distance_m,
        distance_basis=drive.distance_basis,
        cargo_kg=cargo_kg,
        empty_distance_m=drive.empty_distance_m,
        energy_used=drive.energy_used,
        origin_region=origin.code,
        destination_region=destination.code,
        data_grade="default" if drive.energy_used is None else "primary",
    )
