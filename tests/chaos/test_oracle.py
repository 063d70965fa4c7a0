"""The oracle agrees, event by event, with the explanation of a single activity.

Both could be wrong in the same way only by accident: the oracle reads the files and reckons with
fractions, `carbon.explain` is the product's own arithmetic, one event at a time.
"""

from collections import defaultdict
from dataclasses import asdict, dataclass
from itertools import count

import pytest

from producers.factors.release import load_release
from producers.programmes.load import load_programmes
from producers.targets import topic_of
from schemas.columns import encode
from streams.states import SUMS
from tests.chaos.oracle import Oracle
from tests.chaos.traffic import Load, Part, Rows, traffic
from tests.kafka.expected import Books, books_of

EVENTS = 20_000


@dataclass(frozen=True, slots=True)
class Sent:
    """A record as it lies on a topic."""

    value: bytes


@pytest.fixture(scope="module")
def events() -> list[Part]:
    portions = traffic(Load(events=EVENTS, portion=200, seed=1))
    return [part for portion in portions for part in portion]


@pytest.fixture(scope="module")
def oracle(events: list[Part]) -> Oracle:
    oracle = Oracle()
    for part in events:
        oracle.add(part)
    return oracle


@pytest.fixture(scope="module")
def books(events: list[Part]) -> Books:
    logs: dict[str, list[Sent]] = defaultdict(list)
    for part in events:
        if isinstance(part, Rows):
            logs[topic_of(part.record)] += map(Sent, encode(part.record, part.batch))
        else:
            logs[part.topic].append(Sent(part.value))
    return books_of(logs, load_release().factors, load_programmes())


def test_every_transfer_has_the_same_amount(oracle: Oracle, books: Books) -> None:
    assert oracle.amounts == books.amounts


def test_every_balance_is_the_same(oracle: Oracle, books: Books) -> None:
    found = {
        account: {name: asdict(balance)[name] for name in SUMS}
        for account, balance in oracle.balances.items()
    }
    assert found == books.sums


def test_refusals_and_repeats_are_the_same(oracle: Oracle, books: Books) -> None:
    assert oracle.refused == books.refused
    assert oracle.duplicates == books.duplicates
    assert oracle.activities + oracle.duplicates + oracle.refused.total() == oracle.sent == EVENTS


def test_the_traffic_has_everything_that_can_go_wrong(oracle: Oracle) -> None:
    assert oracle.duplicates > 100
    assert oracle.refused.keys() == {
        "distance_out_of_range",
        "ended_before_started",
        "energy_out_of_range",
        "factor_not_found",
        "not_framed",
        "programme_unknown",
        "undecodable",
        "unknown_schema",
        "vehicle_class_unknown",
    }
    kinds = {balance.programme for balance in oracle.balances.values()}
    assert kinds == {"cn-charging", "cn-freight", "us-fleet"}


def test_some_repeats_come_long_after_what_they_repeat() -> None:
    first: dict[str, int] = {}
    numbers = count()
    apart = 0
    for portion in traffic(Load(events=6_000, portion=200, seed=5)):
        number = next(numbers)
        for part in portion:
            if isinstance(part, Rows) and part.record == "charging_session":
                for session_id in part.batch.column("session_id").to_pylist():
                    apart = max(apart, number - first.setdefault(session_id, number))
    assert apart >= 6
