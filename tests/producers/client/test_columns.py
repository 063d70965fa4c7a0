import asyncio
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from carbon.factors import Factor
from producers.client.columns import RAW_BYTES_MAX, CarbonflowProducer
from producers.files import read_file
from producers.load import Loaded, Progress, load_files
from producers.mapping import load_mapping
from producers.rows import UnmappedRow
from producers.sample import SampleRaw, sample
from producers.topics import ensure_topics
from schemas.catalogue import shipped
from schemas.columns import decode
from schemas.partition import partition_of
from schemas.settings import BrokerSettings
from schemas.singles import decode_one

T = TypeVar("T")

DATA = Path(__file__).parents[4] / "shared" / "data"
INDIA = DATA / "freight-india-hcv" / "master_data.redacted.slice.csv"


@pytest.fixture
def settings(broker: str) -> BrokerSettings:
    return BrokerSettings(bootstrap=broker, prefix=f"client-{uuid4().hex[:8]}.")


def run(work: Coroutine[object, object, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 60))


async def everything(settings: BrokerSettings, topic: str) -> list[ConsumerRecord]:
    """Return all messages of a topic, up to the end it has now."""
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        name = settings.prefix + topic
        count = shipped().topics[topic].partitions
        places = [TopicPartition(name, partition) for partition in range(count)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        messages: list[ConsumerRecord] = []
        while len(messages) < sum(ends.values()):
            for some in (await consumer.getmany(timeout_ms=200)).values():
                messages += some
        return messages
    finally:
        await consumer.stop()


def test_the_topics_of_the_catalogue_are_created_once(settings: BrokerSettings) -> None:
    async def twice() -> tuple[list[str], list[str]]:
        return list(await ensure_topics(settings)), list(await ensure_topics(settings))

    first, second = run(twice())
    assert first == sorted(settings.prefix + name for name in shipped().topics)
    assert second == []


def test_topics_may_be_created_by_several_at_once(settings: BrokerSettings) -> None:
    async def together() -> None:
        await asyncio.gather(*(ensure_topics(settings) for _ in range(3)))

    run(together())


def test_the_number_of_partitions_can_be_chosen(settings: BrokerSettings) -> None:
    async def chosen() -> int:
        await ensure_topics(settings, partitions=7)
        consumer = AIOKafkaConsumer(
            settings.prefix + "freight-trips", bootstrap_servers=settings.bootstrap
        )
        await consumer.start()
        try:
            return len(consumer.partitions_for_topic(settings.prefix + "freight-trips") or ())
        finally:
            await consumer.stop()

    assert run(chosen()) == 7


def test_a_batch_arrives_whole_under_its_accounts_and_in_order(settings: BrokerSettings) -> None:
    (block,) = read_file(INDIA, load_mapping("india-hcv"))

    async def there_and_back() -> list[ConsumerRecord]:
        await ensure_topics(settings)
        async with CarbonflowProducer(settings) as producer:
            assert await producer.send_batch("freight_trip", block.batch) == block.batch.num_rows
        return await everything(settings, "freight-trips")

    messages = run(there_and_back())
    assert all(m.partition == partition_of(m.key, 4) for m in messages)
    decoded = decode("freight_trip", [m.value for m in messages])
    assert decoded.refused == []
    assert [m.key.decode() for m in messages] == decoded.batch["account_id"].to_pylist()

    def by_account(rows: list[dict[str, object]]) -> dict[object, list[dict[str, object]]]:
        found: dict[object, list[dict[str, object]]] = {}
        for row in rows:
            found.setdefault(row["account_id"], []).append(row)
        return found

    assert by_account(decoded.batch.to_pylist()) == by_account(block.batch.to_pylist())


def test_a_refusal_says_where_its_row_was(settings: BrokerSettings) -> None:
    row = UnmappedRow("täglich.csv", 12, "row_bad_value", "energy_wh: …", b"1,\xff,x")

    async def there_and_back() -> list[ConsumerRecord]:
        await ensure_topics(settings)
        async with CarbonflowProducer(settings) as producer:
            await producer.send_refusals([row], columns="Nr,Größe,x")
        return await everything(settings, "refusals")

    (message,) = run(there_and_back())
    assert message.value == b"1,\xff,x"
    assert {name: value.decode() for name, value in message.headers} == {
        "code": "row_bad_value",
        "reason": "energy_wh: …",
        "origin": "loader",
        "topic": "",
        "partition": "",
        "offset": "",
        "timestamp": "",
        "file": "täglich.csv",
        "line": "12",
        "columns": "Nr,Größe,x",
    }


def test_a_row_too_long_for_a_message_is_cut_and_says_so(settings: BrokerSettings) -> None:
    row = UnmappedRow("f.csv", 2, "row_unmapped", "too wide", b"x" * 5_000_000)

    async def there_and_back() -> list[ConsumerRecord]:
        await ensure_topics(settings)
        async with CarbonflowProducer(settings) as producer:
            await producer.send_refusals([row])
        return await everything(settings, "refusals")

    (message,) = run(there_and_back())
    assert len(message.value) == RAW_BYTES_MAX
    assert b"cut" in dict(message.headers)["reason"]
    assert dict(message.headers)["bytes"] == b"5000000"


def test_factors_are_published_under_release_and_id(settings: BrokerSettings) -> None:
    factor = Factor(
        factor_id="f1",
        kind="grid_average",
        region="CN",
        subject="electricity",
        boundary="ttw",
        gas="co2",
        value_mg=530_600,
        unit="kwh",
        valid_from=0,
        valid_to=253_402_300_800_000,
        release="2026.1",
        publisher="p",
        publication="q",
        url="u",
        licence="l",
        evidence="V2",
    )

    async def there_and_back() -> list[ConsumerRecord]:
        await ensure_topics(settings)
        async with CarbonflowProducer(settings) as producer:
            await producer.publish_factors([factor])
        return await everything(settings, "emission-factors")

    (message,) = run(there_and_back())
    assert message.key == b"2026.1/f1"
    _, value = decode_one(message.value)
    assert Factor(**value) == factor  # type: ignore[arg-type]


def test_every_row_of_a_file_ends_as_a_record_or_a_refusal(settings: BrokerSettings) -> None:
    seen: list[Progress] = []

    async def loaded() -> tuple[Loaded, int, list[ConsumerRecord]]:
        await ensure_topics(settings)
        async with CarbonflowProducer(settings) as producer:
            result = await load_files(
                [INDIA],
                mapping=load_mapping("india-hcv"),
                producer=producer,
                progress=seen.append,
                rows_max=1_000,
            )
        trips = await everything(settings, "freight-trips")
        return result, len(trips), await everything(settings, "refusals")

    result, trips, refusals = run(loaded())
    assert trips + len(refusals) == 3_300
    assert result.rows == 3_300
    assert result.refused == Counter(dict(m.headers)["code"].decode() for m in refusals)
    assert [progress.rows for progress in seen] == [1_000, 2_000, 3_000, 3_300]
    assert seen[-1].done_bytes == seen[-1].size_bytes


def test_the_sample_is_sent_whole(settings: BrokerSettings) -> None:
    async def sent() -> tuple[int, int]:
        await ensure_topics(settings)
        async with CarbonflowProducer(settings) as producer:
            count = 0
            for part in sample(5_000):
                if isinstance(part, SampleRaw):
                    count += await producer.send_raw(part.topic, part.messages)
                else:
                    count += await producer.send_batch(part.record, part.batch)
        topics = ("charging-sessions", "freight-trips")
        return count, sum([len(await everything(settings, topic)) for topic in topics])

    assert run(sent()) == (5_000, 5_000)


def test_a_producer_that_is_not_open_says_so() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        asyncio.run(CarbonflowProducer(BrokerSettings()).send_raw("freight-trips", [(b"k", b"v")]))
