"""Both faces over the embedded broker: what is sent arrives where it belongs, and is reported."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import date
from uuid import uuid4

import pytest

from embedded.broker import free_port
from producers.client.asynchronous import AsyncClient
from producers.client.delivery import Delivery, NotDeliveredError, State
from producers.client.records import Activity, RefusedError, written
from producers.client.sending import BufferFullError, now_ms
from producers.client.settings import ClientSettings
from producers.client.sync import Client
from producers.pseudonyms import Key, NoKeyError, Pseudonyms
from producers.topics import ensure_topics
from schemas.partition import partition_of
from schemas.settings import BrokerSettings
from schemas.singles import decode_one
from tests.producers.client.sent import arrived, charging, firsts, freight

PARTITIONS = 4
TODAY_MS = now_ms()
"""Not a day long ago: the broker deletes what its topic keeps no longer, while a test reads it."""
REPORT_S_MAX = 60.0

NOW_MS = int(time.time() * 1000)
"""A broker drops records that say they are older than their topic keeps them."""


@pytest.fixture
def settings(broker: str) -> ClientSettings:
    at = BrokerSettings(bootstrap=broker, prefix=f"sdk-{uuid4().hex[:8]}.")
    asyncio.run(ensure_topics(at, partitions=PARTITIONS))
    return ClientSettings(broker=at, client_linger_ms=5)


@pytest.fixture
def nowhere() -> ClientSettings:
    """Settings of a client whose broker is not there."""
    at = BrokerSettings(bootstrap=f"127.0.0.1:{free_port()}")
    return ClientSettings(broker=at, client_block_s_max=0.2, client_close_s_max=0.2)


def some(count: int) -> list[Activity]:
    """Return sessions and trips of a few accounts, one of them with letters of all kinds."""
    accounts = [*(f"account-{number}" for number in range(20)), "北京-é", "x" * 900]
    return [
        make(**{name: f"{number}"}, account_id=accounts[number % len(accounts)])
        for number in range(count)
        for make, name in [((charging, "session_id"), (freight, "trip_id"))[number % 2]]
    ]


async def sent_by(client: AsyncClient, records: list[Activity]) -> list[Delivery]:
    return [await client.send(record) for record in records]


@pytest.mark.parametrize("face", ["sync", "async"])
def test_each_record_arrives_under_its_account_and_its_report_says_where(
    settings: ClientSettings, face: str
) -> None:
    records = some(2_000)

    async def asynchronously() -> list[Delivery]:
        async with AsyncClient(settings, clock_ms=lambda: TODAY_MS) as client:
            deliveries = await sent_by(client, records)
            assert (await deliveries[0]).state is State.DELIVERED
            await client.flush(REPORT_S_MAX)
            assert client.waiting == 0
            return deliveries

    def synchronously() -> list[Delivery]:
        with Client(settings, clock_ms=lambda: TODAY_MS) as client:
            deliveries = [client.send(record) for record in records]
            assert deliveries[0].result(REPORT_S_MAX).state is State.DELIVERED
            client.flush(REPORT_S_MAX)
            assert client.waiting == 0
            return deliveries

    deliveries = synchronously() if face == "sync" else asyncio.run(asynchronously())
    there = {}
    for topic in ("charging-sessions", "freight-trips"):
        for message in arrived(settings.broker, topic):
            assert message.timestamp == TODAY_MS
            there[message.topic, message.partition, message.offset] = message.key, message.value
    assert len(there) == len(records)
    for record, delivery in zip(records, deliveries, strict=True):
        report = delivery.report()
        key = record.account_id.encode()
        assert there[report.topic, report.partition, report.offset] == (
            key,
            written(record, TODAY_MS),
        )
        # The Java client's murmur2, as the workers have it.
        assert report.partition == partition_of(key, PARTITIONS)


def test_the_order_of_an_account_is_kept(settings: ClientSettings) -> None:
    records = [
        charging(session_id=f"{number:05d}", account_id=f"{number % 7}") for number in range(5_000)
    ]
    with Client(settings, clock_ms=lambda: TODAY_MS) as client:
        for record in records:
            client.send(record)
    found = firsts(arrived(settings.broker, "charging-sessions"))
    assert found == {
        str(account): [record.session_id for record in records[account::7]] for account in range(7)
    }


def test_what_is_refused_is_not_sent(settings: ClientSettings) -> None:
    with Client(settings, clock_ms=lambda: TODAY_MS) as client:
        client.send(charging(session_id="before"))
        with pytest.raises(RefusedError) as refused:
            client.send(charging(energy_wh=-1))
        client.send(charging(session_id="after"))
    assert refused.value.code == "energy_out_of_range"
    assert firsts(arrived(settings.broker, "charging-sessions")) == {"anna": ["before", "after"]}


# Natural ids


def pseudonyms() -> Pseudonyms:
    key = Key(number=1, created=date(2026, 3, 1), secret=b"0123456789abcdef0123456789abcdef")
    return Pseudonyms({"cn-charging": [key]})


@pytest.mark.parametrize("spooled", [False, True])
def test_only_pseudonyms_leave_the_process(
    settings: ClientSettings, tmp_path_factory: pytest.TempPathFactory, spooled: bool
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    if spooled:
        settings = replace(settings, client_spool=folder)
    natural, seen = "DE-8AA-C123456", []
    with Client(settings, pseudonyms(), clock_ms=lambda: TODAY_MS) as client:
        client.send(charging(account_id=f" {natural} "))
        with pytest.raises(NoKeyError, match="'cn-freight'"):
            client.send(freight(account_id=natural))
        with pytest.raises(RefusedError, match="identity_invalid"):
            client.send(charging(account_id=" "))
        seen += [path.read_bytes() for path in folder.iterdir()]
        client.flush(REPORT_S_MAX)
    (message,) = arrived(settings.broker, "charging-sessions")
    assert arrived(settings.broker, "freight-trips") == []
    assert message.key.decode() == pseudonyms().of("cn-charging", natural)
    assert decode_one(message.value)[1]["account_id"] == message.key.decode()
    assert [part for part in (message.key, message.value, *seen) if natural.encode() in part] == []


# A broker that is not there


def test_memory_is_bounded_and_a_sender_waits_for_room_and_then_is_told(
    nowhere: ClientSettings,
) -> None:
    nowhere = replace(nowhere, client_buffer_records_max=50, client_delivery_s_max=600.0)
    deliveries: list[Delivery] = []

    def sent() -> None:
        with Client(nowhere) as client:
            deliveries.extend(client.send(charging()) for _ in range(50))
            began = time.monotonic()
            with pytest.raises(BufferFullError, match="50 records wait"):
                client.send(charging())
            assert time.monotonic() - began >= nowhere.client_block_s_max
            assert client.waiting == 50

    with pytest.raises(NotDeliveredError, match="50 records"):
        sent()
    assert {delivery.report().state for delivery in deliveries} == {State.FAILED}


def test_bytes_in_memory_are_bounded_and_a_loop_goes_on_while_a_sender_waits(
    nowhere: ClientSettings,
) -> None:
    nowhere = replace(nowhere, client_buffer_bytes_max=1_000_000, client_delivery_s_max=600.0)
    large = charging(evse_id="e" * 100_000)

    async def sent() -> None:
        async with AsyncClient(nowhere) as client:
            for _ in range(9):
                await client.send(large)
            turns = asyncio.create_task(count_turns())
            with pytest.raises(BufferFullError):
                await client.send(large)
            turns.cancel()
            with pytest.raises(asyncio.CancelledError):
                await turns
            assert turned, "the loop had no turn while a sender waited"

    turned: list[int] = []

    async def count_turns() -> None:
        while True:
            turned.append(1)
            await asyncio.sleep(0)

    with pytest.raises(NotDeliveredError, match="9 records"):
        asyncio.run(sent())


def test_a_record_that_is_not_acknowledged_in_time_has_failed(nowhere: ClientSettings) -> None:
    with Client(replace(nowhere, client_delivery_s_max=0.3, client_linger_ms=1)) as client:
        delivery = client.send(charging())
        with pytest.raises(NotDeliveredError, match="timed out"):
            delivery.result(REPORT_S_MAX)
        assert delivery.report().state is State.FAILED


def test_a_flush_ends_at_its_deadline_and_says_how_many_are_missing(
    nowhere: ClientSettings,
) -> None:
    def sent() -> None:
        with Client(nowhere) as client:
            for _ in range(3):
                client.send(charging())
            began = time.monotonic()
            with pytest.raises(NotDeliveredError, match="3 records"):
                client.flush(s_max=0.2)
            assert 0.2 <= time.monotonic() - began < 30
            assert client.waiting == 3

    with pytest.raises(NotDeliveredError, match="3 records"):
        sent()


def test_what_ends_a_context_is_not_hidden_by_what_is_not_delivered(
    nowhere: ClientSettings, caplog: pytest.LogCaptureFixture
) -> None:
    def sent() -> None:
        with Client(nowhere) as client:
            client.send(charging())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        sent()
    assert "1 records are not delivered" in caplog.text


def test_a_client_that_is_not_open_says_so() -> None:
    with pytest.raises(RuntimeError, match="`with` block"):
        Client(ClientSettings()).send(charging())
    with pytest.raises(RuntimeError, match="`async with` block"):
        asyncio.run(AsyncClient(ClientSettings()).send(charging()))


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_linger_ms": -1},
        {"client_buffer_records_max": 0},
        {"client_buffer_bytes_max": 1_000},
        {"client_delivery_s_max": 0.0},
        {"client_spool_bytes_max": 10},
    ],
)
def test_settings_that_nothing_can_be_sent_with_are_refused(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=f"CARBONFLOW_{name.upper()} is"):
        ClientSettings(**wrong)  # type: ignore[arg-type]
