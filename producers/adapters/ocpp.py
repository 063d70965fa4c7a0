"""OCPP: the messages of a transaction, of 1.6 or 2.0.1, become a charging session.

Energy is the difference of a register and no sum of intervals. When something happened is what a
message says and not when it came: a charging station that was offline sends its messages late, and
in 2.0.1 in any order, so they are put in order by `seqNo`. A message that was sent twice counts
once. A transaction of which the beginning or the end has not come yet is refused as
`row_unmapped`: ask again once it has.

A station does not say where it is or which current it gives; the table of stations does, by
`STATION*EVSE*CONNECTOR`, `STATION*EVSE` or `STATION`. Messages may stand in their CALL frame.

Source: OCPP 1.6 edition 2 (4.8, 4.10), OCPP 2.0.1 edition 2 (E, J, data type SampledValue).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from producers.adapters.document import Node, in_field
from producers.adapters.outcome import Adapted, Sender, adapted, refusing
from producers.regions import Place
from producers.stations import Station

IMPORT: Final = "Energy.Active.Import.Register"
EXPORT: Final = "Energy.Active.Export.Register"
SIDES: Final[Mapping[str, str]] = MappingProxyType({"Outlet": "dispenser", "Inlet": "grid"})
"""Where a register is read, the preferred one first; what is read in cable or car is not billed."""
_EVENTS: Final = {name: name for name in ("Started", "Updated", "Ended")}
_UNITS: Final[Mapping[str, int]] = MappingProxyType({"Wh": 1, "kWh": 1_000})
_CALL: Final = 2
_FRAME_PARTS: Final = 4
MULTIPLIER_MAX: Final = 12


def payload(message: Node) -> Node:
    """Return a message without its CALL frame `[2, id, action, payload]`, where it is in one."""
    parts = message.value
    if isinstance(parts, list) and len(parts) == _FRAME_PARTS and parts[0] == _CALL:
        return Node(parts[3], f"{message.path}[3]")
    return message


@dataclass(frozen=True, slots=True, kw_only=True)
class _Transaction:
    """What a record is made of, from either version."""

    number: str
    token: Node
    evse: Node
    ids: tuple[str, ...]
    started_at: int
    ended_at: int
    energy_wh: int
    meter_side: str
    notes: tuple[str, ...]


def _finish(found: _Transaction, sender: Sender, station: str) -> Adapted:
    """Return the record of a transaction that is over."""
    # idTag and idToken do not tell upper from lower case.
    natural = found.token.text().upper()
    account_id = sender.pseudonym(natural)
    vehicle = sender.vehicle(found.token, natural, account_id)
    known: Station | None = sender.regions.station(*found.ids)
    if known is None or not known.current:
        found.evse.refuse(
            "row_missing_value", f"the table of stations needs {found.ids[0]!r} with its current"
        )
    region = sender.region(found.evse, Place(stations=found.ids))
    return adapted(
        "charging_session",
        [*region.notes, *vehicle.notes, *found.notes],
        session_id=f"{station}*{found.number}",
        source=sender.source,
        account_id=account_id,
        programme=sender.programme,
        vehicle_class=vehicle.vehicle_class,
        grid_region=region.code,
        started_at=found.started_at,
        ended_at=found.ended_at,
        energy_wh=found.energy_wh,
        meter_side=found.meter_side,
        current=known.current,
        operator_id=known.operator_id or sender.operator(found.evse),
        evse_id=known.evse_id or found.ids[0],
    )


@refusing
def session_16(document: Node, sender: Sender, station: str) -> Adapted:
    """Return the charging session of a transaction of OCPP 1.6.

    Args:
        document: `{"transactionId": ..., "start": StartTransaction, "stop": StopTransaction}`. The
            id is that of the answer to the start, which alone ties the two together.
        sender: The network, with its table of stations.
        station: The identity the charging station connects with.
    """
    number = document.need("transactionId")
    start_message, stop_message = document.get("start"), document.get("stop")
    if start_message is None or stop_message is None:
        document.refuse("row_unmapped", "the transaction has no start or no stop yet")
    start, stop = payload(start_message), payload(stop_message)
    told = stop.need("transactionId")
    if told.whole() != number.whole():
        told.wrong(f"is another transaction than {number.whole()}")
    if number.whole() < 0:
        # Stations make it up where the answer to an offline start never came; it is not unique.
        number.wrong("was never given out by the central system")
    first, last = start.need("meterStart"), stop.need("meterStop")
    energy_wh = last.whole() - first.whole()
    if energy_wh < 0:
        last.wrong("is below meterStart: the register was reset", "energy_out_of_range")
    connector = start.need("connectorId")
    return _finish(
        _Transaction(
            number=str(number.whole()),
            token=start.need("idTag").hidden(),
            evse=connector,
            ids=(f"{station}*{connector.whole()}", station),
            started_at=start.need("timestamp").instant(),
            ended_at=stop.need("timestamp").instant(),
            energy_wh=in_field(last, "energy_wh", Fraction(energy_wh)),
            meter_side="dispenser",
            notes=(),
        ),
        sender,
        station,
    )


@dataclass(frozen=True, slots=True)
class _Reading:
    """A reading of a register [Wh], and the event it came with."""

    wh: Fraction
    event: str
    at: Node


Readings = dict[tuple[str, str, str], list[_Reading]]
"""By measurand, location and phase, in the order of events."""


def _readings(events: list[Node]) -> Readings:
    """Return the readings of energy registers of all events."""
    found: Readings = defaultdict(list)
    for event in events:
        kind = event.need("eventType").text()
        samples = [
            (value.need("timestamp").instant(), sample)
            for value in _each(event, "meterValue")
            for sample in value.need("sampledValue").items()
        ]
        for _, sample in sorted(samples, key=lambda pair: pair[0]):
            measurand, location, phase = (
                node.text() if (node := sample.get(name)) is not None else default
                for name, default in (("measurand", IMPORT), ("location", "Outlet"), ("phase", ""))
            )
            if measurand in (IMPORT, EXPORT) and location in SIDES:
                reading = _Reading(_watt_hours(sample), kind, sample)
                found[measurand, location, phase].append(reading)
    return found


def _each(node: Node, key: str) -> Iterator[Node]:
    inner = node.get(key)
    return inner.items() if inner is not None else iter(())


def _watt_hours(sample: Node) -> Fraction:
    """Return a sampled energy [Wh]: its value times ten to the multiplier, Wh unless told."""
    value, unit = sample.need("value").number(), sample.get("unitOfMeasure")
    if unit is None:
        return value
    exponent = unit.get("multiplier")
    power = exponent.whole() if exponent is not None else 0
    if exponent is not None and abs(power) > MULTIPLIER_MAX:
        exponent.wrong("is no multiplier of an energy")
    name = unit.get("unit")
    scale = 1
    if name is not None:
        if name.text() not in _UNITS:
            name.wrong(f"is none of {', '.join(_UNITS)}")
        scale = _UNITS[name.text()]
    return value * scale * Fraction(10) ** power


def _gained(readings: list[_Reading]) -> Fraction:
    """Return what a register gained [Wh].

    Raises:
        DocumentError: `energy_out_of_range`: it fell, so it was reset and the difference is wrong.
    """
    for before, after in pairwise(readings):
        if after.wh < before.wh:
            after.at.need("value").wrong("is below the reading before it", "energy_out_of_range")
    return readings[-1].wh - readings[0].wh


def _series(found: Readings) -> tuple[str, list[list[_Reading]]] | None:
    """Return the location and the registers whose differences add up to the energy."""
    for location in SIDES:
        # A register of the whole stands above those of its phases, which add up to it.
        phases = [key for key in found if key[:2] == (IMPORT, location)]
        chosen = [key for key in phases if not key[2]] or phases
        series = [found[key] for key in chosen]
        # One reading of a register has no difference.
        if series and all(len(one) > 1 for one in series):
            return location, series
    return None


def _energy(events: list[Node]) -> tuple[Fraction, str, list[str]]:
    """Return energy [Wh], the side it was metered on, and what is to be told about it."""
    found = _readings(events)
    chosen = _series(found)
    if chosen is None:
        events[-1].refuse("row_missing_value", f"{IMPORT} was not read twice in the transaction")
    location, series = chosen
    notes = []
    for event, reading in (("Started", series[0][0]), ("Ended", series[0][-1])):
        if reading.event != event:
            notes.append(f"the register was not read when the transaction {event.lower()}")
    exported = [found[key] for key in found if key[:2] == (EXPORT, location)]
    if fed_back := sum(one[-1].wh - one[0].wh for one in exported):
        notes.append(f"{float(fed_back):g} Wh were fed back, which is not booked")
    return sum((_gained(one) for one in series), Fraction(0)), SIDES[location], notes


def _in_order(document: Node) -> tuple[list[Node], list[str]]:
    """Return the events by seqNo, each once, and what is to be told about them."""
    by_number: dict[int, Node] = {}
    for message in document.items():
        event = payload(message)
        event.need("eventType").word(_EVENTS)
        number = event.need("seqNo")
        known = by_number.setdefault(number.whole(), event)
        if known.value != event.value:
            number.wrong("is the number of another message, too")
    events = [by_number[number] for number in sorted(by_number)]
    if not events:
        document.refuse("row_unmapped", "no message of the transaction has come yet")
    notes = []
    if missing := max(by_number) - min(by_number) + 1 - len(by_number):
        notes.append(f"{missing} messages of the transaction are missing")
    offline = [one for one in events if (told := one.get("offline")) is not None and told.truth()]
    if offline:
        notes.append(f"{len(offline)} messages were sent late, after the station was offline")
    return events, notes


def _transaction_id(event: Node) -> Node:
    return event.need("transactionInfo").need("transactionId")


@refusing
def session_201(document: Node, sender: Sender, station: str) -> Adapted:
    """Return the charging session of the TransactionEvents of one transaction of OCPP 2.0.1.

    Args:
        document: The TransactionEvent requests, in any order.
        sender: The network, with its table of stations.
        station: The identity the charging station connects with.
    """
    events, notes = _in_order(document)
    number = _transaction_id(events[0]).text()
    for event in events:
        if _transaction_id(event).text() != number:
            _transaction_id(event).wrong(f"is another transaction than {number!r}")
    if [event.need("eventType").text() for event in (events[0], events[-1])] != [
        "Started",
        "Ended",
    ]:
        document.refuse("row_unmapped", "the transaction has no Started or no Ended yet")
    tokens = [token for event in events if (token := event.get("idToken")) is not None]
    token = next((one for one in tokens if one.need("type").text() != "NoAuthorization"), None)
    if token is None:
        document.refuse("row_missing_value", "no message has the idToken of an account")
    evse = next((one for event in events if (one := event.get("evse")) is not None), None)
    if evse is None:
        document.refuse("row_missing_value", "no message names the EVSE")
    place = f"{station}*{evse.need('id').whole()}"
    connector = evse.get("connectorId")
    exact = (f"{place}*{connector.whole()}",) if connector is not None else ()
    energy, side, more = _energy(events)
    return _finish(
        _Transaction(
            number=number,
            token=token.hidden().need("idToken"),
            evse=evse,
            ids=(*exact, place, station),
            started_at=events[0].need("timestamp").instant(),
            ended_at=events[-1].need("timestamp").instant(),
            energy_wh=in_field(document, "energy_wh", energy),
            meter_side=side,
            notes=(*notes, *more),
        ),
        sender,
        station,
    )


def by_transaction(messages: list[object]) -> dict[str, list[object]]:
    """Return TransactionEvents by their transaction; those that name none under "".

    >>> sorted(by_transaction([{"transactionInfo": {"transactionId": "t1"}}, {}]))
    ['', 't1']
    """
    found: dict[str, list[object]] = defaultdict(list)
    for message in messages:
        body = payload(Node(message)).value
        info = body.get("transactionInfo") if isinstance(body, Mapping) else None
        number = info.get("transactionId") if isinstance(info, Mapping) else None
        found[number if isinstance(number, str) else ""].append(message)
    return dict(found)
