"""Replay against a broker: where it may stop, and how fast it goes."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaProducer

from producers.again import ReplayFenced, sending
from producers.refused import Wanted
from producers.replay import Plan, Totals, replay
from tests.producers.replaying import (
    Place,
    ids,
    refused,
    tried,
)


def test_an_interrupted_replay_goes_on_where_it_was(broker: str) -> None:
    class Interrupted(Exception):
        pass

    async def test(place: Place) -> None:
        await place.put(*(refused(number) for number in range(5)))
        rests, totals = 0, Totals()

        async def rest(_: float) -> None:
            nonlocal rests
            rests += 1
            if rests == 3:
                raise Interrupted

        with pytest.raises(Interrupted):
            await replay(
                place.settings,
                Wanted(),
                Plan(rate=1.0),
                totals,
                progress=lambda *_: None,
                rest=rest,
            )
        assert totals.sent.total() == 2
        assert len(await place.sent()) == 2
        second = await place.replay()
        assert (second.sent.total(), second.passed_over) == (3, {"sent_before": 2})
        assert ids(await place.sent()) == ["S0", "S1", "S2", "S3", "S4"]

    tried(broker, test)


def test_a_group_that_fails_is_not_counted_nor_seen(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cut(Exception):
        pass

    async def test(place: Place) -> None:
        await place.put(refused(1))

        async def cut_off(_: AIOKafkaProducer) -> None:
            raise Cut

        totals = Totals()
        with monkeypatch.context() as patch:
            patch.setattr(AIOKafkaProducer, "commit_transaction", cut_off)
            with pytest.raises(Cut):
                await replay(place.settings, Wanted(), Plan(), totals, progress=lambda *_: None)
        assert totals.sent.total() == 0
        assert await place.sent() == []
        assert (await place.replay()).sent.total() == 1
        assert len(await place.sent()) == 1

    tried(broker, test)


def test_a_rate_is_kept(broker: str) -> None:
    async def test(place: Place) -> None:
        await place.put(*(refused(number) for number in range(6)))
        now, waited = 100.0, list[float]()

        async def rest(seconds: float) -> None:
            nonlocal now
            waited.append(seconds)
            now += seconds

        await replay(
            place.settings,
            Wanted(),
            Plan(rate=2.0),
            Totals(),
            progress=lambda *_: None,
            clock=lambda: now,
            rest=rest,
        )
        assert waited == [0.0, 1.0, 1.0]

    tried(broker, test)


def test_a_second_replay_fences_the_first(broker: str) -> None:
    async def test(place: Place) -> None:
        await place.put(refused(1))

        async def rest(_: float) -> None:
            async with sending(place.settings):
                pass

        with pytest.raises(ReplayFenced):
            await replay(
                place.settings,
                Wanted(),
                Plan(rate=1.0),
                Totals(),
                progress=lambda *_: None,
                rest=rest,
            )
        assert await place.sent() == []

    tried(broker, test)
