"""iLEAP: transport activity data and shipment footprints become freight trips.

A TAD is what a carrier did; the TCEs of a ShipmentFootprint are what a shipper is told of it, one
leg each, so the same trip must not be taken in as both. All numbers are strings. TADs come bare or
as a list under `data`; footprints come in PACT's ProductFootprint, under `extensions`.

What a carrier calculated (co2e, intensities) is not booked: Carbonflow calculates anew. It is read
where it shows that a document is wrong: life cycle emissions below direct ones, shares that aren't
one, a transport activity that isn't mass times distance.

A road trip of one energy carrier is what our record holds. Legs by other modes, hubs, and trips of
several carriers are refused as `row_unmapped`.

Source: iLEAP 1.0 (2025-05-27), PACT 2 and 3 (DOMAIN, section 4.6).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from functools import partial
from types import MappingProxyType
from typing import Final

from carbon.rate import UNIT_OF_CARRIER
from producers.adapters.document import DocumentError, Node, in_field, root
from producers.adapters.outcome import (
    Adapted,
    Outcome,
    Refused,
    Sender,
    adapted,
    coordinates,
    refusing,
)
from producers.convert import UNITS
from producers.regions import Place, Region

CARRIERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **{name: name.lower() for name in ("Diesel", "HVO", "Petrol", "CNG", "LNG", "LPG")},
        **{name: name.lower() for name in ("HFO", "MGO", "Hydrogen", "Methanol")},
        "Aviation fuel": "aviation_fuel",
        "Electric": "electricity",
    }
)
MODES: Final = {name: name for name in ("Road", "Rail", "Air", "Sea", "InlandWaterway")}
_UNITS: Final = {"l": "l", "kg": "kg", "kWh": "kWh", "MJ": "MJ"}
SHARE_SLACK: Final = Fraction(1, 100)
"""Shares are rounded to two decimals or more."""
ACTIVITY_SLACK: Final = Fraction(1, 10)
"""Driven distances are five per cent longer than the shortest feasible ones (GLEC)."""

_SHIPMENT: Final = "shipment-footprint"


def _check_lifecycle(node: Node, whole: str, direct: str) -> None:
    """Check that emissions from well to wheel are not below those from tank to wheel."""
    wtw, ttw = node.get(whole), node.get(direct)
    if wtw is not None and ttw is not None and wtw.number() < ttw.number():
        wtw.wrong(f"is below {direct}, though it contains it")


def _ratio(node: Node | None, name: str, *, most: bool) -> Fraction:
    """Return a ratio from 0 to 1; 1 itself only where `most`. A missing one is 0."""
    if node is None:
        return Fraction(0)
    ratio = node.number()
    if ratio < 0 or ratio > 1 or (ratio == 1 and not most):
        node.wrong(f"is no {name}")
    return ratio


def _carrier(carriers: Node) -> tuple[str, Node]:
    """Return the one energy carrier, and the first entry that has it.

    An energy carrier from several feedstocks has an entry for each of them.
    """
    names: dict[str, Node] = {}
    total = Fraction(0)
    for entry in carriers.items():
        name = entry.need("energyCarrier").word(CARRIERS)
        _check_lifecycle(entry, "emissionFactorWTW", "emissionFactorTTW")
        share = _ratio(entry.need("relativeShare"), "share", most=True)
        total += share
        if share:
            names.setdefault(name, entry)
    if abs(total - 1) > SHARE_SLACK:
        carriers.refuse("row_bad_value", f"the shares make {float(total):g} and not 1")
    if len(names) != 1:
        carriers.refuse("row_unmapped", f"a trip of {' and '.join(names)}: a record holds one")
    return next(iter(names.items()))


def _energy_used(carriers: Node, carrier: str) -> int | None:
    """Return the energy used in the carrier's small unit; None where an entry does not say it.

    In a TAD `energyConsumption` is that of the activity as a whole; in a TOC it would be that of a
    unit of transport activity, so it is never read there.
    """
    total = Fraction(0)
    for entry in carriers.items():
        if entry.need("energyCarrier").word(CARRIERS) != carrier:
            continue
        used = entry.get("energyConsumption")
        if used is None:
            return None
        unit_node = entry.need("energyConsumptionUnit")
        unit, own = UNITS[unit_node.word(_UNITS)], UNIT_OF_CARRIER.get(carrier)
        if own is None:
            entry.refuse("energy_carrier_unknown", f"{carrier} is no energy carrier of road trips")
        if unit.dimension != UNITS[{"kwh": "kWh"}.get(own, own)].dimension:
            # Its density and heating value are the carrier's; ours would be a guess.
            unit_node.wrong(f"can't become {own}, in which {carrier} is booked")
        if used.number() < 0:
            used.wrong("is negative", "energy_used_out_of_range")
        total += used.number() * unit.small
    return in_field(carriers, "energy_used", total)


def _distance(distance: Node) -> tuple[str, Fraction, Fraction]:
    """Return the basis, the distance [m] and the distance driven, as far as it is known [m].

    The shortest feasible distance is what transport activity is defined by (ISO 14083), the driven
    one leads to it by a factor, and the great circle comes last.
    """
    found = {name: distance.get(name) for name in ("sfd", "actual", "gcd")}
    metres = {name: node.number() * 1000 for name, node in found.items() if node is not None}
    if not metres:
        distance.refuse("row_missing_value", "has none of actual, sfd and gcd")
    for name, node in found.items():
        if node is not None and metres[name] <= 0:
            node.wrong("is not above zero", "distance_out_of_range")
    basis, chosen = next(iter(metres.items()))
    return basis, chosen, metres.get("actual", chosen)


def _region(location: Node | None, at: Node, country: str | None, sender: Sender) -> Region:
    """Return the region of a Location, or of the country the document as a whole names."""
    if location is None:
        return sender.region(at, Place(country=country))
    point, doubts = coordinates(location, "lat", "lng")
    place = Place(country=location.need("country").text(), coordinates=point)
    region = sender.region(location, place)
    return replace(region, doubts=(*region.doubts, *doubts))


@refusing
def tad(document: Node, sender: Sender, account: str) -> Adapted:
    """Return the freight trip of transport activity data.

    Args:
        document: The TAD.
        sender: Who sends it.
        account: The natural id of the carrier whose trip it is: a TAD doesn't name one.
    """
    return _trip(
        document,
        sender,
        account,
        number=document.need("activityId").text(),
        carriers=document.get("energyCarriers"),
        mode=document.need("mode"),
        factors=document,
        is_measured=True,
    )


def _trip(
    leg: Node,
    sender: Sender,
    account: str,
    *,
    number: str,
    carriers: Node | None,
    mode: Node,
    factors: Node,
    is_measured: bool,
    country: str | None = None,
    revision: int = 0,
) -> Adapted:
    """Return the trip of a TAD or a TCE; `factors` is the TAD or the TOC with its empty runs."""
    if mode.word(MODES) != "Road":
        mode.refuse("row_unmapped", f"{mode.text()}: only road trips are booked")
    account_id = sender.pseudonym(account)
    vehicle = sender.vehicle(leg, account, account_id)
    notes = list(vehicle.notes)
    if carriers is not None:
        carrier, _ = _carrier(carriers)
        used = _energy_used(carriers, carrier) if is_measured else None
    elif vehicle.energy_carrier:
        carrier, used = vehicle.energy_carrier, None
        notes.append(f"energy carrier {carrier} by the register")
    else:
        leg.refuse("row_missing_value", "neither it nor the register names an energy carrier")
    basis, metres, driven = _distance(leg.need("distance"))
    _ratio(factors.get("loadFactor"), "load factor", most=True)
    empty = _ratio(factors.get("emptyDistanceFactor"), "share of empty distance", most=False)
    origin = _region(leg.get("origin"), leg, country, sender)
    destination = _region(leg.get("destination"), leg, country, sender)
    return adapted(
        "freight_trip",
        [
            *(f"origin: {note}" for note in origin.notes),
            *(f"destination: {note}" for note in destination.notes),
            *notes,
        ],
        trip_id=number,
        source=sender.source,
        account_id=account_id,
        programme=sender.programme,
        vehicle_id="",  # Neither TAD nor TCE names one.
        vehicle_class=vehicle.vehicle_class,
        energy_carrier=carrier,
        departed_at=leg.need("departureAt").instant(),
        arrived_at=leg.need("arrivalAt").instant(),
        distance_m=in_field(leg, "distance_m", metres),
        distance_basis=basis,
        cargo_kg=leg.need("mass").quantity("cargo_kg", "kg"),
        # The factor is of loaded and empty distance together.
        empty_distance_m=in_field(leg, "empty_distance_m", driven * empty / (1 - empty)),
        energy_used=used,
        origin_region=origin.code,
        destination_region=destination.code,
        data_grade="primary" if used is not None else "default",
        revision=revision,
    )


def _leg(
    tce: Node,
    sender: Sender,
    account: str,
    tocs: Mapping[str, object],
    *,
    shipment: str,
    country: str | None,
    revision: int,
) -> Adapted:
    """Return the freight trip of one transport chain element."""
    number, toc_id, hoc_id = tce.need("tceId"), tce.get("tocId"), tce.get("hocId")
    if toc_id is not None and hoc_id is not None:
        hoc_id.wrong("stands beside tocId: an element is a transport or a hub")
    if toc_id is None:
        tce.need("tocId", "hocId").refuse("row_unmapped", "a hub is no trip")
    _check_lifecycle(tce, "co2eWTW", "co2eTTW")
    known = tocs.get(toc_id.text())
    if known is None:
        toc_id.refuse("row_missing_value", "no TOC of that id is known")
    toc = Node(known, f"{tce.path}.tocId")
    _check_activity(tce)
    return _trip(
        tce,
        sender,
        account,
        # Element ids are unique within their shipment.
        number=f"{shipment}*{number.text()}",
        carriers=toc.need("energyCarriers"),
        mode=toc.need("mode"),
        factors=toc,
        is_measured=False,
        country=country,
        revision=revision,
    )


def _check_activity(tce: Node) -> None:
    """Check that the transport activity is mass [t] times a distance [km] of the element."""
    activity, mass = tce.get("transportActivity"), tce.need("mass").number()
    distances = [tce.need("distance").get(name) for name in ("actual", "sfd", "gcd")]
    products = [mass * one.number() / 1000 for one in distances if one is not None]
    if activity is None or not products:
        return
    stated = activity.number()
    if all(abs(stated - product) > product * ACTIVITY_SLACK for product in products):
        activity.wrong("is not mass [t] times distance [km]")


def _answers(whole: Callable[[], Iterator[Outcome]]) -> list[Outcome]:
    """Return outcomes; a document that breaks off has its refusal as the last of them."""
    outcomes: list[Outcome] = []
    try:
        outcomes.extend(whole())
    except DocumentError as wrong:
        outcomes.append(Refused(wrong.code, wrong.path, wrong.reason))
    return outcomes


def tads(document: object, sender: Sender, account: str) -> list[Outcome]:
    """Return an outcome for each TAD of an answer of `GET /2/ileap/tad`, or of a bare list."""
    node = root(document)

    def each() -> Iterator[Outcome]:
        for item in (node if isinstance(node.value, list) else node.need("data", "tads")).items():
            yield tad(item, sender, account)

    return _answers(each)


def shipment_footprint(
    document: object,
    sender: Sender,
    account: str,
    tocs: Mapping[str, object],
    *,
    country: str | None = None,
    revision: int = 0,
) -> list[Outcome]:
    """Return an outcome for each transport chain element of a ShipmentFootprint.

    Args:
        document: The ShipmentFootprint.
        sender: Who sends it.
        account: The natural id of the account that its trips belong to.
        tocs: TOCs by id: they have mode and energy carriers, which elements lack.
        country: Where elements without origin or destination went, by ISO 3166-1.
        revision: Counts restatements of the footprint from 0.
    """
    node = root(document)
    leg = refusing(_leg)

    def each() -> Iterator[Outcome]:
        shipment = node.need("shipmentId").text()
        adapt = partial(leg, shipment=shipment, country=country, revision=revision)
        for tce in node.need("tces").items():
            yield adapt(tce, sender, account, tocs)

    return _answers(each)


def _extensions(footprint: Node, name: str) -> Iterator[Node]:
    extensions = footprint.get("extensions")
    for extension in extensions.items() if extensions is not None else ():
        schema = extension.get("dataSchema")
        if schema is not None and schema.text().rsplit("/", 1)[-1].removesuffix(".json") == name:
            yield extension.need("data")


def tocs_of(document: object) -> dict[str, object]:
    """Return the TOCs that a list of ProductFootprints carries, by id; what can't be read is none.

    An element that names a TOC which is not among them is refused.
    """
    found: dict[str, object] = {}
    footprints = document if isinstance(document, list) else [document]
    for footprint in map(Node, footprints):
        try:
            for toc in _extensions(footprint, "toc"):
                found[toc.need("tocId").text()] = toc.value
        except DocumentError:
            continue
    return found


def product_footprint(
    document: object, sender: Sender, account: str, tocs: Mapping[str, object]
) -> list[Outcome]:
    """Return the outcomes of a PACT ProductFootprint: those of each shipment footprint in it.

    One without a shipment footprint, or that is deprecated, is refused as `row_unmapped`. The
    `version` of PACT 2 counts restatements, as our revision does; PACT 3 has none.
    """
    node = root(document)

    def each() -> Iterator[Outcome]:
        status = node.get("status")
        if status is not None and status.text() == "Deprecated":
            status.refuse("row_unmapped", "a deprecated footprint counts no longer")
        version = node.get("version")
        pcf = node.get("pcf")
        where = pcf.get("geographyCountry") if pcf is not None else None
        shipments = list(_extensions(node, _SHIPMENT))
        if not shipments:
            node.refuse("row_unmapped", "has no shipment footprint among its extensions")
        for shipment in shipments:
            yield from shipment_footprint(
                shipment,
                sender,
                account,
                tocs,
                country=where.text() if where is not None else None,
                revision=version.whole(32) if version is not None else 0,
            )

    return _answers(each)
