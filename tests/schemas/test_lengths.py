"""The length of a row, computed, is the length of the row, written."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from schemas import columns, singles
from schemas.catalogue import AvroSchema, shipped
from schemas.fields import fields_of
from schemas.framing import FRAME_BYTES
from schemas.lengths import lengths_of

TEXT = json.dumps(
    {
        "type": "record",
        "name": "Everything",
        "fields": [
            {"name": "flag", "type": "boolean"},
            {"name": "small", "type": "int"},
            {"name": "maybe_small", "type": ["null", "int"]},
            {"name": "maybe_large", "type": ["null", "long"]},
            {"name": "maybe_word", "type": ["null", "string"]},
            {"name": "words", "type": {"type": "array", "items": "string"}},
            {"name": "numbers", "type": {"type": "array", "items": "long"}},
        ],
    }
)
EVERYTHING = AvroSchema(record="everything", version=1, schema_id=90, text=TEXT)
CATALOGUE = shipped().extended(EVERYTHING, current=True)

small = st.integers(-(2**31), 2**31 - 1) | st.integers(-70, 70)
large = st.integers(-(2**63), 2**63 - 1) | st.integers(-70, 70)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=70)
everything = st.fixed_dictionaries(
    {
        "flag": st.booleans(),
        "small": small,
        "maybe_small": st.none() | small,
        "maybe_large": st.none() | large,
        "maybe_word": st.none() | words,
        "words": st.lists(words, max_size=3),
        "numbers": st.lists(large, max_size=70),
    }
)


@given(st.lists(everything, min_size=1, max_size=6), st.integers(0, 3))
def test_computed_lengths_are_written_lengths(rows: list[dict[str, Any]], skipped: int) -> None:
    schema = columns.arrow_schema("everything", catalogue=CATALOGUE)
    batch = pa.RecordBatch.from_pylist(rows, schema=schema).slice(skipped)
    written = [
        len(singles.encode_one("everything", row, catalogue=CATALOGUE)) - FRAME_BYTES
        for row in rows[skipped:]
    ]
    computed = np.asarray(lengths_of(batch, fields_of(EVERYTHING)).bytes)
    assert computed.tolist() == written


def test_rows_with_a_widest_number_are_named() -> None:
    row: dict[str, Any] = {
        "flag": True,
        "small": 0,
        "maybe_small": None,
        "maybe_large": None,
        "maybe_word": None,
        "words": [],
        "numbers": [],
    }
    rows = [
        row,
        row | {"small": 2**31 - 1},
        row | {"maybe_small": 1},
        row | {"maybe_large": -(2**63)},
        row | {"numbers": [0, 2**62]},
    ]
    schema = columns.arrow_schema("everything", catalogue=CATALOGUE)
    batch = pa.RecordBatch.from_pylist(rows, schema=schema)
    widest = lengths_of(batch, fields_of(EVERYTHING)).widest
    assert widest is not None
    assert widest.tolist() == [False, True, False, True, True]
