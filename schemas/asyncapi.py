"""The AsyncAPI 3.0 document: what goes over the topics, in words that tools of any language read.

It is made of the catalogue, so it cannot say anything else: a channel for each topic, a message for
each version of its record, with the Avro schema as payload and the frame, key and headers around
it. It speaks as Carbonflow does: `receive` is what it reads, `send` is what it writes.

Source: AsyncAPI 3.0.0, and the Kafka bindings 0.5.0 of AsyncAPI.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from schemas.catalogue import LATE_OF, AvroSchema, Catalogue, Topic
from schemas.framing import FRAME_BYTES, frame
from schemas.plain import Plain

BINDING: Final = "0.5.0"
SCHEMA_FORMAT: Final = "application/vnd.apache.avro;version=1.9.0"
AVRO: Final = "avro/binary"
RAW: Final = "application/octet-stream"
WORKER: Final = "worker"

ABOUT: Final = f"""\
Streaming carbon accounting over Kafka.

A value is {FRAME_BYTES} bytes of frame and one record in Avro's binary encoding: a zero byte, the \
id of the schema as four bytes (big-endian), then the record, as Confluent's serialisers write it. \
The ids are those of `x-schema-id`; they are fixed, so no schema registry is needed. One that is \
used must know the schemas under these ids.

A key is text in UTF-8. Its partition is murmur2 of its bytes, as the Java client has it; other \
clients may have to be told so. All topics but those of one partition must have the same number \
of partitions.

Units are the last part of a name: Wh, m, kg, mg. Instants are milliseconds since 1970, UTC."""

_PREFIX: Final = "What the deployment puts before its topics, CARBONFLOW_PREFIX there."


def document(
    catalogue: Catalogue, examples: Mapping[str, Plain], *, server: str, version: str
) -> dict[str, Any]:
    """Return the document, of plain values that JSON and YAML can write.

    Args:
        catalogue: What there is.
        examples: An example of each record in its current version, by record.
        server: Where a broker listens, as host:port.
        version: Version of the release that the catalogue is of.
    """
    topics = catalogue.topics.values()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Carbonflow",
            "version": version,
            "description": ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": AVRO,
        "servers": {"kafka": {"host": server, "protocol": "kafka"}},
        "channels": {topic.name: _channel(topic, catalogue, examples) for topic in topics},
        "operations": {
            f"{action}-{topic.name}": {
                "action": action,
                "channel": {"$ref": f"#/channels/{topic.name}"},
                "summary": f"Written by {topic.writer}.",
            }
            for topic in topics
            for action in _actions(topic)
        },
        "components": {
            "parameters": {"prefix": {"description": _PREFIX, "default": ""}},
            "schemas": {
                _named(schema): {"schemaFormat": SCHEMA_FORMAT, "schema": json.loads(schema.text)}
                for schema in catalogue.schemas.values()
            },
        },
    }


def versions_of(topic: Topic, catalogue: Catalogue) -> tuple[AvroSchema, ...]:
    """Return every version of its record that a topic may hold; none where it holds raw bytes."""
    schemas = catalogue.schemas.values()
    return tuple(schema for schema in schemas if schema.record == topic.record)


def _channel(topic: Topic, catalogue: Catalogue, examples: Mapping[str, Plain]) -> dict[str, Any]:
    configuration: dict[str, Any] = {"cleanup.policy": topic.cleanup.split(",")}
    if topic.retention_ms is not None:
        configuration["retention.ms"] = topic.retention_ms
    return {
        "address": f"{{prefix}}{topic.name}",
        "description": topic.doc,
        "parameters": {"prefix": {"$ref": "#/components/parameters/prefix"}},
        "messages": dict(_messages(topic, catalogue, examples)),
        "bindings": {
            "kafka": {
                "partitions": topic.partitions,
                "topicConfiguration": configuration,
                "bindingVersion": BINDING,
            }
        },
    }


def _messages(
    topic: Topic, catalogue: Catalogue, examples: Mapping[str, Plain]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and message of each version of a record, or of the raw bytes of a topic."""
    around: dict[str, Any] = {"bindings": {"kafka": _binding(topic)}}
    if topic.headers:
        around["headers"] = _headers(topic)
    if topic.record is None:
        payload = {"type": "string", "format": "binary"}
        yield topic.name, {"contentType": RAW, "payload": payload, **around}
        return
    for schema in versions_of(topic, catalogue):
        tree = json.loads(schema.text)
        message = {
            "title": tree["name"],
            "summary": tree["doc"],
            "contentType": AVRO,
            "payload": {"$ref": f"#/components/schemas/{_named(schema)}"},
            **around,
            "x-schema-id": schema.schema_id,
            "x-frame": frame(schema.schema_id).hex(),
        }
        example = examples.get(schema.record)
        if example is not None and schema == catalogue.newest(schema.record):
            shown = {"name": "plain", "summary": example.why, "payload": dict(example.value)}
            message |= {"examples": [shown], "x-example-hex": example.wire.hex()}
        yield _named(schema), message


def _headers(topic: Topic) -> dict[str, Any]:
    described: dict[str, Any] = {
        "type": "object",
        "properties": {
            header.name: {"type": "string", "description": header.doc} for header in topic.headers
        },
    }
    if always := [header.name for header in topic.headers if header.always]:
        described["required"] = always
    return described


def _binding(topic: Topic) -> dict[str, Any]:
    binding: dict[str, Any] = {
        "key": {"type": "string", "description": topic.key},
        "bindingVersion": BINDING,
    }
    if topic.record is not None:
        binding |= {"schemaIdLocation": "payload", "schemaIdPayloadEncoding": "confluent"}
    return binding


def _actions(topic: Topic) -> Iterable[str]:
    """Yield what Carbonflow does with a topic; a late lane is written and read by workers."""
    sends = WORKER in topic.writer.split(", ")
    if not sends or topic.name in LATE_OF.values():
        yield "receive"
    if sends:
        yield "send"


def _named(schema: AvroSchema) -> str:
    return f"{schema.record}.v{schema.version}"
