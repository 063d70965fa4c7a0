"""Documents: a parsed JSON document becomes an activity, or a refusal that says where and why.

Our own records have the fields of `schemas/avro`; what the gateway knows of its sender, `source`
and `programme`, may be left out. Instants are milliseconds since 1970, or RFC 3339 with an offset.
Documents of other standards go through the adapters, by the names of FORMATS.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from producers.adapters import ileap, ocpi, oicp
from producers.adapters.document import Node
from producers.adapters.outcome import Adapted, Outcome, Refused, Sender
from producers.client.records import Activity, ChargingSession, FreightTrip, instant_ms
from producers.targets import targets

KINDS: Final[Mapping[str, type[Activity]]] = MappingProxyType(
    {"charging_session": ChargingSession, "freight_trip": FreightTrip}
)
RECORDS: Final[Mapping[type[Activity], str]] = MappingProxyType(
    {kind: record for record, kind in KINDS.items()}
)

_INSTANTS: Final[Mapping[type[Activity], tuple[str, str]]] = {
    ChargingSession: ("started_at", "ended_at"),
    FreightTrip: ("departed_at", "arrived_at"),
}
_DEFAULTS: Final[Mapping[type[Activity], Mapping[str, Any]]] = {
    kind: {target.name: target.default for target in targets(record) if target.has_default}
    for record, kind in KINDS.items()
}
_NEEDED: Final[Mapping[type[Activity], frozenset[str]]] = {
    kind: frozenset(kind._fields) - _DEFAULTS[kind].keys() for kind in KINDS.values()
}
_KNOWN: Final[Mapping[type[Activity], frozenset[str]]] = {
    kind: frozenset(kind._fields) for kind in KINDS.values()
}

Found: TypeAlias = Activity | Refused
Format: TypeAlias = Callable[[Node, Sender, str], Outcome | Sequence[Outcome]]
"""A document, its sender, and the account that the sender's iLEAP documents belong to."""


def activity_of(document: object, sender: Sender, kind: type[Activity]) -> Found:
    """Return the activity of a document in our own fields."""
    if not isinstance(document, dict):
        return Refused("row_bad_value", "$", "is not an object")
    own = {"source": sender.source, "programme": sender.programme}
    given = {**_DEFAULTS[kind], **own, **document}
    wrong = _fields_wrong(given, kind) or _not_theirs(given, sender) or _read_instants(given, kind)
    if wrong is not None:
        return wrong
    account = given["account_id"]
    if sender.pseudonyms is not None and isinstance(account, str):
        account = account.strip()  # As the loaders do: one id is one account.
        if not account:
            return Refused("identity_invalid", "$.account_id", "is empty")
        try:
            given["account_id"] = sender.pseudonym(account)
        except UnicodeEncodeError:
            return Refused("undecodable", "$.account_id", "has half of a character")
    return kind(**given)


def _fields_wrong(given: Mapping[str, Any], kind: type[Activity]) -> Refused | None:
    names = given.keys()
    if unknown := names - _KNOWN[kind]:
        # A name of a field is no natural id, but whatever a sender wrote need not be told again.
        return Refused("row_bad_value", "$", f"{min(unknown)[:80]!r} is no field of a record")
    if missing := _NEEDED[kind] - names:
        name = min(missing)
        return Refused("row_missing_value", f"$.{name}", f"{name} is missing")
    return None


def _not_theirs(given: Mapping[str, Any], sender: Sender) -> Refused | None:
    for name, own in (("source", sender.source), ("programme", sender.programme)):
        if given[name] != own:
            return Refused("row_bad_value", f"$.{name}", f"is not the sender's, {own!r}")
    return None


def _read_instants(given: dict[str, Any], kind: type[Activity]) -> Refused | None:
    for name in _INSTANTS[kind]:
        text = given[name]
        if isinstance(text, str):
            try:
                given[name] = instant_ms(datetime.fromisoformat(text))
            except ValueError:
                return Refused(
                    "row_bad_value", f"$.{name}", "is no instant such as 2026-03-01T08:00:00Z"
                )
    return None


def activity_from(outcome: Outcome) -> Found:
    """Return what an adapter gave as an activity."""
    if isinstance(outcome, Adapted):
        return KINDS[outcome.record](**outcome.fields)  # type: ignore[arg-type]
    return outcome


def identity_of(activity: Activity) -> str:
    """Return the id of an activity within its source."""
    return activity.session_id if isinstance(activity, ChargingSession) else activity.trip_id


def _own(record: str) -> Format:
    def read(node: Node, sender: Sender, account: str) -> Outcome:
        del account
        found = activity_of(node.value, sender, KINDS[record])
        if isinstance(found, Refused):
            return Refused(found.code, node.path + found.path[1:], found.reason)
        return Adapted(record, found._asdict())

    return read


def _ocpi(adapt: Callable[..., Outcome], version: ocpi.Version) -> Format:
    def read(node: Node, sender: Sender, account: str) -> Outcome:
        del account
        return adapt(node, sender, version)

    return read


def _oicp(node: Node, sender: Sender, account: str) -> Outcome:
    del account
    return oicp.charge_detail_record(node, sender)


FORMATS: Final[Mapping[str, Format]] = MappingProxyType(
    {
        **{record: _own(record) for record in KINDS},
        **{
            f"ocpi-{name}-{version}": _ocpi(adapt, version)
            for name, adapt in (("cdr", ocpi.cdr), ("session", ocpi.session))
            for version in ("2.1.1", "2.2.1", "2.3.0")
        },
        "oicp-cdr": _oicp,
        "ileap-tad": ileap.tad,
        "ileap-tads": ileap.tads,
    }
)
"""Formats that the data of an event may have, by the name a file of senders calls them."""


def adapters_of(
    formats: Mapping[str, str], sender: Sender, account: str
) -> dict[str, Callable[[Node], Outcome | Sequence[Outcome]]]:
    """Return the adapter of each type of event."""
    return {
        event: partial(_adapted, FORMATS[name], sender, account) for event, name in formats.items()
    }


def _adapted(read: Format, sender: Sender, account: str, node: Node) -> Outcome | Sequence[Outcome]:
    return read(node, sender, account)
