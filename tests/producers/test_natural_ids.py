"""Where the mapping has a pseudonym, no natural id leaves the loader: not in a record, not in a
refusal, whatever is wrong with the row.
"""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, date
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from producers.client.asynchronous import AsyncClient
from producers.client.columns import CarbonflowProducer
from producers.client.records import ChargingSession, instant_ms
from producers.client.settings import ClientSettings
from producers.files import read_file
from producers.load import load_files
from producers.mapping import parse_mapping
from producers.pseudonyms import Key, NoKeyError, Pseudonyms
from producers.rows import UnmappedRow
from producers.rules import FileMapping
from producers.topics import ensure_topics
from schemas.catalogue import shipped
from schemas.columns import decode
from schemas.settings import BrokerSettings

NATURAL = "anna@example"
MAPPING = """
record = "charging_session"
zone = "UTC"
null = ["", "NULL"]
[fields]
session_id = "Id"
source = { value = "s" }
account_id = { column = ["User", "Card"], regex = "^[a-z@]+$", pseudonym = true }
programme = { column = "Scheme", default = "city" }
vehicle_class = { value = "car" }
grid_region = { value = "CN" }
started_at = "Start"
ended_at = "Start"
energy_wh = { column = "Energy", unit = "kWh" }
meter_side = { value = "grid" }
current = { value = "ac" }
operator_id = { value = "" }
evse_id = { value = "" }
"""
HEADER = "Id,User,Card,Scheme,Start,Energy"
ROWS = {
    "good": f"1,{NATURAL},,,2020-01-01,6.31",
    "by card": f"2,NULL,{NATURAL},,2020-01-01,6.31",
    "of another programme": f"3,{NATURAL},,fleet,2020-01-01,6.31",
    "of a programme without a key": f"4,{NATURAL},,nowhere,2020-01-01,6.31",
    "bad number": f"5,{NATURAL},,,2020-01-01,much",
    "bad natural id": f"6,{NATURAL} 1,,,2020-01-01,6.31",
    "no number": f"7,{NATURAL},,,2020-01-01,NULL",
    "no natural id": "8,,NULL,,2020-01-01,6.31",
    "too wide": f"9,{NATURAL},,,2020-01-01,6.31,more",
    "not text": f"10,{NATURAL},\udcff,,2020-01-01,6.31",
    "broken quotes": f'11,"{NATURAL}" x,,,2020-01-01,6.31',
}
CODES = {
    "4": "row_bad_value",
    "5": "row_bad_value",
    "6": "row_bad_value",
    "7": "row_missing_value",
    "8": "row_missing_value",
}


@pytest.fixture
def mapping() -> FileMapping:
    return parse_mapping(MAPPING, origin="m.toml")


@pytest.fixture
def pseudonyms() -> Pseudonyms:
    """The keys of two programmes."""
    return Pseudonyms(
        {
            name: [Key(number=1, created=date(2026, 3, 1), secret=letter * 32)]
            for name, letter in (("city", b"c"), ("fleet", b"f"))
        }
    )


@pytest.fixture
def sessions(tmp_path: Path) -> Path:
    """A CSV with a row of each kind."""
    path = tmp_path / "sessions.csv"
    text = "\n".join([HEADER, *ROWS.values()]) + "\n"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return path


def read(
    path: Path, mapping: FileMapping, pseudonyms: Pseudonyms
) -> tuple[list[dict[str, object]], list[UnmappedRow]]:
    blocks = list(read_file(path, mapping, pseudonyms))
    rows = [row for block in blocks for row in block.batch.to_pylist()]
    return rows, [row for block in blocks for row in block.refused]


def test_records_have_the_pseudonyms_of_their_programmes(
    sessions: Path, mapping: FileMapping, pseudonyms: Pseudonyms
) -> None:
    rows, _ = read(sessions, mapping, pseudonyms)
    assert {row["session_id"]: row["account_id"] for row in rows} == {
        "1": pseudonyms.of("city", NATURAL),
        "2": pseudonyms.of("city", NATURAL),
        "3": pseudonyms.of("fleet", NATURAL),
    }


def test_every_other_row_is_refused_without_its_natural_id(
    sessions: Path, mapping: FileMapping, pseudonyms: Pseudonyms
) -> None:
    rows, refused = read(sessions, mapping, pseudonyms)
    assert len(rows) + len(refused) == len(ROWS)
    assert [row for row in refused if "anna" in row.reason or b"anna" in row.raw] == []


def test_a_refused_row_keeps_its_other_columns(
    sessions: Path, mapping: FileMapping, pseudonyms: Pseudonyms
) -> None:
    _, refused = read(sessions, mapping, pseudonyms)
    mapped = {json.loads(row.raw)["Id"]: row.code for row in refused if row.raw}
    assert mapped == CODES
    (bad,) = (row for row in refused if b"much" in row.raw)
    assert json.loads(bad.raw) == {
        "Id": "5",
        "Scheme": "",
        "Start": "2020-01-01",
        "Energy": "much",
    }


def test_what_is_no_row_keeps_its_line_and_nothing_else(
    sessions: Path, mapping: FileMapping, pseudonyms: Pseudonyms
) -> None:
    _, refused = read(sessions, mapping, pseudonyms)
    unmapped = [row for row in refused if row.code == "row_unmapped"]
    assert [(row.line, row.raw) for row in unmapped] == [(10, b""), (11, b""), (12, b"")]


def test_a_bad_natural_id_is_refused_without_being_quoted(
    sessions: Path, mapping: FileMapping, pseudonyms: Pseudonyms
) -> None:
    _, refused = read(sessions, mapping, pseudonyms)
    (reason,) = (row.reason for row in refused if row.line == 7)
    assert reason.startswith("account_id: column 'User' value (withheld) does not match")


@pytest.mark.parametrize(
    "line",
    [
        json.dumps(NATURAL),
        json.dumps([NATURAL]),
        json.dumps({"Id": 1, "User": [NATURAL]}),
        json.dumps({"Id": 1, "User": NATURAL, "Start": "2020-01-01", "Energy": "much"}),
        f'{{"User": "{NATURAL}"',
        f'{{"User": {NATURAL}}}',
    ],
)
def test_a_wrong_line_of_json_is_refused_without_its_natural_id(
    tmp_path: Path, mapping: FileMapping, pseudonyms: Pseudonyms, line: str
) -> None:
    path = tmp_path / "sessions.jsonl"
    path.write_text(line + "\n")
    rows, (refused,) = read(path, mapping, pseudonyms)
    assert rows == []
    assert "anna" not in refused.reason
    assert b"anna" not in refused.raw


def test_a_wrong_row_of_parquet_is_refused_without_its_natural_id(
    tmp_path: Path, mapping: FileMapping, pseudonyms: Pseudonyms
) -> None:
    path = tmp_path / "sessions.parquet"
    row = dict(zip(HEADER.split(","), ROWS["bad number"].split(","), strict=True))
    pq.write_table(pa.Table.from_pylist([row]), path)
    _, (refused,) = read(path, mapping, pseudonyms)
    assert json.loads(refused.raw)["Energy"] == "much"
    assert b"anna" not in refused.raw


def test_a_mapping_with_a_pseudonym_is_not_read_without_keys(
    sessions: Path, mapping: FileMapping
) -> None:
    with pytest.raises(ValueError, match="mapping m has a pseudonym: it needs the keys"):
        next(read_file(sessions, mapping))


# Over Kafka


@pytest.fixture
def settings(broker: str) -> BrokerSettings:
    return BrokerSettings(bootstrap=broker, prefix=f"natural-{uuid4().hex[:8]}.")


async def everything(settings: BrokerSettings) -> dict[str, list[ConsumerRecord]]:
    """Return the messages of all topics, up to the ends they have now."""
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        topics = shipped().topics.values()
        places = [
            TopicPartition(settings.prefix + topic.name, partition)
            for topic in topics
            for partition in range(topic.partitions)
        ]
        consumer.assign(places)
        expected = sum((await consumer.end_offsets(places)).values())
        found: dict[str, list[ConsumerRecord]] = {topic.name: [] for topic in topics}
        while sum(map(len, found.values())) < expected:
            for place, some in (await consumer.getmany(timeout_ms=200)).items():
                found[place.topic.removeprefix(settings.prefix)] += some
        return found
    finally:
        await consumer.stop()


def parts_of(message: ConsumerRecord) -> Iterator[bytes]:
    yield message.key
    yield message.value
    for name, value in message.headers:
        yield name.encode()
        yield value


def test_no_natural_id_reaches_kafka_when_a_file_is_loaded(
    settings: BrokerSettings, sessions: Path, mapping: FileMapping, pseudonyms: Pseudonyms
) -> None:
    async def loaded() -> dict[str, list[ConsumerRecord]]:
        await ensure_topics(settings)
        async with CarbonflowProducer(settings) as producer:
            done = await load_files(
                [sessions],
                mapping=mapping,
                producer=producer,
                progress=lambda _: None,
                pseudonyms=pseudonyms,
            )
        assert (done.rows, done.sent) == (len(ROWS), 3)
        return await everything(settings)

    messages = asyncio.run(asyncio.wait_for(loaded(), 60))
    keys = [message.key.decode() for message in messages["charging-sessions"]]
    assert set(keys) == {pseudonyms.of("city", NATURAL), pseudonyms.of("fleet", NATURAL)}
    assert len(messages["refusals"]) == len(ROWS) - 3
    told = [part for some in messages.values() for one in some for part in parts_of(one)]
    assert [part for part in told if b"anna" in part] == []


def test_the_client_sends_pseudonyms_of_batches_and_of_single_records(
    settings: BrokerSettings, sessions: Path, pseudonyms: Pseudonyms
) -> None:
    plain = parse_mapping(MAPPING.replace(", pseudonym = true", ""), origin="m.toml")
    (block,) = read_file(sessions, plain)
    batch = block.batch.slice(0, 3)
    one = {name: column[0].as_py() for name, column in zip(batch.schema.names, batch, strict=True)}
    one |= {name: instant_ms(one[name].replace(tzinfo=UTC)) for name in ("started_at", "ended_at")}

    async def sent() -> dict[str, list[ConsumerRecord]]:
        await ensure_topics(settings)
        async with CarbonflowProducer(settings, pseudonyms) as producer:
            assert await producer.send_batch("charging_session", batch) == 3
        async with AsyncClient(ClientSettings(broker=settings), pseudonyms) as client:
            await (await client.send(ChargingSession(**one)))
        return await everything(settings)

    messages = asyncio.run(asyncio.wait_for(sent(), 60))["charging-sessions"]
    rows = decode("charging_session", [message.value for message in messages]).batch.to_pylist()
    assert [message.key.decode() for message in messages] == [row["account_id"] for row in rows]
    assert sorted((row["session_id"], row["account_id"]) for row in rows) == [
        ("1", pseudonyms.of("city", NATURAL)),
        ("1", pseudonyms.of("city", NATURAL)),
        ("2", pseudonyms.of("city", NATURAL)),
        ("3", pseudonyms.of("fleet", NATURAL)),
    ]


def test_the_client_sends_nothing_for_a_programme_without_a_key(
    settings: BrokerSettings, sessions: Path, pseudonyms: Pseudonyms
) -> None:
    plain = parse_mapping(MAPPING.replace(", pseudonym = true", ""), origin="m.toml")
    (block,) = read_file(sessions, plain)

    async def sent() -> dict[str, list[ConsumerRecord]]:
        await ensure_topics(settings)
        async with CarbonflowProducer(settings, pseudonyms) as producer:
            with pytest.raises(NoKeyError, match="'nowhere'"):
                await producer.send_batch("charging_session", block.batch)
        return await everything(settings)

    assert asyncio.run(asyncio.wait_for(sent(), 60))["charging-sessions"] == []
