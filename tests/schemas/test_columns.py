"""Columns equal singles: for good records, for broken ones, and for whole slices of both."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import columns, singles
from schemas.catalogue import CatalogueError, shipped
from schemas.fields import Field, fields_of
from schemas.framing import WireError, frame

RECORDS = sorted(shipped().current)
SESSION: dict[str, Any] = {
    "session_id": "s-1",
    "source": "acn",
    "account_id": "driver-1",
    "programme": "p",
    "vehicle_class": "car",
    "grid_region": "CN-BJ",
    "started_at": 1_600_000_000_000,
    "ended_at": 1_600_003_600_000,
    "energy_wh": 20_000,
    "meter_side": "grid",
    "current": "ac",
    "operator_id": "o",
    "evse_id": "e",
    "reversal_of": None,
    "revision": 0,
}


def sessions(count: int) -> list[bytes]:
    return [
        singles.encode_one("charging_session", SESSION | {"session_id": f"s-{number}"})
        for number in range(count)
    ]


def ids(decoded: columns.Decoded) -> list[str]:
    listed: list[str] = decoded.batch.column("session_id").to_pylist()
    return listed


def plain_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    kept = [
        column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
        for column in batch.columns
    ]
    listed: list[dict[str, Any]] = pa.RecordBatch.from_arrays(
        kept, names=batch.schema.names
    ).to_pylist()
    return listed


def values_of(field: Field) -> st.SearchStrategy[Any]:
    plain: st.SearchStrategy[Any] = {
        "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=80),
        "bytes": st.binary(max_size=80),
        "int": st.integers(-(2**31), 2**31 - 1),
        "long": st.integers(-(2**63), 2**63 - 1),
        "instant": st.integers(-(2**63), 2**63 - 1),
        "boolean": st.booleans(),
        "enum": st.sampled_from(field.symbols or ("",)),
    }[field.kind]
    return st.none() | plain if field.nullable else plain


@st.composite
def slices(draw: st.DrawFn) -> tuple[str, list[dict[str, Any]]]:
    record = draw(st.sampled_from(RECORDS))
    row = st.fixed_dictionaries(
        {field.name: values_of(field) for field in fields_of(shipped().newest(record))}
    )
    return record, draw(st.lists(row, min_size=1, max_size=4))


@given(slices())
def test_columns_read_what_singles_write(drawn: tuple[str, list[dict[str, Any]]]) -> None:
    record, values = drawn
    decoded = columns.decode(record, [singles.encode_one(record, value) for value in values])
    assert decoded.refused == []
    assert plain_rows(decoded.batch) == values


@given(slices())
def test_columns_write_what_singles_write(drawn: tuple[str, list[dict[str, Any]]]) -> None:
    record, values = drawn
    batch = pa.RecordBatch.from_pylist(values, schema=columns.arrow_schema(record))
    assert columns.encode(record, batch) == [singles.encode_one(record, value) for value in values]


@given(slices(), st.data())
@settings(max_examples=300)
def test_columns_and_singles_agree_on_damaged_bytes(
    drawn: tuple[str, list[dict[str, Any]]], data: st.DataObject
) -> None:
    record, values = drawn
    wires = []
    for value in values:
        wire = bytearray(singles.encode_one(record, value))
        for _ in range(data.draw(st.integers(0, 3))):
            at = data.draw(st.integers(0, len(wire)))
            wire[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
        wires.append(bytes(wire))
    decoded = columns.decode(record, wires)
    expected, refused = [], []
    for position, each in enumerate(wires):
        try:
            expected.append((position, singles.decode_one(each, record=record)[1]))
        except WireError as error:
            refused.append((position, error.code))
    assert [(one.position, one.code) for one in decoded.refused] == refused
    assert list(zip(decoded.positions.tolist(), plain_rows(decoded.batch), strict=True)) == expected


@given(st.lists(st.binary(max_size=40)))
def test_any_bytes_are_rows_or_refusals_and_never_both(values: list[bytes]) -> None:
    framed = [frame(1) + value for value in values]
    decoded = columns.decode("charging_session", framed)
    places = decoded.positions.tolist() + [one.position for one in decoded.refused]
    assert sorted(places) == list(range(len(values)))


@pytest.mark.parametrize("record", RECORDS)
def test_a_slice_of_nothing_is_an_empty_batch(record: str) -> None:
    decoded = columns.decode(record, [])
    assert decoded.batch.schema == columns.arrow_schema(record)
    assert (decoded.batch.num_rows, decoded.positions.tolist(), decoded.refused) == (0, [], [])


@pytest.mark.parametrize("record", RECORDS)
def test_columns_are_nullable_only_where_the_schema_says_so(record: str) -> None:
    nullable = {field.name for field in columns.arrow_schema(record) if field.nullable}
    declared = {field.name for field in fields_of(shipped().newest(record)) if field.nullable}
    assert nullable == declared


def test_instants_are_timestamps_and_enums_are_strings() -> None:
    schema = columns.arrow_schema("charging_session")
    assert schema.field("started_at").type == pa.timestamp("ms")
    assert schema.field("current").type == pa.string()


def test_a_slice_of_which_nothing_can_be_read_is_an_empty_batch() -> None:
    decoded = columns.decode("charging_session", [None, b"", b"{}", sessions(1)[0][:-1]])
    assert decoded.batch.num_rows == 0
    assert [one.code for one in decoded.refused] == ["not_framed"] * 3 + ["undecodable"]


def test_bad_records_all_over_a_long_slice_are_found_and_the_rest_keeps_its_order() -> None:
    values: list[bytes | None] = list(sessions(3000))
    values[0] = None
    values[700] = sessions(701)[-1][:-1]
    values[1500] = sessions(1501)[-1] + b"\0"
    values[2999] = b"\0\0\0\0\2" + sessions(1)[0][5:]
    decoded = columns.decode("charging_session", values)
    kept = [at for at in range(3000) if at not in {0, 700, 1500, 2999}]
    assert [one.position for one in decoded.refused] == [0, 700, 1500, 2999]
    assert decoded.positions.tolist() == kept
    assert ids(decoded) == [f"s-{at}" for at in kept]


def test_encoding_takes_columns_by_name_and_casts_what_loses_nothing() -> None:
    batch = columns.decode("charging_session", sessions(3)).batch
    names = batch.schema.names[::-1]
    turned = batch.select(names)
    coded = turned.set_column(
        names.index("source"), "source", turned.column("source").dictionary_encode()
    )
    wider = coded.set_column(
        names.index("started_at"), "started_at", coded["started_at"].cast(pa.timestamp("us", "UTC"))
    )
    assert columns.encode("charging_session", wider) == sessions(3)


def test_encoding_part_of_a_batch_writes_that_part() -> None:
    batch = columns.decode("charging_session", sessions(9)).batch
    assert columns.encode("charging_session", batch.slice(3, 4)) == sessions(9)[3:7]


def test_encoding_nothing_is_nothing() -> None:
    assert columns.encode("charging_session", columns.decode("charging_session", []).batch) == []


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("source", pa.array([None], pa.string()), "has nulls"),
        ("source", pa.DictionaryArray.from_arrays([0], pa.array([None], pa.string())), "has nulls"),
        ("current", pa.array(["three-phase"]), "three-phase"),
        ("revision", pa.array([2**31]), "2147483648"),
        ("started_at", pa.array([1], pa.timestamp("us")), "lose data"),
    ],
)
def test_encoding_refuses_what_does_not_fit(column: str, values: pa.Array, words: str) -> None:
    batch = columns.decode("charging_session", sessions(1)).batch
    at = batch.schema.get_field_index(column)
    with pytest.raises(ValueError, match=words):
        columns.encode("charging_session", batch.set_column(at, column, values))


def test_encoding_refuses_missing_columns() -> None:
    batch = columns.decode("charging_session", sessions(1)).batch.drop_columns(["source"])
    with pytest.raises(ValueError, match="source"):
        columns.encode("charging_session", batch)


def test_an_unknown_record_is_the_callers_mistake() -> None:
    with pytest.raises(CatalogueError):
        columns.decode("train_ride", [])


def test_positions_are_64_bit_integers() -> None:
    assert columns.decode("charging_session", sessions(2)).positions.dtype == np.int64
