"""However often workers crash, sleep and lose their partitions: the books are those of a quiet day.

`make simulate` plays more days than these.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from random import Random

import pytest
from aiokafka.structs import TopicPartition

from sinks.connect import StoreSettings
from streams.lookup import Lookup
from tests.simulation import clients
from tests.simulation.broker import Broker
from tests.simulation.days import play
from tests.simulation.group import Group
from tests.simulation.loop import VirtualLoop
from tests.simulation.mutations import MUTATIONS
from tests.simulation.oracle import check
from tests.simulation.process import CURRENT, Process
from tests.simulation.store import Store
from tests.simulation.world import SESSION_S, SETTINGS, SOURCES, World, simulated

SEEDS = range(40)
FAULTS = ("kill", "die later", "pause", "add", "remove", "compact", "release", "store away")
BITTEN = 200
"""A mutation must be found within so many seeds."""


@pytest.mark.parametrize("seed", SEEDS)
def test_a_bad_day_ends_in_the_books_of_a_quiet_one(seed: int) -> None:
    _, wrong, _ = play(seed)
    assert wrong is None


def test_the_bad_days_were_bad() -> None:
    happened = sum((play(seed)[2] for seed in range(120)), Counter[str]())
    assert not {kind for kind in FAULTS if happened[kind] < 5}
    assert happened["exit 3"], "a paused owner was fenced when it woke up"
    assert happened["late asked"] > 20, "the store was asked about late events"


def test_fresh_events_go_on_while_the_store_is_away_all_day() -> None:
    waited = 0
    for seed in range(20):
        world = World(seed, is_store_away=True)
        world.play()
        check(world.broker, world.load, is_late_asked=True)
        waited += world.waited
    assert waited > 10, "late events waited until it was back"


def test_the_same_seed_is_the_same_day() -> None:
    def log(seed: int) -> list[bytes]:
        world = World(seed)
        world.play()
        return [batch.data for batch in world.broker.logs[TopicPartition("transfers", 0)].batches]

    assert log(7) == log(7)
    assert log(7) != log(8)


def test_a_member_whose_session_ends_while_it_waits_to_be_assigned_joins_anew() -> None:
    loop = VirtualLoop(Random(0))
    group = Group("simulated", SOURCES, SESSION_S)

    async def day() -> None:
        group.join("a")
        group.join("b")
        loop.pass_time(SESSION_S + 1)
        group.join("c")
        assert group.answer("c") == (group.generation, set(SOURCES))
        assert group.answer("b") is None
        assert not group.beat("c", group.generation)
        assert group.answer("c") is not None

    loop.run_until_complete(day())
    loop.close()
    assert sorted(group.assigned) == ["b", "c"]


def test_the_store_is_not_asked_before_it_has_what_was_committed_a_moment_ago() -> None:
    chance, place = Random(0), TopicPartition("transfers", 0)
    loop = VirtualLoop(chance)
    broker = Broker(chance, SESSION_S)
    store = Store(broker, chance, SETTINGS.sink_group)
    log = broker.logs[place]

    async def day() -> None:
        CURRENT.set(Process("worker", broker, chance))
        producer = clients.Producer(transactional_id="book")
        await producer.start()
        await producer.begin_transaction()
        batch = producer.create_batch()
        batch.append(key=b"anna", value=b"a transfer", timestamp=0, headers=[])
        await (await producer.send_batch(batch, place.topic, partition=place.partition))
        await producer.commit_transaction()
        assert log.stable_end < log.end, "its marker is not written yet"
        waiting = asyncio.create_task(
            Lookup(SETTINGS, StoreSettings())._until_stored(("late-charging-sessions", 0))
        )
        while log.unended:
            assert not waiting.done()
            await asyncio.sleep(0.001)
        await asyncio.sleep(1)
        assert not waiting.done(), "the sink has stored nothing"
        broker.committed[SETTINGS.sink_group, place] = log.end
        await waiting

    with simulated(loop, store, lambda *_: None):
        loop.run_until_complete(day())
    loop.close()


@pytest.mark.parametrize("mutation", sorted(MUTATIONS))
def test_every_mutation_is_found(mutation: str) -> None:
    assert any(play(seed, mutation)[1] is not None for seed in range(BITTEN))


def test_a_failing_seed_prints_the_command_that_repeats_it() -> None:
    command = [
        sys.executable,
        "-m",
        "tests.simulation",
        "--seeds",
        "3",
        "--mutation",
        "forget-seen",
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "python -m tests.simulation --seeds 1 --seed 0 --mutation forget-seen" in ran.stdout
    assert ran.stdout.splitlines()[-1].endswith(" failed")
    assert "0 failed" not in ran.stdout.splitlines()[-1]
