"""The load of the benchmarks is the same every time and as spoilt as it says."""

from collections import Counter
from typing import Final

import pytest

from benchmarks.generate import Load, Message, broken, messages
from schemas.columns import decode

LOAD: Final = Load(events=40_000, accounts=5_000)


@pytest.fixture(scope="module")
def sent() -> list[Message]:
    return [message for chunk in messages(LOAD) for message in chunk]


def test_the_same_load_gives_the_same_bytes(sent: list[Message]) -> None:
    assert [message for chunk in messages(LOAD) for message in chunk] == sent


def test_there_are_as_many_messages_as_asked_for(sent: list[Message]) -> None:
    assert len(sent) == LOAD.events


def test_one_event_in_a_hundred_is_a_repeat(sent: list[Message]) -> None:
    assert len(sent) - len(set(sent)) == pytest.approx(LOAD.events * LOAD.duplicates, rel=0.1)


def test_one_event_in_a_thousand_is_refused_by_the_decoder(sent: list[Message]) -> None:
    refused = decode("charging_session", [value for _, value in sent]).refused
    assert len(refused) == pytest.approx(LOAD.events * LOAD.broken, rel=0.3)


def test_the_busiest_account_is_busy_and_most_are_not(sent: list[Message]) -> None:
    counts = sorted(Counter(key for key, _ in sent).values(), reverse=True)
    assert counts[0] > 10 * counts[len(counts) // 2]


@pytest.mark.parametrize("way", range(4))
def test_what_is_broken_cannot_be_decoded(sent: list[Message], way: int) -> None:
    (refused,) = decode("charging_session", [broken(sent[0][1], way=way)]).refused
    assert refused.position == 0


def test_a_session_is_keyed_by_its_account(sent: list[Message]) -> None:
    decoded = decode("charging_session", [value for _, value in sent[:1000]])
    accounts = decoded.batch.column("account_id").to_pylist()
    keys = [sent[position][0].decode() for position in decoded.positions.tolist()]
    assert accounts == keys
