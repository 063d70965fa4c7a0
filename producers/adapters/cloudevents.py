"""CloudEvents 1.0: envelopes of the other documents, by HTTP or Kafka, structured or binary.

An event is identified by `source` and `id` together; `Event.identity` is for who keeps from taking
one in twice. `time` is when it happened, `recordedtime` when it was recorded. In binary mode the
attributes are headers: `ce-` over HTTP, percent-encoded, whatever the case of their names; `ce_` on
Kafka, in UTF-8. A batch is HTTP's alone. Which adapter takes an event is told by its `type`.

Source: CloudEvents 1.0.2, JSON format, HTTP and Kafka protocol bindings.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn
from urllib.parse import unquote

from producers.adapters.document import DocumentError, Node
from producers.adapters.outcome import Outcome, Refused

REQUIRED: Final = ("specversion", "id", "source", "type")
VERSION: Final = "1.0"
STRUCTURED: Final = "application/cloudevents"
BATCH: Final = "application/cloudevents-batch"
_NAME: Final = re.compile(r"[a-z0-9]{1,64}")
_JSON: Final = re.compile(r"(application|text)/(.+\+)?json", re.IGNORECASE)
_DATA_MEMBERS: Final = ("data", "data_base64")

Adapter = Callable[[Node], Outcome | Sequence[Outcome]]


@dataclass(frozen=True, slots=True)
class Event:
    """An event out of its envelope.

    Attributes:
        attributes: All of them as text, extensions among them.
        data: Parsed where its content type is JSON, else text or bytes; None where there is none.
        path: Where the data stands in the document, which a batch is an array of.
    """

    attributes: Mapping[str, str]
    data: object
    path: str = "$.data"

    @property
    def identity(self) -> tuple[str, str]:
        """What tells it from all other events."""
        return self.attributes["source"], self.attributes["id"]


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _parsed(text: str | bytes, path: str) -> object:
    try:
        return json.loads(text, parse_constant=_constant)
    except (ValueError, RecursionError):
        raise DocumentError("row_bad_value", path, "is not JSON") from None


def _media(content_type: str) -> tuple[str, str]:
    """Return media type and charset of a content type.

    >>> _media('application/cloudevents+json; charset="UTF-8"')
    ('application/cloudevents+json', 'utf-8')
    """
    media, *parameters = content_type.split(";")
    charset = "utf-8"
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip('"').lower()
    return media.strip().lower(), charset


def _text(body: bytes, charset: str, path: str) -> str:
    try:
        return body.decode(charset)
    except (LookupError, ValueError):
        raise DocumentError(
            "row_bad_value", path, f"is no text of charset {charset[:40]!r}"
        ) from None


def _data(body: bytes, content_type: str | None, path: str) -> object:
    """Return data as its content type says; bytes where it is no text."""
    media, charset = _media(content_type or "application/json")
    if _JSON.fullmatch(media):
        return _parsed(_text(body, charset, path), path)
    return _text(body, charset, path) if media.startswith("text/") else body


def _checked(attributes: dict[str, str], data: object, at: Node) -> Event:
    """Return the event of these attributes.

    Raises:
        DocumentError: One is missing or not allowed, or the version is another.
    """
    node = Node(attributes, at.path)
    for name in REQUIRED:
        node.need(name).text()
    if attributes["specversion"] != VERSION:
        node.need("specversion").wrong(f"is not the version {VERSION}")
    if (time := node.get("time")) is not None:
        time.instant()
    for name in attributes:
        if not _NAME.fullmatch(name):
            node.refuse("row_bad_value", "an attribute has a name of others than a-z and 0-9")
    return Event(attributes, data, f"{at.path}.data")


def _structured(node: Node) -> Event:
    """Return the event of an envelope in JSON."""
    if not isinstance(node.value, Mapping):
        node.refuse("row_bad_value", "is not an object")
    attributes: dict[str, str] = {}
    for name, value in node.value.items():
        if name in _DATA_MEMBERS or value is None:
            continue
        member = Node(value, f"{node.path}.{name}" if _NAME.fullmatch(name) else node.path)
        if isinstance(value, bool | int):
            attributes[name] = member.text_of_number()
            continue
        member.text()
        attributes[name] = str(value)  # Space around it is part of it.
    data, packed = node.value.get("data"), node.get("data_base64")
    if packed is not None:
        if data is not None:
            packed.refuse("row_bad_value", "stands beside data")
        try:
            body = base64.b64decode(packed.text(), validate=True)
        except (binascii.Error, ValueError):
            packed.refuse("row_bad_value", "is not base64")
        data = _data(body, attributes.get("datacontenttype"), packed.path)
    return _checked(attributes, data, node)


def _binary(attributes: dict[str, str], body: bytes | None, content_type: str | None) -> Event:
    """Return the event whose attributes were headers."""
    if content_type is not None:
        attributes["datacontenttype"] = content_type
    data = _data(body, content_type, "$.data") if body else None
    return _checked(attributes, data, Node(None))


def _refused(wrong: DocumentError) -> Refused:
    return Refused(wrong.code, wrong.path, wrong.reason)


def _envelope(body: bytes, media: str, charset: str) -> Node:
    """Return what a body in structured or batched mode holds.

    Raises:
        DocumentError: It is not JSON; Avro and protobuf are envelopes, too, but not read here.
    """
    if not media.endswith("+json"):
        raise DocumentError("row_unmapped", "$", f"the event format {media[:80]!r} is not JSON")
    return Node(_parsed(_text(body, charset, "$"), "$"))


def from_http(headers: Iterable[tuple[str, str]], body: bytes) -> list[Event | Refused]:
    """Return the events of an HTTP request: one, or as many as a batch has."""
    found = {name.strip().lower(): value.strip() for name, value in headers}
    content_type = found.get("content-type")
    media, charset = _media(content_type or "")
    try:
        if media.startswith(BATCH):
            return [_one(node) for node in _envelope(body, media, charset).items()]
        if media.startswith(STRUCTURED):
            return [_one(_envelope(body, media, charset))]
        attributes = {
            name.removeprefix("ce-"): _header(value)
            for name, value in found.items()
            if name.startswith("ce-")
        }
        return [_binary(attributes, body, content_type)]
    except UnicodeDecodeError:
        return [Refused("row_bad_value", "$", "a header is not percent-encoded UTF-8")]
    except DocumentError as wrong:
        return [_refused(wrong)]


def _header(value: str) -> str:
    """Return a header's value without quotes (RFC 7230) and percent-encoding."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    return unquote(value, errors="strict")


def _one(node: Node) -> Event | Refused:
    try:
        return _structured(node)
    except DocumentError as wrong:
        return _refused(wrong)


def from_kafka(headers: Iterable[tuple[str, bytes]], value: bytes | None) -> Event | Refused:
    """Return the event of a Kafka message; without a value it has attributes at most."""
    try:
        found = {name: _text(text, "utf-8", "$") for name, text in headers}
        lowered = {name.lower(): text for name, text in found.items()}
        content_type = lowered.get("content-type")
        media, charset = _media(content_type or "")
        if media.startswith(BATCH):
            raise DocumentError("row_unmapped", "$", "Kafka's binding has no batch mode")
        if media.startswith(STRUCTURED):
            return _structured(_envelope(value or b"", media, charset))
        attributes = {
            name.removeprefix("ce_"): text for name, text in found.items() if name.startswith("ce_")
        }
        return _binary(attributes, value, content_type)
    except DocumentError as wrong:
        return _refused(wrong)


def outcomes(event: Event | Refused, adapters: Mapping[str, Adapter]) -> Sequence[Outcome]:
    """Return what the adapter for its type makes of an event.

    Args:
        event: As `from_http` and `from_kafka` give it.
        adapters: By type, such as `{"com.example.cdr": lambda data: ocpi.cdr(data, sender)}`. The
            data knows where in the event it stands.
    """
    if isinstance(event, Refused):
        return [event]
    adapt = adapters.get(event.attributes["type"])
    if adapt is None:
        at = event.path.removesuffix(".data")
        return [Refused("row_unmapped", f"{at}.type", "no adapter takes events of this type")]
    found = adapt(Node(event.data, event.path))
    return found if isinstance(found, Sequence) else [found]
