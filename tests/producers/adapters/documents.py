"""What tests of adapters share: official examples, senders, and documents drawn from schemas."""

import copy
import json
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import strategies as st

from carbon.refusal import REFUSALS
from producers.adapters.outcome import Adapted, Outcome, Refused, Sender
from producers.regions import Regions
from producers.stations import Station, Stations
from producers.vehicles import Vehicle, Vehicles
from schemas.singles import decode_one, encode_one

DATA: Final = Path(__file__).resolve().parents[4] / "shared" / "data"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="needs the shared data beside the checkout"
)

ANYTHING: Final = st.recursive(
    # JSON can hold halves of characters, which no UTF-8 can.
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def example(path: str) -> Any:
    """Return an official example."""
    return json.loads((DATA / path).read_text("utf-8"))


def sender(**changes: Any) -> Sender:
    """Return a sender whose register has one class for all."""
    values: dict[str, Any] = {
        "source": "partner",
        "programme": "cn-charging",
        "vehicles": Vehicles({"*": Vehicle("car", "diesel", is_own=False)}),
    }
    return Sender(**values | changes)


def stations(**by_id: Station) -> Regions:
    """Return regions by a table of stations alone."""
    return Regions(Stations({station_id.upper(): one for station_id, one in by_id.items()}))


def fields(outcome: Outcome) -> Mapping[str, Any]:
    """Return the fields of a record, once it was written and read as Avro."""
    assert isinstance(outcome, Adapted), outcome
    record, read = decode_one(encode_one(outcome.record, outcome.fields))
    assert (record, read) == (outcome.record, dict(outcome.fields))
    return outcome.fields


def refused(outcome: Outcome) -> tuple[str, str]:
    """Return code and path of a refusal."""
    assert isinstance(outcome, Refused), outcome
    return outcome.code, outcome.path


def check_any(outcome: Outcome) -> None:
    """Check that it is a record that can be written, or a refusal that says where and why."""
    if isinstance(outcome, Adapted):
        fields(outcome)
        "".join(outcome.notes).encode()
    else:
        assert outcome.code in REFUSALS
        assert outcome.path.startswith("$")
        assert outcome.reason
        (outcome.path + outcome.reason).encode()


def instants() -> st.SearchStrategy[str]:
    """Return times as RFC 3339 writes them, with and without fractions and offsets."""
    times = st.datetimes().map(lambda moment: moment.isoformat())
    return st.tuples(times, st.sampled_from(["Z", "+08:00", "-05:30", ""])).map("".join)


def from_schema(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Return documents that the JSON schema allows, of what the standards' schemas use of it."""
    drawn: st.SearchStrategy[Any] = _of(schema, schema.get("definitions", {}), {})
    return drawn


Memory = dict[str, st.SearchStrategy[Any]]


def _of(node: Mapping[str, Any], known: Mapping[str, Any], memory: Memory) -> Any:
    if "$ref" in node:
        name = node["$ref"].removeprefix("#/definitions/")
        if name not in memory:
            memory[name] = st.deferred(lambda: _of(known[name], known, memory))
        return memory[name]
    if "anyOf" in node:
        return st.one_of([_of(one, known, memory) for one in node["anyOf"]])
    if "enum" in node:
        return st.sampled_from(node["enum"])
    kinds = node["type"] if isinstance(node["type"], list) else [node["type"]]
    return st.one_of([_of_kind(kind, node, known, memory) for kind in kinds])


def _of_kind(kind: str, node: Mapping[str, Any], known: Mapping[str, Any], memory: Memory) -> Any:
    if kind == "object":
        needed = node.get("required", ())
        members = {
            name: _of(one, known, memory) for name, one in node.get("properties", {}).items()
        }
        return st.fixed_dictionaries(
            {name: one for name, one in members.items() if name in needed},
            optional={name: one for name, one in members.items() if name not in needed},
        )
    if kind == "array":
        # Bare arrays hold anything.
        items = _of(node["items"], known, memory) if "items" in node else ANYTHING
        return st.lists(items, min_size=node.get("minItems", 0), max_size=4)
    if kind == "string":
        return _string(node)
    return {
        "integer": st.integers(0, 1_000_000) | st.integers(min_value=node.get("minimum")),
        "number": st.floats(0, 1e6) | st.floats() | st.integers(),
        "boolean": st.booleans(),
        "null": st.none(),
    }[kind]


def _string(node: Mapping[str, Any]) -> st.SearchStrategy[str]:
    if node.get("format") == "date-time":
        return instants()
    if "pattern" in node:
        return st.from_regex(node["pattern"])
    least, most = node.get("minLength", 0), node.get("maxLength")
    plain = st.text(string.ascii_letters + string.digits, min_size=1, max_size=most or 20)
    anything = st.text(st.characters(), min_size=least, max_size=most)
    return plain | st.text(min_size=least, max_size=most) | anything


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    members: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        members = list(value.items())
    elif isinstance(value, list):
        members = list(enumerate(value))
    return [path, *(deep for key, one in members for deep in _paths(one, (*path, key)))]


def damaged(*documents: Any) -> st.SearchStrategy[Any]:
    """Return good documents with something else in one place."""

    def put(drawn: tuple[Any, int, Any]) -> Any:
        document, at, value = drawn
        paths = _paths(document)
        *above, last = paths[at % len(paths)] or (None,)
        if last is None:
            return value
        whole = inner = copy.deepcopy(document)
        for key in above:
            inner = inner[key]
        inner[last] = value
        return whole

    return st.tuples(st.sampled_from(documents), st.integers(0, 10_000), ANYTHING).map(put)
