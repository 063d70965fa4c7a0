"""The breaker opens where nothing can be read any more, and only there."""

from __future__ import annotations

import pytest

from streams.accounts import Accounts
from streams.breaker import Breaker, BreakerOpen
from streams.slice import Slice
from tests.streams.scene import Event, event, part_of, session, work

BROKEN = Event(b"broken")


def check(breaker: Breaker, part: Slice) -> None:
    breaker.check(work(Accounts(), part), len(part))


def test_a_run_of_unreadable_records_over_several_slices_opens_it() -> None:
    breaker = Breaker(5)
    check(breaker, part_of([BROKEN] * 4))
    with pytest.raises(BreakerOpen, match="5 records in a row"):
        check(breaker, part_of([BROKEN]))


def test_one_readable_record_ends_the_run() -> None:
    breaker = Breaker(5)
    for _ in range(3):
        check(breaker, part_of([BROKEN] * 4))
        check(breaker, part_of([*[BROKEN] * 9, event(session())]))


def test_records_that_are_refused_for_what_they_say_do_not_open_it() -> None:
    breaker = Breaker(2)
    check(breaker, part_of([event(session(energy_wh=-1))] * 10))


def test_zero_is_never() -> None:
    check(Breaker(0), part_of([BROKEN] * 100))
