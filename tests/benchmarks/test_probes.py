"""Probes: spread over partitions, on the load's schedule, and told apart from it."""

from collections import Counter
from typing import Final

import pytest

from benchmarks.generate import Message
from benchmarks.pacing import Schedule
from benchmarks.probes import (
    ACCOUNTS_PER_PARTITION,
    PacedLoad,
    ProbeAccounts,
    is_probe,
    paced_messages,
    probe_of,
)
from schemas.columns import decode
from schemas.partition import partition_of

LOAD: Final = PacedLoad(schedule=Schedule(rate_per_s=2_000, seconds=5), partitions=4)


@pytest.fixture(scope="module")
def sent() -> list[Message]:
    return list(paced_messages(LOAD))


def test_there_are_as_many_messages_as_scheduled(sent: list[Message]) -> None:
    assert len(sent) == LOAD.schedule.events == 10_000


def test_a_probe_comes_every_50_ms(sent: list[Message]) -> None:
    places = [number for number, (key, _) in enumerate(sent) if is_probe(key)]
    assert places == list(range(0, 10_000, 100))


def test_a_probe_is_due_when_its_message_is(sent: list[Message]) -> None:
    due_s = LOAD.schedule.due_s(7.0)
    places = [number for number, (key, _) in enumerate(sent) if is_probe(key)]
    assert LOAD.probes_due_s(7.0).tolist() == due_s[places].tolist()


def test_a_slow_load_is_all_probes_and_no_more() -> None:
    slow = PacedLoad(schedule=Schedule(rate_per_s=10, seconds=2), partitions=4)
    assert [is_probe(key) for key, _ in paced_messages(slow)] == [True] * 20


def test_a_probe_is_a_sound_session_of_its_account(sent: list[Message]) -> None:
    probes = [value for key, value in sent if is_probe(key)]
    decoded = decode("charging_session", probes)
    accounts = ProbeAccounts.over(LOAD.partitions)
    assert not decoded.refused
    numbers = [probe_of(session) for session in decoded.batch["session_id"].to_pylist()]
    assert numbers == list(range(LOAD.probes))
    assert decoded.batch["account_id"].to_pylist() == [accounts.of(number) for number in numbers]


@pytest.mark.parametrize("partitions", [1, 4, 6])
def test_neighbouring_probes_are_in_different_partitions(partitions: int) -> None:
    accounts = ProbeAccounts.over(partitions)
    homes = [
        partition_of(accounts.of(probe).encode(), partitions) for probe in range(3 * partitions)
    ]
    assert homes == [*range(partitions)] * 3


def test_all_partitions_have_as_many_probe_accounts() -> None:
    homes = Counter(partition_of(name.encode(), 4) for name in ProbeAccounts.over(4).names)
    assert homes == dict.fromkeys(range(4), ACCOUNTS_PER_PARTITION)


def test_the_ordinal_counts_the_probes_of_an_account() -> None:
    accounts = ProbeAccounts.over(4)
    own = [probe for probe in range(200) if accounts.of(probe) == accounts.of(5)]
    assert [accounts.ordinal(probe) for probe in own] == list(range(1, len(own) + 1))
