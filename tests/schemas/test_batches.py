"""Batches made from columns are byte for byte what aiokafka makes record by record."""

import json
from dataclasses import replace
from io import BytesIO
from secrets import token_hex

import fastavro
import numpy as np
import pyarrow as pa
import pytest
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from schemas.batches import column_batches, partitioned_batches
from schemas.catalogue import AvroSchema, shipped
from schemas.columns import arrow_schema, encode
from schemas.fields import Field, fields_of
from schemas.framing import FRAME_BYTES
from schemas.partition import partition_of
from schemas.rows import Rows
from schemas.singles import encode_one
from schemas.spoken import WORDS_MAX

HEAD = b"\x00\x00\x00\x00\x5a"
SAID = AvroSchema(
    record="said",
    version=1,
    schema_id=90,
    text=json.dumps(
        {
            "type": "record",
            "name": "Said",
            "fields": [
                {"name": "who", "type": "string"},
                {"name": "words", "type": "string"},
                {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            ],
        }
    ),
)
CATALOGUE = shipped().extended(SAID, current=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
MESSAGES = st.lists(
    st.tuples(TEXTS, TEXTS, st.integers(0, 2**43)),
    min_size=1,
    max_size=200,
)
Message = tuple[str, str, int]


def by_one(messages: list[Message]) -> bytes:
    builder = _DefaultRecordBatchBuilderPy(2, 0, 1, -1, -1, 0, 2**30)
    for offset, (who, words, at) in enumerate(messages):
        value = encode_one("said", {"who": who, "words": words, "at": at}, catalogue=CATALOGUE)
        assert value[:FRAME_BYTES] == HEAD
        builder.append(offset, at, who.encode(), value, [])
    return bytes(builder._buffer[builder.HEADER_STRUCT.size :])


def by_columns(messages: list[Message], bytes_max: int) -> list[tuple[int, bytes]]:
    who, words, at = zip(*messages, strict=True)
    batch = pa.RecordBatch.from_pydict(
        {
            "who": pa.array(who).dictionary_encode(),
            "words": pa.array(words),
            "at": pa.array(np.array(at), pa.timestamp("ms")),
        }
    )
    rows = Rows.of(batch, fields_of(SAID), HEAD, key="who", time="at")
    pieces = rows.records(bytes_max=bytes_max)
    return [(end - first, bytes(records)) for records, first, end in pieces]


@given(MESSAGES)
def test_one_batch_has_the_bytes_aiokafka_would_write(messages: list[Message]) -> None:
    assert by_columns(messages, 2**30) == [(len(messages), by_one(messages))]


@given(MESSAGES, st.integers(1, 2000))
def test_pieces_hold_all_messages_in_order_and_keep_the_limit(
    messages: list[Message], bytes_max: int
) -> None:
    pieces = by_columns(messages, bytes_max)
    first = 0
    for count, data in pieces:
        assert data == by_one(messages[first : first + count])
        assert count == 1 or len(data) <= bytes_max
        first += count
    assert first == len(messages)


def balances(n: int) -> pa.RecordBatch:
    columns = {}
    for field in arrow_schema("account_balance"):
        if field.type == pa.string():
            columns[field.name] = pa.array([f"account-{i}-é" for i in range(n)])
        elif field.type == pa.binary():
            columns[field.name] = pa.array([bytes(range(i % 4)) for i in range(n)])
        else:
            columns[field.name] = pa.array(np.arange(n)).cast(field.type)
    return pa.RecordBatch.from_pydict(columns)


@pytest.mark.parametrize("n", [1, 3, 5000])
def test_a_reader_of_the_batches_gets_key_value_and_timestamp_of_every_row(n: int) -> None:
    batch = balances(n)
    read: list[tuple[bytes, bytes, int]] = []
    for built in column_batches(
        "account_balance",
        batch,
        key="account_id",
        timestamp="updated_at",
        transactional=True,
        bytes_max=20_000,
    ):
        built._set_producer_state(7, 1, len(read))
        log = MemoryRecords(bytes(built._build()))
        while (found := log.next_batch()) is not None:
            assert found.validate_crc()
            assert found.is_transactional
            assert found.producer_id == 7
            read += [(record.key, record.value, record.timestamp) for record in found]
    names = [name.encode() for name in batch.column("account_id").to_pylist()]
    times = batch.column("updated_at").cast(pa.int64()).to_pylist()
    assert read == list(zip(names, encode("account_balance", batch), times, strict=True))


def test_a_batch_that_is_not_packed_is_aiokafkas_to_the_last_byte() -> None:
    batch = balances(40)
    theirs = _DefaultRecordBatchBuilderPy(2, 0, 1, -1, -1, 0, 2**30)
    names = batch.column("account_id").to_pylist()
    times = batch.column("updated_at").cast(pa.int64()).to_pylist()
    values = encode("account_balance", batch)
    for offset, (name, time, value) in enumerate(zip(names, times, values, strict=True)):
        theirs.append(offset, time, name.encode(), value, [])
    theirs.set_producer_state(7, 1, 5)
    (ours,) = column_batches(
        "account_balance",
        batch,
        key="account_id",
        timestamp="updated_at",
        transactional=True,
        pack=False,
    )
    ours._set_producer_state(7, 1, 5)
    assert bytes(ours._build()) == bytes(theirs.build())


@pytest.mark.parametrize("alike", [True, False])
def test_batches_are_filled_by_what_they_take_once_compressed(alike: bool) -> None:
    n, limit = 400, 20_000
    names = ["a" * 300 if alike else token_hex(150) for _ in range(n)]
    batch = balances(n).set_column(0, "account_id", pa.array(names))
    made = list(
        column_batches(
            "account_balance",
            batch,
            key="account_id",
            timestamp="updated_at",
            transactional=True,
            bytes_max=limit,
        )
    )
    assert sum(each.record_count() for each in made) == n
    assert max(each.size() for each in made) <= limit
    assert alike == (len(made) < n * 600 / limit)


def test_batches_that_are_not_compressed_are_as_full() -> None:
    n, limit = 400, 20_000
    batch = balances(n).set_column(0, "account_id", pa.array(["a" * 300] * n))
    made = list(
        column_batches(
            "account_balance",
            batch,
            key="account_id",
            timestamp="updated_at",
            transactional=True,
            bytes_max=limit,
            pack=False,
        )
    )
    sizes = [each.size() for each in made]
    read: list[bytes] = []
    for each in made:
        each._set_producer_state(7, 1, len(read))
        found = MemoryRecords(bytes(each._build())).next_batch()
        assert found.compression_type == 0
        read += [record.value for record in found]
    assert read == encode("account_balance", batch)
    assert max(sizes) <= limit
    assert sum(sizes) > (len(sizes) - 1) * 0.95 * limit


@pytest.mark.parametrize("coded", [True, False])
@pytest.mark.parametrize("n", [1, 3, 5000])
def test_every_row_lies_in_the_partition_of_its_key_and_in_order(n: int, coded: bool) -> None:
    batch = balances(n)
    names = pa.array([f"name-{number % 40}" for number in range(n)])
    keys = names.dictionary_encode() if coded else names
    values = encode("account_balance", batch.set_column(0, "account_id", names))
    wanted: list[list[tuple[bytes, bytes, int]]] = [[] for _ in range(3)]
    for name, value in zip(names.to_pylist(), values, strict=True):
        wanted[partition_of(name.encode(), 3)].append((name.encode(), value, 1_700_000_000_000))
    read: list[list[tuple[bytes, bytes, int]]] = [[] for _ in range(3)]
    for partition, built in partitioned_batches(
        "account_balance",
        batch.set_column(0, "account_id", keys),
        key="account_id",
        partitions=3,
        timestamp_ms=1_700_000_000_000,
        bytes_max=20_000,
    ):
        assert built.size() <= 20_000
        built._set_producer_state(7, 1, len(read[partition]))
        log = MemoryRecords(bytes(built._build()))
        while (found := log.next_batch()) is not None:
            assert found.validate_crc()
            assert not found.is_transactional
            read[partition] += [(one.key, one.value, one.timestamp) for one in found]
    assert read == wanted


def test_a_row_without_a_key_has_no_partition() -> None:
    batch = balances(2).set_column(0, "account_id", pa.array(["a", None]))
    with pytest.raises(ValueError, match="null"):
        list(
            partitioned_batches(
                "account_balance", batch, key="account_id", partitions=3, timestamp_ms=0
            )
        )


@pytest.mark.parametrize("coded", [True, False])
def test_no_rows_make_no_batch(coded: bool) -> None:
    none = balances(1).slice(0, 0)
    if coded:
        names = pa.array([], pa.string()).dictionary_encode()
        none = none.set_column(none.schema.get_field_index("programme"), "programme", names)
    made = column_batches(
        "account_balance",
        none,
        key="account_id",
        timestamp="updated_at",
        transactional=True,
    )
    assert list(made) == []


def written(fields: list[Field], columns: dict[str, pa.Array]) -> list[bytes]:
    """Write columns as they are, and with all that may be one as a dictionary."""
    batch = pa.RecordBatch.from_pydict(columns)
    coded = {
        name: column if pa.types.is_boolean(column.type) else column.dictionary_encode()
        for name, column in columns.items()
    }
    values = Rows.of(batch, fields, HEAD).values()
    assert Rows.of(pa.RecordBatch.from_pydict(coded), fields, HEAD).values() == values
    return values


WORDS = Field(name="words", kind="string", doc="", nullable=True)
NUMBER = Field(name="number", kind="long", doc="", nullable=True)
FLAG = Field(name="flag", kind="boolean", doc="", nullable=True)
SYMBOL = Field(name="symbol", kind="enum", doc="", symbols=("a", "b", "c"), nullable=True)
VALUES = st.tuples(
    st.none() | st.sampled_from(["", "word", "w" * 200]),
    st.none() | st.sampled_from([0, -1, 2**63 - 1, -(2**63)]),
    st.none() | st.booleans(),
    st.none() | st.sampled_from("abc"),
)


@given(st.lists(VALUES, max_size=300), st.permutations([0, 1, 2, 3, 0, 2]))
def test_words_that_are_said_together_are_written_one_by_one(
    values: list[tuple[str | None, int | None, bool | None, str | None]], order: list[int]
) -> None:
    # Few values in many rows: most fields are said together, in any order and with nulls.
    kinds = (pa.string(), pa.int64(), pa.bool_(), pa.string())
    fields, columns = [], {}
    for number, which in enumerate(order):
        field = (WORDS, NUMBER, FLAG, SYMBOL)[which]
        fields.append(replace(field, name=f"{field.name}_{number}"))
        columns[fields[-1].name] = pa.array([value[which] for value in values], kinds[which])
    schema = {
        "type": "record",
        "name": "Said",
        "fields": [{"name": field.name, "type": ["null", avro(field)]} for field in fields],
    }
    expected = []
    for row in pa.RecordBatch.from_pydict(columns).to_pylist():
        out = BytesIO()
        fastavro.schemaless_writer(out, schema, row)
        expected.append(HEAD + out.getvalue())
    assert written(fields, columns) == expected


def avro(field: Field) -> object:
    if field.kind != "enum":
        return field.kind
    return {"type": "enum", "name": field.name, "symbols": list(field.symbols)}


def test_more_pairs_than_are_looked_through_are_written_all_the_same() -> None:
    n = 4 * WORDS_MAX
    left, right = (np.arange(n) % 97, np.arange(n) % 101)
    field = Field(name="left", kind="string", doc="")
    columns = {
        "left": pa.array([f"left {i}" for i in left]),
        "right": pa.array([f"right {i}" for i in right]),
    }
    values = written([field, replace(field, name="right")], columns)
    texts = [
        (f"left {i}".encode(), f"right {j}".encode()) for i, j in zip(left, right, strict=True)
    ]
    assert values == [HEAD + bytes([2 * len(a)]) + a + bytes([2 * len(b)]) + b for a, b in texts]


@pytest.mark.parametrize("indices", ["int8", "uint8", "int32", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("unsaid", [[], [None], ["z"]])
def test_codes_are_of_any_integers_and_what_no_row_says_is_never_written(
    indices: str, unsaid: list[str | None]
) -> None:
    codes = pa.array([0, 1] * 50, pa.type_for_alias(indices))
    words = pa.DictionaryArray.from_arrays(codes, pa.array(["x", "y", *unsaid]))
    field = Field(name="left", kind="string", doc="")
    fields = [field, replace(field, name="right")]
    batch = pa.RecordBatch.from_pydict({"left": words, "right": words})
    assert Rows.of(batch, fields, HEAD).values() == [HEAD + b"\2x\2x", HEAD + b"\2y\2y"] * 50
