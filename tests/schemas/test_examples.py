"""Every example is read by every reader, and refused by every reader where it should be."""

import io
import json
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pytest

import schemas
from schemas import columns, singles
from schemas.catalogue import shipped
from schemas.fields import fields_of
from schemas.framing import FRAME_BYTES, WireError

EXAMPLES = Path(str(schemas.__file__)).parent / "examples"
VALID = sorted(EXAMPLES.glob("*/*.valid.json"))
INVALID = sorted(EXAMPLES.glob("*/*.invalid.json"))


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.name.split('.')[0]}"


def load(path: Path) -> tuple[str, dict[str, Any], bytes]:
    """Return record, example and wire; a value of bytes is written in hex."""
    example = json.loads(path.read_text("utf-8"))
    for field in fields_of(shipped().newest(path.parent.name)):
        if field.kind == "bytes" and "value" in example:
            example["value"][field.name] = bytes.fromhex(example["value"][field.name])
    return path.parent.name, example, bytes.fromhex(example["hex"])


def rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return rows with instants as int milliseconds."""
    plain = [
        column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
        for column in batch.columns
    ]
    listed: list[dict[str, Any]] = pa.RecordBatch.from_arrays(
        plain, names=batch.schema.names
    ).to_pylist()
    return listed


def test_every_record_has_valid_and_invalid_examples() -> None:
    assert {path.parent.name for path in VALID} == set(shipped().current)
    assert {path.parent.name for path in INVALID} == set(shipped().current)


@pytest.mark.parametrize("path", VALID + INVALID, ids=name)
def test_an_example_says_why_it_is_there(path: Path) -> None:
    assert load(path)[1]["why"].endswith(".")


@pytest.mark.parametrize("path", VALID, ids=name)
def test_columns_read_a_valid_example(path: Path) -> None:
    record, example, wire = load(path)
    decoded = columns.decode(record, [wire])
    assert (rows(decoded.batch), decoded.refused) == ([example["value"]], [])


@pytest.mark.parametrize("path", VALID, ids=name)
def test_singles_read_a_valid_example(path: Path) -> None:
    record, example, wire = load(path)
    assert singles.decode_one(wire) == (record, example["value"])


@pytest.mark.parametrize("path", VALID, ids=name)
def test_fastavro_alone_reads_a_valid_example(path: Path) -> None:
    record, example, wire = load(path)
    text = shipped().newest(record).text.replace('"logicalType"', '"ignored"')
    plain = fastavro.parse_schema(json.loads(text))
    assert (
        fastavro.schemaless_reader(io.BytesIO(wire[FRAME_BYTES:]), plain, None)
        == (example["value"])
    )


@pytest.mark.parametrize("path", VALID, ids=name)
def test_both_writers_write_a_valid_example_to_the_byte(path: Path) -> None:
    record, example, wire = load(path)
    batch = pa.RecordBatch.from_pylist([example["value"]], schema=columns.arrow_schema(record))
    assert singles.encode_one(record, example["value"]) == wire
    assert columns.encode(record, batch) == [wire]


@pytest.mark.parametrize("path", INVALID, ids=name)
def test_columns_refuse_an_invalid_example_and_keep_its_neighbours(path: Path) -> None:
    record, example, wire = load(path)
    good = load(EXAMPLES / record / "plain.valid.json")[2]
    decoded = columns.decode(record, [good, wire, good])
    assert [(one.position, one.code) for one in decoded.refused] == [(1, example["code"])]
    assert decoded.positions.tolist() == [0, 2]
    assert decoded.batch.num_rows == 2


@pytest.mark.parametrize("path", INVALID, ids=name)
def test_singles_refuse_an_invalid_example(path: Path) -> None:
    record, example, wire = load(path)
    with pytest.raises(WireError) as refused:
        singles.decode_one(wire, record=record)
    assert refused.value.code == example["code"]
