"""What the benchmark of balance queries asks for and concludes."""

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.pacing import Quantiles, Schedule
from benchmarks.probes import PacedLoad, paced_messages
from benchmarks.queries import Measured, below, known_accounts, section, sentence
from schemas.columns import decode

FOUND = Measured(
    requests_per_s=200,
    events_per_s=20_000,
    balance=Quantiles(p50_ms=6.0, p99_ms=19.9, max_ms=31.0, count=6_000),
    faults={},
    late=Quantiles(p50_ms=2.0, p99_ms=5.0, max_ms=9.0, count=20_000),
    others_cores=0.02,
)


def with_balance(**changes: Any) -> Measured:
    return replace(FOUND, balance=replace(FOUND.balance, **changes))


def test_p99_below_its_bar_is_no_miss() -> None:
    assert below(FOUND) == []


@pytest.mark.parametrize(
    ("found", "miss"),
    [
        (with_balance(p99_ms=20.0), "p99 is 20.0 ms, the bar is 20"),
        (with_balance(lost=7), "7 of 6000 requests got no balance"),
    ],
)
def test_what_is_above_the_bar_or_unanswered_is_told(found: Measured, miss: str) -> None:
    assert below(found) == [miss]


def test_the_sentence_names_both_rates_and_the_quantiles() -> None:
    assert sentence(FOUND) == (
        "200 balances/s while 20,000 events/s flow in: p50 6.0 ms, p99 19.9 ms, at most 31.0 ms"
    )


def test_faults_are_named() -> None:
    assert sentence(replace(FOUND, faults={"404": 3})).endswith(", 3 x 404")


def test_the_section_says_what_else_ran() -> None:
    assert "Others used 0.02 cores meanwhile." in section(FOUND)


def test_accounts_asked_for_have_a_sound_event_in_the_first_second() -> None:
    load = PacedLoad(schedule=Schedule(rate_per_s=3_000, seconds=2), partitions=4)
    first = [value for _, value in paced_messages(load)][:3_000]
    accounts = known_accounts(load)
    assert len(set(accounts)) == len(accounts) > 1_000
    assert set(accounts) == set(decode("charging_session", first).batch["account_id"].to_pylist())
