"""CloudEvents by HTTP, in its three modes, hold documents that become records."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.gateway.served import Gateway
from tests.producers.adapters.test_ileap import tad
from tests.producers.adapters.test_ocpi import cdr
from tests.streams.scene import SESSION, session

PATH = "/v1/events"


def event(data: object, **changes: object) -> dict[str, object]:
    """Return an event in JSON."""
    return {
        "specversion": "1.0",
        "id": "1",
        "source": "/acme",
        "type": "com.acme.session",
        "data": data,
        **changes,
    }


def send(gateway: Gateway, content: object, media: str, **headers: str) -> Any:
    """Return the answer to an event."""
    return gateway.ask(
        "acme",
        "POST",
        PATH,
        headers={"Content-Type": media, **headers},
        content=content if isinstance(content, str) else json.dumps(content),
    )


def test_a_structured_event_is_accepted(gateway: Gateway) -> None:
    answer = send(gateway, event(session()), "application/cloudevents+json; charset=UTF-8")
    assert answer.status_code == 202, answer.text
    assert gateway.arrived() == [SESSION]


def test_a_binary_event_has_its_attributes_in_headers(gateway: Gateway) -> None:
    headers = {
        "ce-specversion": "1.0",
        "ce-id": "1",
        "ce-source": "/acme",
        "ce-type": "com.acme.cdr",
    }
    answer = send(gateway, cdr(), "application/json", **headers)
    assert answer.status_code == 202, answer.text
    (record,) = gateway.arrived()
    assert (record["session_id"], record["source"]) == ("DE*ABC*CDR-1", "test")


def test_a_batch_has_a_result_for_each_event(gateway: Gateway) -> None:
    batch = [
        event(session(session_id="a")),
        event({}, type="com.acme.unknown"),
        event(session(session_id="b", energy_wh=-1)),
        event(cdr(), type="com.acme.cdr"),
        event(session(session_id="c", energy_kwh=1)),
        {"specversion": "1.0"},
    ]
    answer = send(gateway, batch, "application/cloudevents-batch+json")
    assert answer.status_code == 207, answer.text
    told = [
        (result["at"], result["status"], result.get("code"), result.get("path"))
        for result in answer.json()["results"]
    ]
    assert told == [
        (0, "accepted", None, None),
        (1, "refused", "row_unmapped", "$[1].type"),
        (2, "refused", "energy_out_of_range", "$"),
        (3, "accepted", None, None),
        (4, "refused", "row_bad_value", "$[4].data"),
        (5, "refused", "row_missing_value", "$[5].id"),
    ]
    assert {record["session_id"] for record in gateway.arrived()} == {"a", "DE*ABC*CDR-1"}


def test_an_event_may_hold_several_documents(gateway: Gateway) -> None:
    data = {"data": [tad(), tad(activityId="activity-2"), tad(mode="Rail")]}
    answer = send(gateway, event(data, type="com.acme.tads"), "application/cloudevents+json")
    assert answer.status_code == 207
    assert [(one["at"], one["status"]) for one in answer.json()["results"]] == [
        (0, "accepted"),
        (0, "accepted"),
        (0, "refused"),
    ]
    records = gateway.arrived("freight-trips")
    assert {record["trip_id"] for record in records} == {"activity-1", "activity-2"}
    assert {record["account_id"] for record in records} == {"carrier-7"}


def test_an_event_that_comes_again_is_not_sent_again(gateway: Gateway) -> None:
    for status in ("accepted", "repeated"):
        answer = send(gateway, event(session()), "application/cloudevents+json")
        assert [one["status"] for one in answer.json()["results"]] == [status]
    assert len(gateway.arrived()) == 1


def test_half_of_a_character_is_refused(gateway: Gateway) -> None:
    for name in ("session_id", "account_id", "evse_id", "source"):
        answer = send(gateway, event(session(**{name: "\ud800"})), "application/cloudevents+json")
        assert answer.status_code == 422, answer.text
    assert gateway.arrived() == []


@pytest.mark.parametrize(
    ("content", "media", "status"),
    [
        ("{", "application/cloudevents+json", 422),
        ("{}", "application/cloudevents+json", 422),
        ("<event/>", "application/cloudevents+xml", 422),
        ("[]", "application/cloudevents-batch+json", 422),
        ("{}", "application/json", 422),
    ],
)
def test_what_is_no_event(gateway: Gateway, content: str, media: str, status: int) -> None:
    answer = send(gateway, content, media)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert gateway.arrived() == []
