"""How a record grows: old and new versions read each other, in columns and one by one."""

import io
import json
from collections.abc import Sequence
from typing import Any

import fastavro
import pytest

from schemas import columns, singles
from schemas.catalogue import AvroSchema, Catalogue, CatalogueError, shipped
from schemas.fields import fields_of, resolve
from schemas.framing import FRAME_BYTES, WireError

NAME = "emission_factor"
FACTOR: dict[str, Any] = {
    "factor_id": "grid.CN-BJ.2021",
    "kind": "grid_average",
    "region": "CN-BJ",
    "subject": "electricity",
    "boundary": "ttw",
    "gas": "co2",
    "value_mg": 712_000,
    "unit": "kwh",
    "valid_from": 0,
    "valid_to": 253_402_300_800_000,
    "release": "2026.1",
    "publisher": "MEE",
    "publication": "2021",
    "url": "https://example.org",
    "licence": "open",
    "evidence": "V1",
    "uncertainty_permille": None,
}
ADDED: dict[str, dict[str, Any]] = {
    "note": {"name": "note", "type": ["null", "string"], "doc": "A remark.", "default": None},
    "rank": {"name": "rank", "type": "int", "doc": "An order.", "default": 7},
}


def changed(*, added: Sequence[object] = (), edit: Any = None) -> AvroSchema:
    tree = json.loads(shipped().newest(NAME).text)
    # In the middle, so that order is resolved by name and not by luck.
    tree["fields"][3:3] = added
    if edit is not None:
        edit({field["name"]: field for field in tree["fields"]})
    return AvroSchema(record=NAME, version=2, schema_id=300, text=json.dumps(tree))


V2 = changed(added=list(ADDED.values()))
OLD = shipped().extended(V2, current=False)
NEW = shipped().extended(V2, current=True)
NEWER = FACTOR | {"note": "checked", "rank": 3}
DEFAULTS = {"note": None, "rank": 7}


def only_row(value: bytes, catalogue: Catalogue) -> dict[str, Any]:
    decoded = columns.decode(NAME, [value], catalogue=catalogue)
    assert decoded.refused == []
    (row,) = decoded.batch.to_pylist()
    for instant in ("valid_from", "valid_to"):
        row[instant] = int(decoded.batch.column(instant).cast("int64")[0].as_py())
    return dict(row)


@pytest.fixture
def no_far_instants(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep valid_to where Python's datetime can follow, for rows as Python sees them."""
    monkeypatch.setitem(FACTOR, "valid_to", 1_640_966_400_000)
    monkeypatch.setitem(NEWER, "valid_to", 1_640_966_400_000)


@pytest.mark.usefixtures("no_far_instants")
def test_the_new_reader_gives_an_old_record_its_defaults() -> None:
    old = singles.encode_one(NAME, FACTOR)
    assert singles.decode_one(old, catalogue=NEW) == (NAME, FACTOR | DEFAULTS)
    assert only_row(old, NEW) == FACTOR | DEFAULTS


@pytest.mark.usefixtures("no_far_instants")
def test_the_old_reader_drops_what_it_does_not_know() -> None:
    new = singles.encode_one(NAME, NEWER, catalogue=NEW)
    assert singles.decode_one(new, catalogue=OLD) == (NAME, FACTOR)
    assert only_row(new, OLD) == FACTOR


@pytest.mark.usefixtures("no_far_instants")
def test_fastavro_resolves_both_ways_as_we_do() -> None:
    v1 = fastavro.parse_schema(json.loads(shipped().newest(NAME).text.replace("logicalType", "x")))
    v2 = fastavro.parse_schema(json.loads(V2.text.replace("logicalType", "x")))
    old = singles.encode_one(NAME, FACTOR)[FRAME_BYTES:]
    new = singles.encode_one(NAME, NEWER, catalogue=NEW)[FRAME_BYTES:]
    assert fastavro.schemaless_reader(io.BytesIO(old), v1, v2) == FACTOR | DEFAULTS
    assert fastavro.schemaless_reader(io.BytesIO(new), v2, v1) == FACTOR


@pytest.mark.parametrize("catalogue", [OLD, NEW], ids=["old", "new"])
def test_a_slice_of_both_versions_keeps_its_order(catalogue: Catalogue) -> None:
    values = [
        singles.encode_one(NAME, FACTOR | {"factor_id": str(at)}, catalogue=(OLD, NEW)[at % 3 == 1])
        for at in range(50)
    ]
    values[10] = values[10][:-1]
    decoded = columns.decode(NAME, values, catalogue=catalogue)
    kept = [at for at in range(50) if at != 10]
    assert decoded.positions.tolist() == kept
    assert decoded.batch.column("factor_id").to_pylist() == [str(at) for at in kept]
    assert decoded.batch.schema == columns.arrow_schema(NAME, catalogue=catalogue)


def test_a_version_the_catalogue_does_not_hold_is_refused() -> None:
    new = singles.encode_one(NAME, NEWER, catalogue=NEW)
    (refused,) = columns.decode(NAME, [new]).refused
    assert (refused.code, refused.reason) == ("unknown_schema", "the catalogue has no schema 300")


def test_an_int_may_become_a_long_and_a_field_nullable() -> None:
    def edit(fields: dict[str, Any]) -> None:
        fields["uncertainty_permille"]["type"] = ["null", "long"]
        fields["url"]["type"] = ["null", "string"]

    grown = shipped().extended(changed(edit=edit), current=True)
    old = singles.encode_one(NAME, FACTOR | {"uncertainty_permille": 50})
    row = columns.decode(NAME, [old], catalogue=grown).batch
    assert row.schema.field("url").nullable
    assert row.column("uncertainty_permille").to_pylist() == [50]


def test_a_symbol_the_reader_does_not_know_is_refused_by_both() -> None:
    def edit(fields: dict[str, Any]) -> None:
        fields["unit"]["type"]["symbols"].append("m3")

    version = changed(edit=edit)
    writing = shipped().extended(version, current=True)
    reading = shipped().extended(version, current=False)
    values = [
        singles.encode_one(NAME, FACTOR | {"unit": unit}, catalogue=writing)
        for unit in ("kwh", "m3", "tkm")
    ]
    decoded = columns.decode(NAME, values, catalogue=reading)
    assert decoded.batch.column("unit").to_pylist() == ["kwh", "tkm"]
    assert [one.reason for one in decoded.refused] == ["unit has no symbol 'm3'"]
    with pytest.raises(WireError, match="m3"):
        singles.decode_one(values[1], catalogue=reading)


@pytest.mark.parametrize(
    "edit",
    [
        lambda fields: fields["value_mg"].update(type="int"),
        lambda fields: fields["value_mg"].update(type="string"),
        lambda fields: fields["uncertainty_permille"].update(type="int"),
    ],
    ids=["narrower", "another type", "no longer nullable"],
)
def test_a_change_that_old_records_do_not_survive_is_refused(edit: Any) -> None:
    with pytest.raises(CatalogueError, match="cannot read"):
        resolve(shipped().newest(NAME), changed(edit=edit))


def test_a_new_field_without_a_default_is_refused() -> None:
    bare = {key: value for key, value in ADDED["rank"].items() if key != "default"}
    with pytest.raises(CatalogueError, match="rank"):
        resolve(shipped().newest(NAME), changed(added=[bare]))


@pytest.mark.parametrize(
    "kind",
    [
        "float",
        "double",
        {"type": "fixed", "name": "F", "size": 4},
        {"type": "bytes", "logicalType": "decimal", "precision": 4},
        {"type": "string", "logicalType": "uuid"},
        {"type": "long", "logicalType": "timestamp-micros"},
        {"type": "map", "values": "long"},
        {"type": "array", "items": "int"},
        {"type": "enum", "name": "E", "symbols": [f"s{number}" for number in range(65)]},
        ["string", "null"],
        ["null", "string", "int"],
    ],
    ids=str,
)
def test_a_type_that_a_codec_does_not_know_is_refused(kind: object) -> None:
    field = {"name": "odd", "type": kind, "doc": "Odd."}
    with pytest.raises(CatalogueError, match="odd"):
        fields_of(changed(added=[field]))


def test_bytes_have_no_default() -> None:
    field = {"name": "odd", "type": "bytes", "doc": "Odd.", "default": "a"}
    with pytest.raises(CatalogueError, match="odd"):
        fields_of(changed(added=[field]))


def test_a_schema_that_is_no_record_is_refused() -> None:
    with pytest.raises(CatalogueError, match="not a record"):
        fields_of(AvroSchema(record="x", version=1, schema_id=9, text='"string"'))
