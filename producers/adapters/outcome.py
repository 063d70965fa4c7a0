"""Outcome: what an adapter gives, and what it has to be told beside the document.

An adapter is a pure function: a document and a `Sender` in, `Adapted` or `Refused` out. It never
raises for what stands in a document. It makes sure that a record can be written; whether its values
lie in the accepted range is asked where records are sent, and again by the worker.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import wraps
from typing import Concatenate, ParamSpec, TypeAlias

from producers.adapters.document import DocumentError, Node, root
from producers.pseudonyms import Pseudonyms
from producers.regions import NoRegionError, Place, Region, Regions
from producers.rules import Value
from producers.targets import targets
from producers.vehicles import Vehicle, Vehicles


@dataclass(frozen=True, slots=True)
class Adapted:
    """A record and how what its document does not say was found.

    Attributes:
        record: charging_session or freight_trip.
        fields: Every field of the record, in its order.
        notes: Sentences for who looks after the sender; not part of the record.
    """

    record: str
    fields: Mapping[str, Value]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a document did not become a record: a code of `carbon.refusal`, and where it stands."""

    code: str
    path: str
    reason: str


Outcome: TypeAlias = Adapted | Refused
Point: TypeAlias = tuple[Fraction, Fraction]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who sends the documents, and what the operator knows that they do not say.

    Attributes:
        source: The sender's short name, without a colon.
        programme: The scheme whose rules apply.
        operator_id: The charge point operator, for formats that don't name it: `BE*BEC`.
        regions: Stations and codes to regions.
        vehicles: Accounts or number plates to vehicles.
        pseudonyms: Natural ids to pseudonyms; None where documents carry pseudonyms already.

    Raises:
        ValueError: The source has a colon or is empty.
        NoKeyError: The programme has no key.
    """

    source: str
    programme: str
    operator_id: str = ""
    regions: Regions = field(default_factory=Regions)
    vehicles: Vehicles = field(default_factory=Vehicles)
    pseudonyms: Pseudonyms | None = None

    def __post_init__(self) -> None:
        if not self.source or ":" in self.source:
            raise ValueError("source is empty or has ':'")
        if self.pseudonyms is not None:
            self.pseudonyms.check(self.programme)

    def pseudonym(self, natural_id: str) -> str:
        """Return what stands for a natural id in records."""
        return self.pseudonyms.of(self.programme, natural_id) if self.pseudonyms else natural_id

    def vehicle(self, at: Node, *ids: str) -> Vehicle:
        """Return the vehicle of the first id that the register knows.

        Raises:
            DocumentError: `row_missing_value`: it knows none, and has no line for all others.
        """
        found = self.vehicles.of(*ids)
        if found is None:
            at.refuse("row_missing_value", "the register of vehicles has no line for it")
        return found

    def operator(self, at: Node) -> str:
        """Return the operator that the sender speaks for.

        Raises:
            DocumentError: `row_missing_value`: neither the document nor the sender names one.
        """
        if not self.operator_id:
            at.refuse("row_missing_value", "the format names no operator; the sender has to")
        return self.operator_id

    def region(self, at: Node, place: Place) -> Region:
        """Return the region of a place.

        Raises:
            DocumentError: `row_missing_value`: nothing about the place leads to one.
        """
        try:
            return self.regions.of(place)
        except NoRegionError as wrong:
            at.refuse("row_missing_value", str(wrong))


def coordinates(point: Node, latitude: str, longitude: str) -> tuple[Point | None, list[str]]:
    """Return the coordinates [degrees] an object has, and what is wrong with them.

    They refuse nothing: a region is mostly found without them.
    """
    try:
        north, east = point.get(latitude), point.get(longitude)
        if north is None or east is None:
            return None, []
        return (north.number(), east.number()), []
    except DocumentError as wrong:
        return None, [f"coordinates put aside: {wrong.path} {wrong.reason}"]


def adapted(record: str, notes: list[str], **fields: Value) -> Adapted:
    """Return the record with the defaults of the fields that are not given."""
    given = {
        target.name: fields.pop(target.name, target.default)
        if target.has_default
        else fields.pop(target.name)
        for target in targets(record)
    }
    if fields:
        raise TypeError(f"{record} has no field {', '.join(fields)}")
    return Adapted(record, given, tuple(notes))


P = ParamSpec("P")


def refusing(
    adapt: Callable[Concatenate[Node, Sender, P], Adapted],
) -> Callable[Concatenate[object, Sender, P], Outcome]:
    """Return the adapter as a function of a parsed document that answers what can't be read."""

    @wraps(adapt)
    def answered(document: object, sender: Sender, /, *args: P.args, **kwargs: P.kwargs) -> Outcome:
        node = root(document)
        try:
            return adapt(node, sender, *args, **kwargs)
        except DocumentError as wrong:
            return Refused(wrong.code, wrong.path, wrong.reason)
        except RecursionError:
            return Refused("row_unmapped", node.path, "is nested too deeply")

    return answered
