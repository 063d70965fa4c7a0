"""The AsyncAPI document is valid, complete, and says what is on the wire.

That it is valid says the official JSON schema of AsyncAPI 3.0.0, which npm brings once.
"""

import io
import json
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import fastavro
import jsonschema_rs
import pytest

from schemas.asyncapi import document
from schemas.catalogue import TOPICS, AvroSchema, shipped
from schemas.fields import fields_of
from schemas.framing import FRAME_BYTES
from schemas.plain import plain_examples
from tests.toolchains import npm_ci

SPECS: Final = Path(__file__).with_name("specs")
DOCUMENT: Final = document(shipped(), plain_examples(), server="kafka:9092", version="1")
FRAMED: Final = [(name, topic.record) for name, topic in TOPICS.items() if topic.record]

Path_ = tuple[str | int, ...]


@pytest.fixture(scope="module")
def official() -> jsonschema_rs.Validator:
    """The official schema."""
    path = npm_ci(SPECS) / "@asyncapi/specs/schemas/3.0.0.json"
    return jsonschema_rs.validator_for(json.loads(path.read_text("utf-8")))


def changed(path: Path_, value: object) -> dict[str, Any]:
    """Return the document with another value at one place."""
    made: Any = deepcopy(DOCUMENT)
    node = made
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    return dict(made)


def found(reference: dict[str, str]) -> Any:
    """Return what a reference leads to."""
    root, *steps = reference["$ref"].split("/")
    assert root == "#"
    node: Any = DOCUMENT
    for step in steps:
        node = node[step]
    return node


def message_of(topic: str) -> dict[str, Any]:
    """Return the only message of a topic."""
    (message,) = DOCUMENT["channels"][topic]["messages"].values()
    return dict(message)


def test_it_is_valid(official: jsonschema_rs.Validator) -> None:
    assert [error.message for error in official.iter_errors(DOCUMENT)] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("asyncapi",), "2.6.0"),
        (("operations", "send-transfers", "action"), "publish"),
        (("channels", "transfers", "bindings", "kafka", "partitions"), "4"),
        (
            ("channels", "transfers", "bindings", "kafka", "topicConfiguration"),
            {"retention.ms": -2},
        ),
        (("components", "schemas", "transfer.v1", "schema"), {"type": "record"}),
    ],
    ids=lambda each: "/".join(each) if isinstance(each, tuple) else "",
)
def test_the_official_schema_sees_what_is_wrong(
    official: jsonschema_rs.Validator, path: Path_, value: object
) -> None:
    assert not official.is_valid(changed(path, value))


def test_every_topic_is_a_channel_with_its_bindings() -> None:
    channels = DOCUMENT["channels"]
    assert list(channels) == list(TOPICS)
    for name, topic in TOPICS.items():
        binding = channels[name]["bindings"]["kafka"]
        assert binding["partitions"] == topic.partitions
        configured = {
            key: ",".join(value) if isinstance(value, list) else str(value)
            for key, value in binding["topicConfiguration"].items()
        }
        assert configured == topic.config
        assert channels[name]["address"] == "{prefix}" + name


def test_every_topic_is_read_or_written_as_its_writer_says() -> None:
    said = {
        (operation["action"], operation["channel"]["$ref"].removeprefix("#/channels/"))
        for operation in DOCUMENT["operations"].values()
    }
    assert said == {
        ("receive", "charging-sessions"),
        ("receive", "freight-trips"),
        ("receive", "emission-factors"),
        ("receive", "late-charging-sessions"),
        ("receive", "late-freight-trips"),
        ("send", "late-charging-sessions"),
        ("send", "late-freight-trips"),
        ("send", "transfers"),
        ("send", "account-balances"),
        ("send", "refusals"),
    }


@pytest.mark.parametrize(("topic", "record"), FRAMED)
def test_a_payload_is_the_schema_that_writes_the_record(topic: str, record: str) -> None:
    payload = found(message_of(topic)["payload"])
    assert payload["schemaFormat"] == "application/vnd.apache.avro;version=1.9.0"
    assert payload["schema"] == json.loads(shipped().newest(record).text)


@pytest.mark.parametrize(("topic", "record"), FRAMED)
def test_an_example_is_read_by_what_the_document_says_alone(topic: str, record: str) -> None:
    message = message_of(topic)
    wire = bytes.fromhex(message["x-example-hex"])
    assert wire[:FRAME_BYTES].hex() == message["x-frame"]
    assert wire[:FRAME_BYTES] == b"\0" + message["x-schema-id"].to_bytes(4, "big")
    stream = io.BytesIO(wire[FRAME_BYTES:])
    schema = fastavro.parse_schema(found(message["payload"])["schema"])
    read: Any = fastavro.schemaless_reader(stream, schema, None)
    (example,) = message["examples"]
    for field in fields_of(shipped().newest(record)):
        shown = example["payload"][field.name]
        match field.kind:
            case "instant":
                assert read[field.name].timestamp() * 1000 == shown
            case "bytes":
                assert read[field.name].hex() == shown
            case _:
                assert read[field.name] == shown
    assert stream.read() == b""


@pytest.mark.parametrize("topic", TOPICS)
def test_keys_and_headers_are_described(topic: str) -> None:
    message = message_of(topic)
    assert message["bindings"]["kafka"]["key"]["description"] == TOPICS[topic].key
    headers = message.get("headers", {"properties": {}})
    assert list(headers["properties"]) == [header.name for header in TOPICS[topic].headers]
    always = {header.name for header in TOPICS[topic].headers if header.always}
    assert set(headers.get("required", ())) == always


def test_raw_bytes_have_no_frame() -> None:
    message = message_of("refusals")
    assert message["contentType"] == "application/octet-stream"
    assert not {"x-frame", "x-schema-id"} & message.keys()


def test_a_second_version_is_a_second_message(official: jsonschema_rs.Validator) -> None:
    text = shipped().newest("transfer").text
    grown = shipped().extended(
        AvroSchema(record="transfer", version=2, schema_id=99, text=text), current=True
    )
    made = document(grown, plain_examples(), server="kafka:9092", version="1")
    messages = made["channels"]["transfers"]["messages"]
    assert {name: message["x-schema-id"] for name, message in messages.items()} == {
        "transfer.v1": 4,
        "transfer.v2": 99,
    }
    assert official.is_valid(made)
