"""Senders: who may send, and what the operator knows that their documents do not say.

    [[senders]]
    name = "acme"                     # what the scope of its tokens says: send:acme
    programme = "cn-charging"
    source = "acme"                   # goes into every record; its name where not given
    pseudonyms = true                 # accounts are natural ids: only pseudonyms are sent on
    ocpi = "cdrs"                     # or "sessions"; nothing by OCPI where not given
    stations = "stations.csv"         # see docs/adapters.md; paths begin at this file
    vehicles = "vehicles.csv"
    coordinates = true                # regions by coordinates, with the extra `regions`
    operator_id = "BE*BEC"            # for formats that name no operator
    account = "carrier-7"             # whose the trips of iLEAP are

    [senders.events]                  # CloudEvents by their type
    "com.acme.cdr" = "ocpi-cdr-2.2.1"

    [senders.pull]                    # fetched by `carbonflow pull acme`
    from = "ileap"                    # or "ocpi"
    url = "https://partner.example"
    client_id = "us"
    secret_file = "acme.secret"

A network has a CDR and a Session for the same energy, under two ids, so a sender is taken CDRs or
Sessions from, never both: `ocpi` is one word. It holds for what is pulled, too.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

from api.gateway.documents import FORMATS
from api.gateway.fetching import check_url
from producers.adapters.outcome import Sender
from producers.places import NoPlacesError, Places
from producers.pseudonyms import NoKeyError, Pseudonyms
from producers.regions import Regions
from producers.registers import RegisterError
from producers.stations import Stations, load_stations
from producers.vehicles import Vehicles, load_vehicles

Module: TypeAlias = Literal["cdrs", "sessions"]
Partner: TypeAlias = Literal["ileap", "ocpi"]

TEXTS: Final = frozenset(
    {"name", "programme", "source", "ocpi", "stations", "vehicles", "operator_id", "account"}
)
TRUTHS: Final = frozenset({"pseudonyms", "coordinates"})
TABLES: Final = frozenset({"events", "pull"})
_PULL: Final = frozenset({"from", "url", "client_id", "secret_file", "token_url", "version"})


class SendersError(ValueError):
    """The file of senders cannot be used; the message says where and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """Where a partner offers its documents.

    Attributes:
        partner: What it speaks.
        url: iLEAP: where its host is; OCPI: its CDRs or Sessions.
        secret_file: Holds our secret or OCPI token there, in one line.
        client_id: Who we are there (OAuth2); OCPI has none.
        token_url: Where tokens are had; found by its OpenID configuration where empty.
        version: Of OCPI.
    """

    partner: Partner
    url: str
    secret_file: Path
    client_id: str = ""
    token_url: str = ""
    version: Literal["2.2.1", "2.3.0"] = "2.2.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A sender that is known.

    Attributes:
        name: As the scope of its tokens says.
        sender: What its documents are read with.
        module: Which of OCPI's modules it sends; None for neither.
        account: Whose the trips of iLEAP are; "" where none is said.
        events: Formats by type of event.
        pull: Where its documents are fetched; None if they are not.
    """

    name: str
    sender: Sender
    module: Module | None = None
    account: str = ""
    events: Mapping[str, str] = field(default_factory=dict)
    pull: Pull | None = None


class Senders:
    """Senders by name.

    Raises:
        SendersError: Two share a name or a source, or there are none.
    """

    def __init__(self, senders: Iterable[Known]) -> None:
        self._known: dict[str, Known] = {}
        sources = set[str]()
        for one in senders:
            if one.name in self._known:
                raise SendersError(f"two senders have the name {one.name!r}")
            if one.sender.source in sources:
                # Their records would be taken for one another's.
                raise SendersError(f"two senders have the source {one.sender.source!r}")
            self._known[one.name] = one
            sources.add(one.sender.source)
        if not self._known:
            raise SendersError("there are no senders")

    def of(self, name: str) -> Known | None:
        """Return the sender of a name."""
        return self._known.get(name)

    def __iter__(self) -> Iterator[Known]:
        return iter(self._known.values())

    def __len__(self) -> int:
        return len(self._known)

    def only(self) -> Known | None:
        """Return the sender where there is one only."""
        return next(iter(self._known.values())) if len(self._known) == 1 else None


def read_senders(path: Path, pseudonyms: Pseudonyms | None) -> Senders:
    """Return the senders of a file.

    Args:
        path: The file.
        pseudonyms: What makes pseudonyms, for senders that want it.

    Raises:
        SendersError: It cannot be read, or is no file of senders.
    """
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SendersError(f"{path}: {error.strerror}") from error
    except ValueError as error:  # UnicodeDecodeError and TOMLDecodeError are such.
        raise SendersError(f"{path} is no TOML: {error}") from error
    try:
        return Senders(_entries(found, path.parent, pseudonyms))
    except SendersError as error:
        raise SendersError(f"{path}: {error}") from error


def _entries(
    found: Mapping[str, Any], folder: Path, pseudonyms: Pseudonyms | None
) -> Iterable[Known]:
    entries = found.get("senders", [])
    if found.keys() - {"senders"} or not isinstance(entries, list):
        raise SendersError("it holds [[senders]] and nothing else")
    places: list[Places] = []  # Loaded once, by the first who wants them: it takes seconds.
    for number, entry in enumerate(entries, start=1):
        try:
            yield _known(entry, folder, pseudonyms, places)
        except (ValueError, NoKeyError, RegisterError, NoPlacesError) as error:
            raise SendersError(f"sender {number}: {error}") from error


def _known(
    entry: object, folder: Path, pseudonyms: Pseudonyms | None, places: list[Places]
) -> Known:
    values = _table(entry, texts=TEXTS, truths=TRUTHS, tables=TABLES)
    for name in ("name", "programme"):
        if name not in values:
            raise SendersError(f"{name} is missing")
    module = values.get("ocpi")
    if module is not None and module not in get_args(Module):
        raise SendersError(f"ocpi is {' or '.join(get_args(Module))}, not {module!r}")
    if values.get("pseudonyms") and pseudonyms is None:
        raise SendersError("pseudonyms need CARBONFLOW_PSEUDONYM_KEYS")
    if values.get("coordinates") and not places:
        places.append(Places())
    sender = Sender(
        source=values.get("source", values["name"]),
        programme=values["programme"],
        operator_id=values.get("operator_id", ""),
        regions=Regions(
            load_stations(folder / values["stations"]) if "stations" in values else Stations(),
            places[0] if values.get("coordinates") else None,
        ),
        vehicles=load_vehicles(folder / values["vehicles"]) if "vehicles" in values else Vehicles(),
        pseudonyms=pseudonyms if values.get("pseudonyms") else None,
    )
    known = Known(
        name=values["name"],
        sender=sender,
        module=module,
        account=values.get("account", ""),
        events=_events(values.get("events", {}), module),
        pull=_pull(values["pull"], folder) if "pull" in values else None,
    )
    _check_pull(known)
    return known


def _table(
    entry: object,
    *,
    texts: frozenset[str],
    truths: frozenset[str] = frozenset(),
    tables: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise SendersError("it is no table")
    for name, value in entry.items():
        if name in texts and not (isinstance(value, str) and value.strip()):
            raise SendersError(f"{name} is a text that is not empty")
        if name in truths and not isinstance(value, bool):
            raise SendersError(f"{name} is true or false")
        if name in tables and not isinstance(value, dict):
            raise SendersError(f"{name} is a table")
        if name not in texts | truths | tables:
            raise SendersError(f"nobody knows {name!r}")
    return entry


def _events(events: Mapping[str, Any], module: str | None) -> Mapping[str, str]:
    for event, name in events.items():
        if name not in FORMATS:
            raise SendersError(f"events: {event!r} is none of {', '.join(FORMATS)}")
        other = {"cdrs": "ocpi-session", "sessions": "ocpi-cdr"}.get(module or "", "none")
        if name.startswith(other):
            raise SendersError(f"events: {event!r} is {name}, but ocpi says {module}")
    kinds = {name.split("-")[1] for name in events.values() if name.startswith("ocpi-")}
    if len(kinds) > 1:
        raise SendersError("events: CDRs and Sessions of one sender would be booked twice")
    return events


def _pull(table: Mapping[str, Any], folder: Path) -> Pull:
    values = _table(table, texts=_PULL)
    for name in ("from", "url", "secret_file"):
        if name not in values:
            raise SendersError(f"pull: {name} is missing")
    if values["from"] not in get_args(Partner):
        raise SendersError(f"pull: from is {' or '.join(get_args(Partner))}")
    for name in ("url", "token_url"):
        if name in values:
            try:
                check_url(values[name])
            except ValueError as error:
                raise SendersError(f"pull: {name}: {error}") from None
    if values.get("version", "2.2.1") not in {"2.2.1", "2.3.0"}:
        raise SendersError("pull: version is 2.2.1 or 2.3.0")
    return Pull(
        partner=values["from"],
        url=values["url"].rstrip("/"),
        secret_file=folder / values["secret_file"],
        client_id=values.get("client_id", ""),
        token_url=values.get("token_url", ""),
        version=values.get("version", "2.2.1"),
    )


def _check_pull(known: Known) -> None:
    """Check that what is pulled is said in full."""
    if known.pull is None:
        return
    if known.pull.partner == "ocpi" and known.module is None:
        raise SendersError("pull: from ocpi needs to know what: ocpi = cdrs or sessions")
    if known.pull.partner == "ileap" and not (known.account and known.pull.client_id):
        raise SendersError("pull: from ileap needs client_id, and the account of the trips")
