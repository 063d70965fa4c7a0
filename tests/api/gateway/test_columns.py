"""A body of many lines comes to the bytes that its records come to one by one, or to no answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.gateway.columns import LINES_LEAST, Columns, lines_in
from api.gateway.documents import Reader
from producers.adapters.outcome import Refused, Sender
from producers.client.records import RefusedError, written
from producers.pseudonyms import Key, Pseudonyms
from schemas.settings import BrokerSettings
from tests.api.gateway.served import Gateway, served
from tests.producers.adapters.documents import ANYTHING
from tests.streams.scene import DAY_MS, NOW_MS, SESSION, TRIP, session, trip

RECORDS: Final = {"charging_session": SESSION, "freight_trip": TRIP}
PROGRAMMES: Final = {"charging_session": "cn-charging", "freight_trip": "cn-freight"}
NDJSON: Final = {"Content-Type": "application/x-ndjson"}
NUMBERS: Final = st.sampled_from(
    [0, -1, -2, 1, 10**7, 10**7 + 1, 2**31, 2**63 - 1, -(2**63), NOW_MS, NOW_MS + 2 * DAY_MS]
)
TEXTS: Final = st.sampled_from(["", "a", "a:b", "\0", "é" * 500, "é" * 501, " anna ", "grid", "ac"])
VALUES: Final = NUMBERS | TEXTS | st.none() | st.booleans() | st.floats() | ANYTHING

Made = tuple[str, str, int, bytes]
"""Id, account, revision and value."""


def sender(record: str, **changes: Any) -> Sender:
    return Sender(source="test", programme=PROGRAMMES[record], **changes)


def singly(known: Sender, record: str, body: bytes) -> list[Made] | None:
    """Return what each record became, None where one is refused."""
    read, made = Reader(known, record), []
    for line in body.splitlines():
        try:
            found = read(orjson.loads(line))
            if isinstance(found, Refused):
                return None
            value = written(found, NOW_MS)
            made.append((found[0], found.account_id, found.revision, value))
        except (orjson.JSONDecodeError, RefusedError):
            return None
    return made


def at_once(known: Sender, record: str, body: bytes) -> list[Made] | None:
    """Return the same of the columns."""
    found = Columns(known, record).written(body, lines_in(body), NOW_MS)
    if found is None:
        return None
    return list(zip(found.ids, found.accounts, found.revisions, found.values, strict=True))


def lines(documents: Sequence[object]) -> bytes:
    return "\n".join(map(json.dumps, documents)).encode()


@pytest.mark.parametrize("record", RECORDS)
@pytest.mark.parametrize("left_out", [(), ("source", "programme", "reversal_of", "revision")])
def test_what_is_in_order_comes_to_the_same_bytes(record: str, left_out: tuple[str, ...]) -> None:
    fields = {name: value for name, value in RECORDS[record].items() if name not in left_out}
    body = lines([fields, fields | {"account_id": "北京-é"}, fields | {"vehicle_class": ""}])
    found = at_once(sender(record), record, body)
    assert found is not None
    assert found == singly(sender(record), record, body)


@settings(max_examples=400)
@given(data=st.data(), record=st.sampled_from(sorted(RECORDS)))
def test_whatever_comes_to_something_comes_to_the_same(data: st.DataObject, record: str) -> None:
    documents = []
    for _ in range(data.draw(st.integers(1, 3))):
        document = dict(RECORDS[record])
        for _ in range(data.draw(st.integers(0, 2))):
            name = data.draw(st.sampled_from([*document, "other"]))
            if data.draw(st.booleans()):
                document.pop(name, None)
            else:
                document[name] = data.draw(VALUES)
        documents.append(document)
    body = lines(documents)
    found = at_once(sender(record), record, body)
    if found is not None:
        assert found == singly(sender(record), record, body)


@pytest.mark.parametrize(
    ("record", "changes"),
    [
        ("charging_session", {"energy_wh": -1}),
        ("charging_session", {"energy_wh": 10_000_001}),
        ("charging_session", {"energy_wh": 20_000.0}),
        ("charging_session", {"energy_wh": "20000"}),
        ("charging_session", {"energy_wh": None}),
        ("charging_session", {"meter_side": "roof"}),
        ("charging_session", {"revision": None}),
        ("charging_session", {"revision": -1}),
        ("charging_session", {"source": "other"}),
        ("charging_session", {"source": None}),
        ("charging_session", {"programme": "other"}),
        ("charging_session", {"account_id": ""}),
        ("charging_session", {"account_id": "a\0b"}),
        ("charging_session", {"session_id": "é" * 501}),
        ("charging_session", {"started_at": NOW_MS}),
        ("charging_session", {"started_at": -1}),
        ("charging_session", {"ended_at": NOW_MS + 2 * DAY_MS}),
        ("charging_session", {"energy_kwh": 20}),
        ("charging_session", {"evse_id": "e" * 1_000_000}),
        ("freight_trip", {"energy_used": -1}),
        ("freight_trip", {"energy_used": -2}),
        ("freight_trip", {"distance_m": 0}),
        ("freight_trip", {"cargo_kg": 0, "energy_used": None}),
    ],
)
def test_what_the_worker_would_refuse_comes_to_nothing(
    record: str, changes: dict[str, Any]
) -> None:
    documents = [RECORDS[record], {**RECORDS[record], **changes}]
    assert singly(sender(record), record, lines(documents)) is None
    assert at_once(sender(record), record, lines(documents)) is None


@pytest.mark.parametrize(
    "body",
    [b'{"a":1}{"a":2}\n{', b"[1]\n[2]", b"{}\n\n{}", b'{"a":\n1}', b"{\n}\n{}{}", b"", b"{} {}"],
)
def test_what_is_no_object_a_line_is_not_counted_as_lines(body: bytes) -> None:
    assert lines_in(body) in {0, 1}


def test_objects_beside_each_other_on_a_line_are_not_two_records() -> None:
    one = json.dumps(SESSION).encode()
    known = sender("charging_session")
    for body in (one + one + b"\n" + one, one + b"\n" + one + one):
        assert at_once(known, "charging_session", body) is None


def test_pseudonyms_are_those_of_single_records() -> None:
    key = Key(number=1, created=date(2026, 1, 1), secret=b"k" * 32)
    known = sender("charging_session", pseudonyms=Pseudonyms({"cn-charging": (key,)}))
    body = lines([session(account_id=" anna "), session(account_id="ben")])
    found = at_once(known, "charging_session", body)
    assert found is not None
    assert found == singly(known, "charging_session", body)
    assert at_once(known, "charging_session", lines([session(account_id=" ")])) is None


def many(count: int) -> list[dict[str, object]]:
    return [session(session_id=f"{number}", account_id=f"a{number % 7}") for number in range(count)]


def send(gateway: Gateway, documents: Sequence[object]) -> Any:
    path = "/v1/charging-sessions"
    return gateway.ask("acme", "POST", path, headers=NDJSON, content=lines(documents))


def test_many_lines_are_accepted_and_known_when_they_come_again(gateway: Gateway) -> None:
    documents = many(2 * LINES_LEAST)
    answer = send(gateway, documents)
    assert (answer.status_code, answer.json()["accepted"]) == (202, len(documents))
    records = {record["session_id"]: record for record in gateway.arrived()}
    assert records == {document["session_id"]: document for document in documents}
    places = {(message.partition, message.offset) for message in gateway.messages()}
    told = {(one["partition"], one["offset"]) for one in answer.json()["results"]}
    assert told == places
    again = [*documents[:-1], session(session_id="new")]
    assert send(gateway, again).json()["repeated"] == len(documents) - 1
    # By whichever way it comes.
    single = gateway.ask("acme", "POST", "/v1/charging-sessions", json=documents[0])
    assert single.json()["repeated"] == 1


def test_one_line_that_is_wrong_is_told_and_the_others_are_accepted(gateway: Gateway) -> None:
    documents = many(2 * LINES_LEAST)
    documents[40]["energy_wh"] = -1
    answer = send(gateway, documents)
    assert answer.status_code == 207
    wrong = [one for one in answer.json()["results"] if one["status"] != "accepted"]
    assert [(one["at"], one["code"]) for one in wrong] == [(40, "energy_out_of_range")]
    assert len(gateway.arrived()) == len(documents) - 1


def test_trips_have_lines_too(topics: BrokerSettings, tmp_path: Path) -> None:
    senders = '[[senders]]\nname = "acme"\nprogramme = "cn-freight"\nsource = "test"\n'
    documents = [trip(trip_id=f"{number}", energy_used=None) for number in range(LINES_LEAST)]
    with served(topics, tmp_path, senders=senders) as gateway:
        answer = gateway.ask(
            "acme", "POST", "/v1/freight-trips", headers=NDJSON, content=lines(documents)
        )
        assert (answer.status_code, answer.json()["accepted"]) == (202, LINES_LEAST)
        records = {record["trip_id"]: record for record in gateway.arrived("freight-trips")}
    assert records == {document["trip_id"]: document for document in documents}
