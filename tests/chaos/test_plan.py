"""The plan of faults: the seed decides it, and every kind is in it."""

from collections import Counter

import pytest

from tests.chaos.plan import AWAY_S_MAX, KINDS, plan


def test_the_same_seed_makes_the_same_plan_and_another_another() -> None:
    assert plan(1, seconds=300, session_s=5) == plan(1, seconds=300, session_s=5)
    assert plan(1, seconds=300, session_s=5) != plan(2, seconds=300, session_s=5)


@pytest.mark.parametrize("seconds", [60, 300, 900])
def test_every_kind_is_injected_as_often_as_any_other(seconds: int) -> None:
    times = Counter(fault.kind for fault in plan(7, seconds=seconds, session_s=5))
    assert times.keys() == set(KINDS)
    assert set(times.values()) == {max(1, seconds // 150)}


def test_faults_come_one_after_another_while_events_are_sent() -> None:
    at = [fault.at_s for fault in plan(3, seconds=60, session_s=5)]
    assert at == sorted(at)
    assert 0 < at[0] < at[-1] < 60


def test_a_worker_stands_still_beyond_its_session_and_the_store_is_away_a_minute_at_most() -> None:
    lasts = {fault.kind: fault.lasts_s for fault in plan(1, seconds=900, session_s=5)}
    assert lasts["pause worker"] > 2 * 5
    assert lasts["take store"] == AWAY_S_MAX
