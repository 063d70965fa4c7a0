"""CloudEvents' conformance cases give their attributes and data; envelopes of documents open."""

import base64
import json
import re
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.adapters import ileap
from producers.adapters.cloudevents import Event, from_http, from_kafka, outcomes
from producers.adapters.document import Node
from producers.adapters.outcome import Refused
from producers.adapters.tcec import charge_order
from tests.producers.adapters.documents import (
    ANYTHING,
    DATA,
    check_any,
    damaged,
    example,
    fields,
    from_schema,
    needs_data,
    refused,
    sender,
)
from tests.producers.adapters.test_ileap import tad

FOLDER = DATA / "conf-cloudevents"


def scenarios(binding: str) -> Iterator[str]:
    """Yield the conformance scenarios of a binding, one for each content type of an outline."""
    text = (FOLDER / f"{binding}-protocol-binding.feature").read_text("utf-8")
    for scenario in re.split(r"\n    Scenario(?: Outline)?:", text)[1:]:
        body, _, examples = scenario.partition("Examples:")
        for kind in re.findall(r"\| *(application/.*?) *\|", examples) or [""]:
            yield body.replace("<contentType>", kind)


def quoted(scenario: str) -> list[str]:
    """Return the texts that a scenario quotes."""
    return [textwrap.dedent(one) for one in re.findall(r'"""\n(.*?)\n *"""', scenario, re.DOTALL)]


def table(text: str) -> dict[str, str]:
    """Return a table of keys and values."""
    rows = re.findall(r"\| *(\S+) *\| *(.*?) *\|", text)
    return {key: value for key, value in rows if key != "key"}


def check(event: Event | Refused, scenario: str) -> None:
    """Check an event against the end of its scenario."""
    assert isinstance(event, Event), event
    assert event.attributes == table(scenario[scenario.index("Then the attributes") :])
    assert event.data == json.loads(quoted(scenario)[-1])


@needs_data
def test_the_conformance_cases_of_http() -> None:
    seen = 0
    for scenario in scenarios("http"):
        head, _, body = quoted(scenario)[0].partition("\n\n")
        headers = [
            (name, text) for line in head.split("\n")[1:] for name, _, text in [line.partition(":")]
        ]
        [event] = from_http(headers, body.encode())
        check(event, scenario)
        seen += 1
    assert seen == 4


@needs_data
def test_the_conformance_cases_of_kafka() -> None:
    seen = 0
    for scenario in scenarios("kafka"):
        headers = table(
            scenario[scenario.index("And Kafka headers") : scenario.index("When parsed")]
        )
        encoded = [(name, text.encode()) for name, text in headers.items()]
        check(from_kafka(encoded, quoted(scenario)[0].encode()), scenario)
        seen += 1
    assert seen == 3


@needs_data
@pytest.mark.parametrize("name", ["v1.yaml", "v1_minimum.yaml"])
def test_the_conformance_events_are_the_same_in_both_modes(name: str) -> None:
    for case in yaml.safe_load_all((FOLDER / name).read_text("utf-8")):
        given_ = {
            key: value for key, value in case["ContextAttributes"].items() if key != "Extensions"
        }
        given_ |= case["ContextAttributes"].get("Extensions", {})
        attributes = {
            key: value.isoformat().replace("+00:00", "Z") if key == "time" else str(value)
            for key, value in given_.items()
        }
        kind = attributes.get("datacontenttype", "application/json")
        data = case["Data"].strip()
        headers = [(f"ce_{key}", value.encode()) for key, value in attributes.items()]
        binary = from_kafka([*headers, ("content-type", kind.encode())], data.encode())
        is_json = "json" in kind
        whole = attributes | {"data": json.loads(data) if is_json else data}
        body = json.dumps(whole).encode()
        structured = from_kafka([("content-type", b"application/cloudevents+json")], body)
        assert isinstance(binary, Event)
        assert isinstance(structured, Event)
        if kind.startswith("application/xml"):
            assert binary.data == data.encode()
        else:
            assert binary.data == structured.data
        assert binary.attributes == {**structured.attributes, "datacontenttype": kind}


def envelope(data: Any, **changes: Any) -> dict[str, Any]:
    """Return an event in JSON."""
    attributes = {"specversion": "1.0", "id": "1", "source": "/me", "type": "tad"}
    return attributes | {"data": data} | changes


def structured(body: Any) -> Event | Refused:
    """Return the one event of a structured request."""
    [event] = from_http(
        [("Content-Type", "application/cloudevents+json")], json.dumps(body).encode()
    )
    return event


ADAPTERS = {"tad": lambda data: ileap.tad(data, sender(), "carrier")}


def test_an_event_becomes_what_the_adapter_of_its_type_makes_of_its_data() -> None:
    [outcome] = outcomes(structured(envelope(tad())), ADAPTERS)
    assert fields(outcome) == fields(ileap.tad(tad(), sender(), "carrier"))
    [bad] = outcomes(structured(envelope(tad(mass="x"))), ADAPTERS)
    assert refused(bad) == ("row_bad_value", "$.data.mass")
    [unknown] = outcomes(structured(envelope(tad(), type="other")), ADAPTERS)
    assert refused(unknown) == ("row_unmapped", "$.type")


def test_an_adapter_may_give_several_outcomes() -> None:
    adapters = {"tad": lambda data: ileap.tads(data, sender(), "carrier")}
    found = outcomes(structured(envelope({"data": [tad(), tad(mode="Sea")]})), adapters)
    assert [refused(one) for one in found[1:]] == [("row_unmapped", "$.data.data[1].mode")]


def test_a_batch_of_http_has_an_outcome_for_each_event() -> None:
    body = json.dumps([envelope(tad()), {"id": "2"}, envelope({}, id="3")]).encode()
    events = from_http([("content-type", "application/cloudevents-batch+json")], body)
    found = [one for event in events for one in outcomes(event, ADAPTERS)]
    assert fields(found[0])["trip_id"] == "activity-1"
    assert refused(found[1]) == ("row_missing_value", "$[1].specversion")
    assert refused(found[2]) == ("row_missing_value", "$[2].data.activityId")
    kafka = from_kafka([("content-type", b"application/cloudevents-batch+json")], body)
    assert isinstance(kafka, Refused)


def test_source_and_id_identify_an_event() -> None:
    event = structured(envelope(None, recordedtime="2024-05-01T00:00:00Z", sequence=7))
    assert isinstance(event, Event)
    assert event.identity == ("/me", "1")
    assert event.attributes["recordedtime"] == "2024-05-01T00:00:00Z"
    assert event.attributes["sequence"] == "7"


def test_headers_of_http_are_percent_encoded_and_maybe_quoted() -> None:
    names = {"specversion": "1.0", "id": '"a\\"b"', "source": "/%E4%B8%AD", "type": "t"}
    [event] = from_http([(f"Ce-{key}", value) for key, value in names.items()], b"{}")
    assert isinstance(event, Event)
    assert event.identity == ("/中", 'a"b')
    [bad] = from_http([("ce-id", "%ff")], b"{}")
    assert isinstance(bad, Refused)


def test_data_may_be_base64() -> None:
    packed = base64.b64encode(json.dumps(tad()).encode()).decode()
    body = envelope(None, data_base64=packed)
    [outcome] = outcomes(structured(body), ADAPTERS)
    assert fields(outcome)["trip_id"] == "activity-1"


def test_a_message_without_a_value_has_attributes_only() -> None:
    headers = [(f"ce_{key}", b"1.0") for key in ("specversion", "id", "source", "type")]
    event = from_kafka(headers, None)
    assert isinstance(event, Event)
    assert event.data is None
    assert isinstance(from_kafka([], None), Refused)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"specversion": "0.3"}, ("row_bad_value", "$.specversion")),
        ({"id": ""}, ("row_missing_value", "$.id")),
        ({"source": None}, ("row_missing_value", "$.source")),
        ({"time": "noon"}, ("row_bad_value", "$.time")),
        ({"Upper": "x"}, ("row_bad_value", "$")),
        ({"data_base64": "e30="}, ("row_bad_value", "$.data_base64")),
        ({"data": None, "data_base64": "?"}, ("row_bad_value", "$.data_base64")),
        ({"nested": {}}, ("row_bad_value", "$.nested")),
    ],
)
def test_an_envelope_that_is_none_is_refused_where_it_stands(
    changes: dict[str, Any], expected: tuple[str, str]
) -> None:
    event = structured(envelope({}) | changes)
    assert isinstance(event, Refused)
    assert refused(event) == expected


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/cloudevents+json", b"{"),
        ("application/cloudevents+json", b"[" * 100_000),
        ("application/cloudevents+json", b"[]"),
        ("application/cloudevents+json", b'{"id": NaN}'),
        ("application/cloudevents+json; charset=klingon", b"{}"),
        ("application/cloudevents+avro", b"\x00"),
        ("application/cloudevents-batch+json", b"{}"),
        ("application/json", b"\xff"),
        ("", b""),
    ],
)
def test_bodies_that_are_no_events_are_refused(kind: str, body: bytes) -> None:
    for event in (
        *from_http([("content-type", kind)], body),
        from_kafka([("content-type", kind.encode())], body),
    ):
        check_any(event) if isinstance(event, Refused) else pytest.fail(str(event))


@needs_data
@settings(max_examples=60)
@given(st.data())
def test_any_event_that_the_schema_allows_becomes_records_or_refusals(data: st.DataObject) -> None:
    document = data.draw(from_schema(example("conf-cloudevents/cloudevents.json")))
    for changes in ({}, {"specversion": "1.0", "type": "tad", "time": None}):
        event = structured(document | changes)
        for outcome in outcomes(event, ADAPTERS):
            check_any(outcome)


@given(damaged(envelope(tad())) | ANYTHING)
def test_any_document_becomes_records_or_refusals(document: Any) -> None:
    adapters = {"tad": lambda node: charge_order(node, sender(), {})} | ADAPTERS
    for outcome in outcomes(structured(document), adapters):
        check_any(outcome)


@given(
    st.lists(
        st.tuples(st.text() | st.sampled_from(["ce_id", "ce-id", "content-type"]), st.binary())
    ),
    st.binary(),
)
def test_any_message_is_an_event_or_a_refusal(
    headers: list[tuple[str, bytes]], body: bytes
) -> None:
    texts = [(name, value.decode("latin-1")) for name, value in headers]
    for event in (*from_http(texts, body), from_kafka(headers, body)):
        if isinstance(event, Refused):
            check_any(event)
        else:
            assert all(event.identity)
            assert Node(event.data).path == "$"
