"""What a worker that refuses leaves behind: attempts go with a record, and the breaker stops it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from schemas.attempts import Attempt, attempt_of
from schemas.partition import partition_of
from streams.accounts import Accounts
from streams.delivery import messages_of_refusals
from streams.slice import Slice
from tests.streams.deployment import PARTITIONS, WAIT_S, Deployment, deployment
from tests.streams.restarts import restarts_let_nothing_more_through
from tests.streams.scene import SESSIONS, event, session, shipped_factors, work
from tests.wire import fetched_from

Scenario = Callable[[Deployment], Coroutine[Any, Any, None]]
Headers = list[tuple[str, bytes]]


def played(broker: str, folder: Path, scenario: Scenario) -> None:
    """Play a scenario on a deployment of its own."""

    async def scene() -> None:
        async with asyncio.timeout(3 * WAIT_S), deployment(broker, folder) as made:
            await made.make_topics()
            await made.publish(shipped_factors().factors)
            await scenario(made)

    asyncio.run(scene())


async def send(made: Deployment, fields: dict[str, object], headers: Headers, *, off: int) -> None:
    """Send a session so many partitions off its own, with headers."""
    one = event(fields)
    async with AIOKafkaProducer(**made.settings.client_options()) as producer:
        await producer.send_and_wait(
            made.settings.topic(SESSIONS),
            key=one.key,
            value=one.value,
            headers=headers,
            partition=(partition_of(one.key or b"", PARTITIONS) + off) % PARTITIONS,
        )


def bad(name: str) -> dict[str, object]:
    return session(session_id=name, energy_wh=-1)


def test_the_next_refusal_knows_which_attempt_it_was(broker: str, tmp_path: Path) -> None:
    again = Attempt(2, "1-7").headers()

    async def scenario(made: Deployment) -> None:
        worker = made.start()
        await send(made, bad("again"), [("x", b"y"), *again], off=0)
        await send(made, bad("moved"), again, off=1)
        await send(made, bad("plain"), [], off=0)
        # Other programs have such a header, too; it says nothing about us.
        await send(made, bad("foreign"), [("attempt", b"5")], off=0)
        await made.until_worked(worker)
        refused = await made.read("refusals")
        names = ("again", "moved", "plain", "foreign")
        found = {
            name: attempt_of(one.headers)
            for one in refused
            for name in names
            if name.encode() in one.value
        }
        two = Attempt(2, "1-7")
        assert found == {"again": two, "moved": two, "plain": None, "foreign": None}
        assert len(refused) == 4
        assert all("x" not in dict(one.headers) for one in refused)
        copies = [
            dict(one.headers)
            for one in await made.read(SESSIONS)
            if "rekeyed_from" in dict(one.headers)
        ]
        assert [(copy["attempt"], copy["replay_of"]) for copy in copies] == [(b"2", b"1-7")]

    played(broker, tmp_path, scenario)


def test_the_breaker_stops_the_worker_with_offsets_unmoved(broker: str, tmp_path: Path) -> None:
    async def scenario(made: Deployment) -> None:
        worker = made.start(breaker_records=5)
        await made.send(SESSIONS, [event(session(session_id=f"G{n}")) for n in range(3)])
        await made.until_worked(worker)
        before = await made.committed()
        await made.send(SESSIONS, [event(bad(f"B{n}")) for n in range(6)])
        assert await worker.ended() != 0
        assert "records of source 'test': " in worker.said()
        assert "energy_out_of_range" in worker.said()
        # Records may have come in more than one slice, of which the last opened it.
        worked = sum((await made.committed()).values()) - sum(before.values())
        assert worked < 5
        assert len(await made.read("refusals")) == worked
        unbroken = made.start(breaker_records=0)
        await made.until_worked(unbroken)
        assert len(await made.read("refusals")) == 6

    played(broker, tmp_path, scenario)


def test_restarts_let_nothing_more_through(broker: str, tmp_path: Path) -> None:
    played(broker, tmp_path, restarts_let_nothing_more_through)


def fetched(headers: Headers, *, mend: Callable[[bytes], bytes] = bytes) -> Slice:
    """Return a slice with two records that are refused, the second with headers."""
    builder = DefaultRecordBatchBuilder(
        2, 0, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1,
        batch_size=1 << 20,
    )  # fmt: skip
    one = event(bad("B1"))
    builder.append(0, one.timestamp_ms, one.key, one.value, [])
    builder.append(1, one.timestamp_ms, one.key, one.value, list(headers))
    records = fetched_from(mend(bytes(builder.build())), check_crcs=False)
    return Slice.of(SESSIONS, 0, records)


def attempts(part: Slice) -> list[Attempt | None]:
    outcome = work(Accounts(), part)
    return [attempt_of(headers) for *_, headers in messages_of_refusals(part, outcome)]


def test_headers_stay_with_their_record_in_what_is_left_of_a_slice() -> None:
    part = fetched(Attempt(1, "0-3").headers())
    assert attempts(part) == [None, Attempt(1, "0-3")]
    assert attempts(part.since(1)) == [Attempt(1, "0-3")]


def test_a_header_whose_name_is_no_text_is_nothing_to_us() -> None:
    headers = [("badname", b"1"), *Attempt(1, "0-3").headers()]
    part = fetched(headers, mend=lambda batch: batch.replace(b"badname", b"\xff" * 7))
    assert attempts(part) == [None, None]


@pytest.mark.parametrize(
    "headers",
    [
        [("attempt", b"1")],
        [("replay_of", b"0-3")],
        [("attempt", b"one"), ("replay_of", b"0-3")],
        [("attempt", b"1"), ("replay_of", b"0:3")],
        [("attempt", b"9999999"), ("replay_of", b"0-3")],
    ],
)
def test_half_of_an_attempt_is_none(headers: Headers) -> None:
    assert attempts(fetched(headers)) == [None, None]
