"""Documents: a parsed JSON document becomes an activity, or a refusal that says where and why.

Our own records have the fields of `schemas/avro`; what the gateway knows of its sender, `source`
and `programme`, may be left out. Instants are milliseconds since 1970, or RFC 3339 with an offset.
Documents of other standards go through the adapters, by the names of FORMATS.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from operator import itemgetter
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

INSTANTS: Final[Mapping[type[Activity], tuple[str, str]]] = {
    ChargingSession: ("started_at", "ended_at"),
    FreightTrip: ("departed_at", "arrived_at"),
}
Found: TypeAlias = Activity | Refused
Format: TypeAlias = Callable[[Node, Sender, str], Outcome | Sequence[Outcome]]
"""A document, its sender, and the account that the sender's iLEAP documents belong to."""


class Reader:
    """Reads documents in our own fields; one of a sender and a record.

    Args:
        sender: Whose documents.
        record: What they are.
    """

    def __init__(self, sender: Sender, record: str) -> None:
        self._sender, self._kind = sender, KINDS[record]
        self._names = frozenset(self._kind._fields)
        self._instants = INSTANTS[self._kind]
        defaults = {target.name: target.default for target in targets(record) if target.has_default}
        self._given = defaults | {"source": sender.source, "programme": sender.programme}
        self._in_order = itemgetter(*self._kind._fields)

    def __call__(self, document: object) -> Found:
        """Return the activity of a document."""
        if not isinstance(document, dict):
            return Refused("row_bad_value", "$", "is not an object")
        given = {**self._given, **document}
        # A document of all fields and no other is found to be one by the way, which is quicker.
        try:
            activity = self._kind._make(self._in_order(given))
        except KeyError:
            return self._fields_wrong(given)
        if len(given) != len(self._names):
            return self._fields_wrong(given)
        sender = self._sender
        if activity.source != sender.source or activity.programme != sender.programme:
            return self._not_theirs(given)
        if any(isinstance(given[name], str) for name in self._instants):
            wrong = _read_instants(given, self._instants)
            if wrong is not None:
                return wrong
            activity = self._kind._make(self._in_order(given))
        return activity if sender.pseudonyms is None else self._pseudonymous(activity)

    def _fields_wrong(self, given: Mapping[str, Any]) -> Refused:
        if unknown := given.keys() - self._names:
            return Refused("row_bad_value", "$", f"{min(unknown)[:80]!r} is no field of a record")
        name = min(self._names - given.keys())
        return Refused("row_missing_value", f"$.{name}", f"{name} is missing")

    def _not_theirs(self, given: Mapping[str, Any]) -> Refused:
        name = "source" if given["source"] != self._sender.source else "programme"
        return Refused("row_bad_value", f"$.{name}", f"is not the sender's, {self._given[name]!r}")

    def _pseudonymous(self, activity: Activity) -> Found:
        account = activity.account_id
        if not isinstance(account, str):
            return activity  # It will be refused for that.
        account = account.strip()  # As the loaders do: one id is one account.
        if not account:
            return Refused("identity_invalid", "$.account_id", "is empty")
        try:
            return activity._replace(account_id=self._sender.pseudonym(account))
        except UnicodeEncodeError:
            return Refused("undecodable", "$.account_id", "has half of a character")


def _read_instants(given: dict[str, Any], names: Iterable[str]) -> Refused | None:
    """Put milliseconds in place of texts, or return what is wrong with one."""
    for name in names:
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
        found = Reader(sender, record)(node.value)
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
