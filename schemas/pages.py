"""A page for each topic, in Markdown, for who writes to it or reads it.

    python -m schemas.pages docs/topics

writes them all. They are made of the catalogue as `asyncapi` is, and say the same for people.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from schemas.asyncapi import versions_of
from schemas.catalogue import AvroSchema, Catalogue, Topic, shipped
from schemas.fields import Field, fields_of
from schemas.framing import FRAME_BYTES
from schemas.plain import Plain, plain_examples

MADE: Final = "<!-- Made by `make pages` from the catalogue; edit schemas/ instead. -->"

SOURCE_KEY: Final = "the source record's key"
DAY_MS: Final = 86_400_000
_UNIT: Final = re.compile(r" \[([^\]]+)\]")
_HEX_COLUMNS: Final = 64


def page(topic: Topic, catalogue: Catalogue, examples: Mapping[str, Plain]) -> str:
    """Return the page of a topic.

    Args:
        topic: The topic.
        catalogue: The catalogue it is of.
        examples: An example of each record in its current version, by record.
    """
    parts = [f"# {topic.name}", MADE, topic.doc, _table(("", ""), _facts(topic, catalogue))]
    if topic.record is not None:
        newest = catalogue.newest(topic.record)
        parts += ["## Fields", json.loads(newest.text)["doc"], _fields(newest)]
    parts += ["## Headers", _headers(topic)]
    if topic.record is not None and topic.record in examples:
        parts += ["## Example", *_example(examples[topic.record])]
    return "\n\n".join(parts) + "\n"


def pages(catalogue: Catalogue, examples: Mapping[str, Plain]) -> dict[str, str]:
    """Return every page by the name of its file."""
    made = catalogue.topics.values()
    return {f"{topic.name}.md": page(topic, catalogue, examples) for topic in made}


def _facts(topic: Topic, catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    ids = ", ".join(_schema(schema) for schema in versions_of(topic, catalogue))
    yield "value", f"{FRAME_BYTES} bytes of frame, then Avro: {ids}" if ids else "raw bytes"
    yield "key", topic.key
    yield "partitions", f"{topic.partitions}; {_home(topic)}"
    yield "kept", _kept(topic)
    yield "written by", topic.writer


def _schema(schema: AvroSchema) -> str:
    name = f"{schema.record}.v{schema.version}"
    return f"[`{name}`](../../schemas/avro/{name}.avsc), schema id {schema.schema_id}"


def _home(topic: Topic) -> str:
    if topic.key == SOURCE_KEY:
        return "a record lies where its source record did; a row of a file by murmur2 of its key"
    return "a record lies where murmur2 of its key in UTF-8 says, as the Java client has it"


def _kept(topic: Topic) -> str:
    match topic.retention_ms:
        case None:
            return "the latest record of each key, by compaction"
        case -1:
            return "for ever"
        case kept_ms:
            return f"{kept_ms / DAY_MS:g} days"


def _fields(schema: AvroSchema) -> str:
    rows = (
        (f"`{field.name}`", _kind(field), _unit(field), _UNIT.sub("", field.doc))
        for field in fields_of(schema)
    )
    return _table(("field", "type", "unit", "meaning"), rows)


def _kind(field: Field) -> str:
    match field.kind:
        case "enum":
            kind = "enum: " + ", ".join(f"`{symbol}`" for symbol in field.symbols)
        case "instant":
            kind = "timestamp-millis (long)"
        case kind:
            pass
    if field.nullable:
        kind += ", or null"
    return f"{kind}; default {json.dumps(field.default)}" if field.has_default else kind


def _unit(field: Field) -> str:
    if field.kind == "instant":
        return "ms since 1970, UTC"
    found = _UNIT.search(field.doc)
    return found[1] if found else ""


def _headers(topic: Topic) -> str:
    if not topic.headers:
        return "None."
    rows = (
        (f"`{header.name}`", "always" if header.always else "sometimes", header.doc)
        for header in topic.headers
    )
    return _table(("header", "there", "meaning"), rows)


def _example(example: Plain) -> Iterator[str]:
    yield f"{example.why} Bytes are shown in hexadecimal."
    yield f"```json\n{json.dumps(dict(example.value), ensure_ascii=False, indent=2)}\n```"
    yield "On the wire, frame and record:"
    head, body = example.wire[:FRAME_BYTES].hex(), example.wire[FRAME_BYTES:].hex()
    lines = [body[at : at + _HEX_COLUMNS] for at in range(0, len(body), _HEX_COLUMNS)]
    yield "\n".join(("```", head, *lines, "```"))


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = (heads, ["---"] * len(heads), *rows)
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def write_pages(folder: Path) -> None:
    """Write the pages of the shipped catalogue into a folder, and remove those of topics gone."""
    made = pages(shipped(), plain_examples())
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.md"):
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        folder.joinpath(name).write_text(text, "utf-8")


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
