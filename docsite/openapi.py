"""A page for people of an OpenAPI document: its routes, what they take and answer, and the schemas.

The document itself lies beside the page, for tools that make clients.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from docsite.written import MADE, table

Document: TypeAlias = Mapping[str, Any]

_METHODS: Final = ("get", "put", "post", "delete", "patch")
_PLAIN: Final = "application/json"
_WRONG: Final = "400"
_SILENT: Final = "Successful Response"


@dataclass(frozen=True, slots=True)
class HttpPage:
    """Which page is made of a document.

    Attributes:
        title: Its heading.
        file: What the document is called in docs/openapi.
        about: A sentence that leads to pages about it.
    """

    title: str
    file: str
    about: str


def http_page(page: HttpPage, document: Document) -> str:
    """Return the page of a document."""
    link = f"For tools: [`{page.file}`](openapi/{page.file}), OpenAPI {document['openapi']}."
    parts = [f"# {page.title}", MADE, document["info"]["description"].strip(), page.about, link]
    for path, methods in document["paths"].items():
        for method in _METHODS:
            if method in methods:
                parts += _route(method.upper(), path, methods[method])
    parts.append("## Schemas")
    for name, schema in sorted(document["components"]["schemas"].items()):
        parts += _schema(name, schema)
    return "\n\n".join(parts) + "\n"


def as_json(document: Document) -> str:
    """Return a document as it lies in docs/openapi."""
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _route(method: str, path: str, route: Document) -> Iterator[str]:
    yield f"## {method} {path}"
    if said := route.get("description") or route.get("summary"):
        yield said.strip()
    if parameters := route.get("parameters"):
        yield table(
            ("parameter", "in", "type", "meaning"),
            (
                (
                    f"`{each['name']}`" + ("" if each.get("required") else ", optional"),
                    each["in"],
                    _type(each["schema"]),
                    each.get("description", ""),
                )
                for each in parameters
            ),
        )
    if body := route.get("requestBody"):
        kinds = ", ".join(_content(body))
        yield f"Takes {kinds}."
    yield "Answers:"
    yield "\n".join(f"* {line}" for line in _answers(route["responses"]))


def _answers(responses: Document) -> Iterator[str]:
    """Return a line for each good answer, and one for all that say what is wrong."""
    wrong: dict[str, None] = {}
    for code, answer in sorted(responses.items()):
        contents = list(_content(answer))
        if code >= _WRONG:
            wrong |= dict.fromkeys(contents)
            continue
        said = "" if answer["description"] == _SILENT else f": {answer['description']}"
        yield f"{code}, {'; or '.join(contents) or 'nothing'}{said}"
    codes = ", ".join(code for code in sorted(responses) if code >= _WRONG)
    if codes:
        yield f"{codes}, {'; or '.join(wrong)}"


def _content(answer: Document) -> Iterator[str]:
    for kind, given in answer.get("content", {}).items():
        shown = _type(given.get("schema", {}))
        yield shown if kind == _PLAIN else f"`{kind}`: {shown}" if shown else f"`{kind}`"


def _schema(name: str, schema: Document) -> Iterator[str]:
    yield f"### {name}"
    if said := schema.get("description"):
        yield said.strip()
    if fields := schema.get("properties"):
        needed = set(schema.get("required", ()))
        yield table(
            ("field", "type", "meaning"),
            (
                (
                    f"`{field}`" + ("" if field in needed else ", optional"),
                    _type(each),
                    each.get("description", ""),
                )
                for field, each in fields.items()
            ),
        )


def _type(schema: Document) -> str:
    """Return what a value is, in a few words.

    >>> _type({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]})
    'integer, at least 1; or null'
    >>> _type({"type": "array", "items": {"$ref": "#/components/schemas/Transfer"}})
    'list of [Transfer](#transfer)'
    """
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for either in ("anyOf", "oneOf"):
        if either in schema:
            return "; or ".join(_type(each) for each in schema[either])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return ", ".join(_words(schema))


def _words(schema: Document) -> Iterator[str]:
    if "enum" in schema:
        yield " or ".join(f"`{each}`" for each in schema["enum"])
    elif "const" in schema:
        yield f"`{schema['const']}`"
    elif kind := schema.get("type"):
        yield kind if isinstance(kind, str) else " or ".join(kind)
    if "format" in schema:
        yield schema["format"]
    for key, said in (
        ("minimum", "at least"),
        ("maximum", "at most"),
        ("minLength", "length at least"),
        ("maxLength", "length at most"),
        ("default", "default"),
    ):
        if schema.get(key) is not None:
            yield f"{said} {json.dumps(schema[key])}"
