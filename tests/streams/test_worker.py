"""Workers as processes on the embedded broker: what goes in comes out once, or the worker stops."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias
from urllib.request import urlopen

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from embedded.broker import free_port
from schemas.partition import partition_of
from schemas.singles import encode_one
from streams.accounts import Accounts
from tests.streams.deployment import PARTITIONS, WAIT_S, Deployment, deployment, until
from tests.streams.scene import (
    SESSIONS,
    TRIPS,
    Event,
    event,
    session,
    shipped_factors,
    trip,
    wire_balances,
    work,
)
from tests.streams.scene import sessions_of as slice_of

Scenario: TypeAlias = Callable[[Deployment], Coroutine[Any, Any, None]]
Play: TypeAlias = Callable[[Scenario], None]

EVENTS = 20
GRID = next(
    factor
    for factor in shipped_factors().factors
    if factor.kind == "grid_average" and factor.boundary == "ttw"
)


@pytest.fixture
def play(broker: str, tmp_path: Path) -> Play:
    """Play a scenario on a deployment of its own."""

    def run(scenario: Scenario) -> None:
        async def scene() -> None:
            async with asyncio.timeout(3 * WAIT_S), deployment(broker, tmp_path) as made:
                await scenario(made)

        asyncio.run(scene())

    return run


def test_all_that_a_worker_writes_is_lines_of_json(play: Play) -> None:
    async def scenario(made: Deployment) -> None:
        await made.make_topics()
        await made.publish(shipped_factors().factors)
        worker = made.start()
        await made.send(SESSIONS, [event(session())])
        await made.until_worked(worker)
        worker.child.terminate()
        assert await worker.ended() == 0
        told = [json.loads(line)["event"] for line in worker.said().splitlines()]
        assert (told[0], told[-1]) == ("process_started", "process_stopped")

    play(scenario)


def test_events_become_transfers_balances_and_refusals(play: Play) -> None:
    async def scenario(made: Deployment) -> None:
        await made.make_topics()
        await made.publish(shipped_factors().factors)
        worker = made.start()
        await made.send(
            SESSIONS, [event(session()), event(session()), event(session(session_id="S2"))]
        )
        await made.send(TRIPS, [event(trip()), Event(b"broken", key=b"bert")])
        await made.until_worked(worker)
        assert {one["transfer_id"]: one["amount_mg"] for one in await made.transfers()} == {
            "charging:test:S1:0:emission:0": 11_108_000,
            "charging:test:S1:0:reduction:0": 13_540_000,
            "charging:test:S2:0:emission:0": 11_108_000,
            "charging:test:S2:0:reduction:0": 13_540_000,
            "freight:test:T1:0:emission:0": 836_160_000,
            "freight:test:T1:0:reduction:0": 352_512_000,
        }
        balances = await made.balances()
        assert balances.keys() == {"anna", "bert"}
        assert balances["anna"]["reduction_mg"] == 2 * 13_540_000
        assert balances["anna"]["duplicate_count"] == 1
        assert balances["bert"]["trip_count"] == 1
        (refusal,) = await made.read("refusals")
        assert (refusal.key, refusal.value) == (b"bert", b"broken")
        headers = {name: text.decode() for name, text in refusal.headers}
        assert headers == {
            "code": "not_framed",
            "reason": headers["reason"],
            "origin": "worker",
            "topic": "freight-trips",
            "partition": str(partition_of(b"bert", PARTITIONS)),
            "offset": "1",
            "timestamp": str(refusal.timestamp),
        }
        worker.child.terminate()
        assert await worker.ended() == 0

    play(scenario)


def test_a_worker_is_given_several_brokers_of_which_some_may_be_away(play: Play) -> None:
    async def scenario(made: Deployment) -> None:
        await made.make_topics()
        await made.publish(shipped_factors().factors)
        worker = made.start(bootstrap=f"127.0.0.1:{free_port()},{made.settings.bootstrap}")
        await made.send(SESSIONS, [event(session())])
        await made.until_worked(worker)
        assert len(await made.transfers()) == 2

    play(scenario)


def test_a_factor_published_meanwhile_is_in_force_for_what_comes_after_it(play: Play) -> None:
    async def scenario(made: Deployment) -> None:
        await made.make_topics()
        first = replace(GRID, factor_id="mine", region="ATLANTIS", release="mine-1", value_mg=1000)
        await made.publish([first])
        worker = made.start()
        await made.send(SESSIONS, [event(session(grid_region="ATLANTIS"))])
        await made.until_worked(worker)
        await made.publish([replace(first, release="mine-2", value_mg=2000)])
        await made.until_said("2 factors in force after an update", worker)
        await made.send(SESSIONS, [event(session(grid_region="ATLANTIS", session_id="S2"))])
        await made.until_worked(worker)
        found = [
            (one["activity_id"], one["factor_id"], one["factor_release"], one["amount_mg"])
            for one in await made.transfers()
            if one["quantity"] == "emission"
        ]
        assert sorted(found) == [
            ("S1", "mine", "mine-1", 20 * 1000),
            ("S2", "mine", "mine-2", 20 * 2000),
        ]

    play(scenario)


def test_a_record_in_the_wrong_partition_is_put_right_and_booked_once(play: Play) -> None:
    async def scenario(made: Deployment) -> None:
        await made.make_topics()
        await made.publish([replace(GRID, region="CN-BJ")])
        home = partition_of(b"anna", PARTITIONS)
        worker = made.start()
        wrong = replace(event(session()), key=b"another key")
        await made.send(SESSIONS, [wrong], partition=1 - home)
        await made.until_worked(worker)
        transfers = await made.transfers()
        assert {one["quantity"] for one in transfers} == {"emission", "reduction"}
        assert {one["source_partition"] for one in transfers} == {home}
        records = await made.read(SESSIONS)
        (found,) = [one for one in records if one.partition != home]
        (put_right,) = [one for one in records if one.partition == home]
        assert (put_right.key, put_right.value) == (b"anna", wrong.value)
        assert put_right.timestamp == found.timestamp
        assert dict(put_right.headers) == {"rekeyed_from": f"{1 - home}:0".encode()}
        assert (await made.balances())["anna"]["session_count"] == 1

    play(scenario)


@pytest.mark.parametrize("store", ["memory", "rocksdb"])
def test_a_worker_killed_in_the_middle_and_started_again_books_everything_once(
    play: Play, store: str
) -> None:
    events = [
        event(session(session_id=f"S{number}", account_id=f"account-{number % 50}"))
        for number in range(3000)
    ]

    async def scenario(made: Deployment) -> None:
        await made.make_topics()
        await made.publish([replace(GRID, region="CN-BJ", value_mg=555_400)])
        await made.send(SESSIONS, events[:2000])
        small = {"slice_records_max": 20, "slice_bytes_max": 8192, "store": store}
        worker = made.start(**small)
        await made.until_committed(200, worker)
        worker.kill()
        worked = sum((await made.committed()).values())
        assert 200 <= worked < 2000, "the kill was meant to be in the middle"
        worker = made.start(**small)
        await made.send(SESSIONS, events[2000:])
        await made.until_worked(worker)
        transfers = await made.transfers()
        assert len(transfers) == 2 * 3000
        balances = await made.balances()
        assert len(balances) == 50
        for one in balances.values():
            assert (one["session_count"], one["duplicate_count"]) == (60, 0)
            assert one["reduction_mg"] == 60 * 13_540_000

    play(scenario)


async def stopped(made: Deployment, *, saying: str) -> None:
    """Start a worker that must stop by itself, with nothing committed and nothing written."""
    worker = made.start()
    assert await worker.ended() == 1
    assert saying in worker.said()
    assert await made.committed() == {}
    assert await made.read("transfers") == []


def test_an_unreadable_balance_of_its_own_stops_the_worker(play: Play) -> None:
    async def scenario(made: Deployment) -> None:
        await made.make_topics()
        await made.publish([GRID])
        await made.send("account-balances", [Event(b"broken", key=b"anna")])
        await made.send(SESSIONS, [event(session())])
        await stopped(made, saying="UnreadableBalance")

    play(scenario)


def test_accounts_without_committed_offsets_stop_the_worker(play: Play) -> None:
    async def scenario(made: Deployment) -> None:
        await made.make_topics()
        await made.publish([GRID])
        (balance,) = wire_balances(work(Accounts(), slice_of(session())))
        await made.send("account-balances", [Event(balance, key=b"anna")])
        await made.send(SESSIONS, [event(session())])
        await stopped(made, saying="OffsetsLost")

    play(scenario)


@pytest.mark.parametrize(
    "value", [b"broken", encode_one("freight_trip", trip())], ids=["broken", "a trip"]
)
def test_what_is_no_factor_stops_the_worker_before_it_has_booked_anything(
    play: Play, value: bytes
) -> None:
    async def scenario(made: Deployment) -> None:
        await made.make_topics()
        await made.send("emission-factors", [Event(value, key=b"r/f")], partition=0)
        await made.send(SESSIONS, [event(session())])
        await stopped(made, saying="stopping, offsets unmoved")

    play(scenario)


def test_a_worker_without_any_factor_stops_before_it_has_refused_anything(play: Play) -> None:
    async def scenario(made: Deployment) -> None:
        await made.make_topics()
        await made.send(SESSIONS, [event(session())])
        worker = made.start(startup_wait_s_max=2)
        assert await worker.ended() == 1
        assert "FactorsMissing" in worker.said()
        assert await made.committed() == {}

    play(scenario)


def test_what_is_no_factor_stops_a_worker_that_runs(play: Play) -> None:
    async def scenario(made: Deployment) -> None:
        await made.make_topics()
        await made.publish([GRID])
        worker = made.start()
        await made.until_said("factors in force", worker)
        await made.send("emission-factors", [Event(b"broken", key=b"r/f")], partition=0)
        assert await worker.ended() == 1
        assert "stopping, offsets unmoved" in worker.said()

    play(scenario)


def test_missing_topics_are_told_by_name(play: Play) -> None:
    async def scenario(made: Deployment) -> None:
        worker = made.start(startup_wait_s_max=1)
        assert await worker.ended() == 1
        last = worker.said().splitlines()[-1]
        assert "topics must exist with equal numbers of partitions" in last
        assert f"{made.settings.prefix}charging-sessions 0" in last

    play(scenario)


def test_a_group_that_does_not_take_the_worker_in_stops_it(play: Play) -> None:
    async def scenario(made: Deployment) -> None:
        await made.make_topics()
        await made.publish([GRID])
        # The broker refuses so short a session; Faust would log that and wait for ever.
        worker = made.start(startup_wait_s_max=5, session_timeout_s=1)
        assert await worker.ended() == 1
        assert f"not a member of group {made.group}" in worker.said()

    play(scenario)


def test_topics_with_different_numbers_of_partitions_are_told(play: Play) -> None:
    async def scenario(made: Deployment) -> None:
        admin = AIOKafkaAdminClient(**made.settings.client_options())
        await admin.start()
        try:
            await admin.create_topics([NewTopic(made.settings.topic("transfers"), 3, 1)])
        finally:
            await admin.close()
        await made.make_topics()
        worker = made.start(startup_wait_s_max=1)
        assert await worker.ended() == 1
        last = worker.said().splitlines()[-1]
        assert f"{made.settings.prefix}transfers 3" in last
        assert f"{made.settings.prefix}refusals 2" in last

    play(scenario)


def test_the_marker_of_a_transaction_is_no_lag(play: Play) -> None:
    port = free_port()

    def told() -> str:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    async def scenario(made: Deployment) -> None:
        await made.make_topics()
        await made.publish(shipped_factors().factors)
        worker = made.start(metrics_port=port)
        options = {**made.settings.client_options(), "transactional_id": "replay", "acks": "all"}
        async with AIOKafkaProducer(**options) as producer, producer.transaction():
            for number in range(EVENTS):
                one = event(session(session_id=f"S{number}"))
                await producer.send(made.settings.topic(SESSIONS), key=one.key, value=one.value)
        await made.until_said("open: 0 accounts", worker)

        async def level() -> bool:
            lines = (await asyncio.to_thread(told)).splitlines()
            worked = f'carbonflow_events_total{{topic="{SESSIONS}"}} {float(EVENTS)}' in lines
            lags = [line for line in lines if re.match(r"carbonflow_lag_\w+{", line)]
            return worked and len(lags) > 0 and all(line.endswith(" 0.0") for line in lags)

        await until(level, worker)

    play(scenario)
