"""The pipeline on real Apache Kafka: worked, restarted, killed, shared, fenced, and stored.

After each of these the books must be those that follow from the log alone (`tests.kafka.expected`):
every activity booked once, every repeat counted, every refusal given once, whatever happened to the
workers meanwhile.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import clickhouse_connect
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from producers.factors.release import load_release
from producers.programmes.load import load_programmes
from schemas.catalogue import ACTIVITY_TOPICS
from schemas.singles import decode_one
from sinks.metrics import SinkMetrics
from sinks.migrate import migrate
from sinks.sink import SinkSettings, run_sink
from sinks.verify import verify
from sinks.writer import ROUTES
from streams.states import SUMS
from streams.stop import EXIT_FENCED
from tests.kafka.expected import Books, books_of
from tests.kafka.pipeline import PARTITIONS, WAIT_S, Pipeline, Worker, pipeline, until
from tests.kafka.server import KafkaServer

pytestmark = pytest.mark.kafka

JOINED = '"event": "recovery_began"'
"""What a worker logs of each partition its group has given it, once there is something to work."""

Scenario = Callable[[Pipeline], Awaitable[None]]


@pytest.fixture
def play(kafka: KafkaServer, tmp_path: Path) -> Callable[[Scenario], None]:
    """Play a scenario on a pipeline of its own."""

    def run(scenario: Scenario) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(3 * WAIT_S), pipeline(kafka, tmp_path) as made:
                await scenario(made)

        asyncio.run(bounded())

    return run


async def check_books(made: Pipeline) -> Books:
    """Fail unless the books are exactly those of the log; return them."""
    logs = {topic: await made.read(topic) for topic in ACTIVITY_TOPICS}
    books = books_of(logs, load_release().factors, load_programmes())
    transfers = [decode_one(message.value)[1] for message in await made.read("transfers")]
    times_booked = Counter(transfer["transfer_id"] for transfer in transfers)
    assert set(times_booked.values()) == {1}
    assert {str(transfer["transfer_id"]): signed(transfer) for transfer in transfers} == (
        books.amounts
    )
    balances = [decode_one(message.value)[1] for message in await made.read("account-balances")]
    latest = {balance["account_id"]: balance for balance in balances}
    assert {
        account: {name: balance[name] for name in SUMS} for account, balance in latest.items()
    } == books.sums
    refusals = [dict(message.headers) for message in await made.read("refusals")]
    assert Counter(headers["code"].decode() for headers in refusals) == books.refused
    places = Counter((r["topic"], r["partition"], r["offset"]) for r in refusals)
    assert set(places.values()) == {1}
    events = sum(map(len, logs.values()))
    assert books.activities + books.duplicates + books.refused.total() == events == made.sent
    return books


def signed(transfer: dict[str, Any]) -> int:
    """Return what a transfer adds to its account [mg]."""
    toward = transfer["credit_account"] == transfer["account_id"]
    return int(transfer["amount_mg"] if toward else -transfer["amount_mg"])


async def events_worked(worker: Worker) -> int:
    """Return how many events a worker's metrics count."""

    def ask() -> str:
        with urlopen(f"http://127.0.0.1:{worker.metrics_port}/metrics") as answer:
            return str(answer.read().decode())

    families = text_string_to_metric_families(await asyncio.to_thread(ask))
    return sum(
        int(sample.value)
        for family in families
        for sample in family.samples
        if sample.name == "carbonflow_events_total"
    )


def test_the_books_are_those_of_an_independent_fold(play: Callable[[Scenario], None]) -> None:
    async def scenario(made: Pipeline) -> None:
        worker = made.start("a")
        await made.send(4_500)
        await made.until_settled(worker)
        books = await check_books(made)
        assert min(books.activities, books.duplicates, books.refused.total()) > 0
        assert await events_worked(worker) == made.sent
        assert worker.stop() == 0

    play(scenario)


def test_a_restarted_worker_works_the_backlog_and_books_nothing_twice(
    play: Callable[[Scenario], None],
) -> None:
    async def scenario(made: Pipeline) -> None:
        first = made.start("a")
        async with made.flowing():
            await made.until_done(500, first)
            assert first.stop() == 0
        assert await made.done() < made.sent
        again = made.start("a")
        await made.until_settled(again)
        await check_books(made)
        assert await events_worked(again) < made.sent

    play(scenario)


def test_a_worker_killed_in_the_middle_of_a_stream_loses_and_repeats_nothing(
    play: Callable[[Scenario], None],
) -> None:
    async def scenario(made: Pipeline) -> None:
        async with made.flowing():
            for reached in (400, 800):
                worker = made.start("a")
                await made.until_done(reached, worker)
                worker.kill()
        last = made.start("a")
        await made.until_settled(last)
        await check_books(made)

    play(scenario)


def test_a_second_worker_takes_a_share_and_leaves_it_when_it_dies(
    play: Callable[[Scenario], None],
) -> None:
    async def scenario(made: Pipeline) -> None:
        first = made.start("a")
        async with made.flowing():
            await made.until_done(300, first)
            second = made.start("b")

            async def both_work() -> bool:
                return "open:" in second.said() and await events_worked(second) > 200

            await until(both_work, first, second)
            second.kill()
        await made.until_settled(first)
        assert 0 < await events_worked(first) < made.sent
        await check_books(made)

    play(scenario)


def test_a_worker_that_wakes_up_after_others_took_its_place_writes_nothing(
    play: Callable[[Scenario], None],
) -> None:
    async def scenario(made: Pipeline) -> None:
        async with made.flowing():
            sleeper = made.start("a")

            async def all_books_are_open() -> bool:
                return sleeper.said().count(" open: ") == PARTITIONS

            await until(all_books_are_open, sleeper)
            joined = sleeper.said().count(JOINED)
            sleeper.pause()
            other = made.start("b")
            await made.until_done(made.sent, other)
            sleeper.wake()

            async def has_noticed() -> bool:
                return sleeper.child.poll() is not None or sleeper.said().count(JOINED) > joined

            await until(has_noticed, other)
        await made.until_settled(other)
        assert sleeper.child.poll() in (None, EXIT_FENCED)
        await check_books(made)

    play(scenario)


def test_what_a_sink_stores_verifies(play: Callable[[Scenario], None], tmp_path: Path) -> None:
    async def scenario(made: Pipeline) -> None:
        settings = SinkSettings(
            bootstrap=made.settings.bootstrap,
            prefix=made.settings.prefix,
            sink_group=f"{made.settings.prefix}sink",
            sink_wait_ms_max=50,
        )
        stop = asyncio.Event()
        worker = made.start("a")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run_sink(settings, client, SinkMetrics(CollectorRegistry()), stop))
            await made.send(4_500)
            await made.until_settled(worker)

            async def stored() -> bool:
                ends = await made.ends(ROUTES, "read_uncommitted")
                return await made.committed(settings.group_id, ROUTES) == {
                    place: end for place, end in ends.items() if end
                }

            await until(stored, worker)
            stop.set()
        worked = await made.committed(made.group, ACTIVITY_TOPICS)
        places = {(place.topic, place.partition): offset for place, offset in worked.items()}
        verdict = verify(client, places)
        assert verdict.drift == ()
        assert verdict.ok
        books = await check_books(made)
        ((rows,),) = client.query("SELECT count() FROM carbonflow.ledger").result_rows
        assert rows == len(books.amounts)

    path = str(tmp_path / "store")
    with clickhouse_connect.get_client(interface="chdb", path=path) as client:
        migrate(client)
        play(scenario)
