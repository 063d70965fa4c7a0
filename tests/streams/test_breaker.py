"""The breaker opens where too much of a source is refused, and only there."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest

from streams.accounts import Accounts
from streams.breaker import KEPT_BYTES_MAX, KEPT_MAX, WATCHED_MAX, Breaker, BreakerOpen
from streams.read import read
from streams.slice import Slice
from streams.step import step
from tests.streams.scene import Event, event, part_of, rules, session

BROKEN = Event(b"broken")


def check(breaker: Breaker, part: Slice) -> None:
    taken = read(part)
    breaker.check(taken, step(taken, Accounts(), rules()))


def good(source: str = "good", number: int = 0) -> Event:
    return event(session(source=source, session_id=f"S{number}"))


def bad(source: str = "bad", number: int = 0) -> Event:
    return event(session(source=source, session_id=f"B{number}", energy_wh=-1))


def many(events: Sequence[Event], times: int) -> Slice:
    return part_of(list(events) * times)


def test_a_run_of_unreadable_records_over_several_slices_opens_it() -> None:
    breaker = Breaker(5)
    check(breaker, part_of([BROKEN] * 4))
    with pytest.raises(BreakerOpen, match=r"records that cannot be read: .* 5 in a row"):
        check(breaker, part_of([BROKEN]))


def test_the_log_says_which_slice_was_too_bad(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(BreakerOpen):
        check(Breaker(5), part_of([good("s"), *[bad("s")] * 5], first_offset=70))
    (line,) = caplog.records
    assert vars(line)["event"] == "slice_refused"
    assert vars(line)["fields"] == {
        "topic": "charging-sessions",
        "partition": 0,
        "first_offset": 70,
        "last_offset": 75,
        "records": 6,
        "source": "s",
        "refused": 5,
        "watched": 6,
        "why": "5 in a row",
        "codes": {"energy_out_of_range": 5},
        "setting": "CARBONFLOW_BREAKER_RECORDS",
    }


def test_a_run_of_one_source_over_several_slices_opens_it() -> None:
    breaker = Breaker(5)
    check(breaker, part_of([good("s"), *[bad("s")] * 4]))
    with pytest.raises(BreakerOpen, match=r"records of source 's': .* 5 in a row"):
        check(breaker, part_of([bad("s")]))


def test_a_run_within_a_slice_opens_it() -> None:
    with pytest.raises(BreakerOpen, match="6 in a row"):
        check(Breaker(5), part_of([good("s", 1), *[bad("s")] * 6, good("s", 2)]))


def test_one_good_record_ends_the_run() -> None:
    breaker = Breaker(5)
    for number in range(3):
        check(breaker, part_of([*[bad("s")] * 4, good("s", number), *[BROKEN] * 4]))
        check(breaker, part_of([good("s", number)]))


def test_the_run_of_a_source_goes_on_across_records_of_others() -> None:
    with pytest.raises(BreakerOpen, match=r"source 'bad': .* 5 in a row"):
        check(Breaker(5), many([bad(), good()], 5))


def test_a_good_source_beside_a_broken_one_is_told_apart() -> None:
    breaker = Breaker(0, share_max=0.5, share_records_min=20)
    slices = [many([bad(), good(), good(), good()], 5)] * 4
    for part in slices[:3]:
        check(breaker, part)
    with pytest.raises(BreakerOpen, match="'bad': 20 of the last 20 refused, a share of 100%"):
        check(breaker, slices[3])


def test_unreadable_records_are_held_against_all() -> None:
    breaker = Breaker(3, share_max=0.5, share_records_min=20)
    for number in range(50):
        check(breaker, part_of([BROKEN, good(number=number), good(number=-number), BROKEN]))
        check(breaker, part_of([good(number=number)]))
    with pytest.raises(BreakerOpen, match=r"cannot be read: .* a share of .* not_framed"):
        check(breaker, many([BROKEN, BROKEN, good()], 10))


def test_a_share_is_not_taken_over_a_few_records() -> None:
    breaker = Breaker(0, share_max=0.5, share_records_min=20)
    check(breaker, part_of([bad("s")] * 19))
    with pytest.raises(BreakerOpen, match="20 of the last 20"):
        check(breaker, part_of([bad("s")]))


def test_a_share_below_the_limit_does_not_open_it() -> None:
    breaker = Breaker(0, share_max=0.5, share_records_min=20)
    for _ in range(40):
        check(breaker, part_of([bad("s"), good("s"), good("s")]))


def test_good_records_of_slices_without_a_refusal_count() -> None:
    breaker = Breaker(0, share_max=0.5, share_records_min=20)
    check(breaker, part_of([bad("s")] * 9))
    check(breaker, part_of([good("s", number) for number in range(12)]))
    check(breaker, part_of([bad("s")]))


def test_a_large_slice_without_a_refusal_ends_a_run() -> None:
    breaker = Breaker(3)
    large = part_of([good("s" if number == 999 else "other", number) for number in range(4_096)])
    check(breaker, part_of([bad("s", 1), bad("s", 2)]))
    check(breaker, large)
    check(breaker, part_of([bad("s", 3), bad("s", 4)]))
    with pytest.raises(BreakerOpen, match="3 in a row"):
        check(breaker, part_of([bad("s", 5)]))


def test_a_sample_of_a_large_slice_says_how_many_records_a_source_has() -> None:
    breaker = Breaker(0, share_max=0.5, share_records_min=10_000)
    check(breaker, part_of([bad("s"), good("s")]))
    check(breaker, part_of([good("s" if n % 4 else "other", n) for n in range(4_096)]))
    counted = breaker._watched["s"].records - 2
    assert counted != 3_072
    assert abs(counted - 3_072) < 100


def test_what_is_long_past_counts_for_less() -> None:
    breaker = Breaker(0, share_max=0.5, share_records_min=20)
    for _ in range(50):
        check(breaker, part_of([good("s", number) for number in range(20)]))
        check(breaker, part_of([bad("s")]))
    with pytest.raises(BreakerOpen, match="a share of"):
        check(breaker, part_of([bad("s")] * 40))


def test_a_source_without_refusals_for_long_is_forgotten() -> None:
    breaker = Breaker(100, share_max=0.5, share_records_min=4)
    check(breaker, part_of([bad("s"), good("s")]))
    assert breaker._watched
    for _ in range(3):
        check(breaker, part_of([good("s", number) for number in range(8)]))
    assert not breaker._watched


def test_sources_that_are_watched_are_bounded() -> None:
    breaker = Breaker(2_000, share_max=0.9)
    check(breaker, part_of([bad("worst")] * 9))
    for block in range(0, WATCHED_MAX + 1_000, 1_000):
        check(breaker, part_of([bad(f"s{block + number}") for number in range(1_000)]))
    assert len(breaker._watched) <= WATCHED_MAX
    assert breaker._watched["worst"].refused == 9


def test_it_says_which_codes_where_and_how_to_go_on() -> None:
    with pytest.raises(BreakerOpen) as opened:
        check(
            Breaker(3),
            part_of(
                [bad("s"), bad("s"), event(session(source="s", grid_region="XX"))], first_offset=70
            ),
        )
    said = str(opened.value)
    assert "(2 energy_out_of_range, 1 factor_not_found)" in said
    assert "charging-sessions 0 from offset 70" in said
    assert "CARBONFLOW_BREAKER_RECORDS (0: no limit)" in said
    assert "carbonflow refusals replay" in said


def test_zero_is_never() -> None:
    check(Breaker(0), part_of([BROKEN, bad()] * 100))


def again(breaker: Breaker, run_max: int, **limits: Any) -> Breaker:
    """Return the breaker of a process that is started after another."""
    made = Breaker(run_max, **limits)
    made.recall([breaker.kept(1)])
    return made


def test_a_run_goes_on_over_restarts() -> None:
    breaker = Breaker(5)
    check(breaker, part_of([bad("s"), BROKEN, bad("s")]))
    breaker = again(breaker, 5)
    check(breaker, part_of([bad("s"), bad("s"), BROKEN, good()]))
    with pytest.raises(BreakerOpen, match=r"'s': 5 of .* 5 in a row.*\(5 energy_out_of_range\)"):
        check(again(breaker, 5), part_of([bad("s")]))


def test_a_share_goes_on_over_restarts() -> None:
    breaker = Breaker(0, share_max=0.5, share_records_min=20)
    for _ in range(9):
        check(breaker, part_of([bad("s"), good("s")]))
        breaker = again(breaker, 0, share_max=0.5, share_records_min=20)
    with pytest.raises(BreakerOpen, match="a share of 50%"):
        check(breaker, part_of([bad("s"), good("s")]))


def test_a_source_that_was_mended_goes_on() -> None:
    breaker = Breaker(100, share_max=0.5, share_records_min=20)
    check(breaker, part_of([bad("s")] * 19))
    breaker = again(breaker, 100, share_max=0.5, share_records_min=20)
    for number in range(10):
        check(breaker, part_of([bad("s", number), *(good("s", n) for n in range(9))]))
    assert breaker._watched["s"].run == 0


def test_the_newest_account_counts() -> None:
    older, newer, latest = Breaker(5), Breaker(5), Breaker(5)
    check(older, part_of([bad("s")] * 4))
    check(newer, part_of([bad("s")] * 2))
    latest.recall([older.kept(100), newer.kept(101), older.kept(99)])
    check(latest, part_of([bad("s")] * 2))
    with pytest.raises(BreakerOpen, match="5 in a row"):
        check(latest, part_of([bad("s")]))


def test_an_account_of_nothing_is_newer_than_one_of_something() -> None:
    older, latest = Breaker(5), Breaker(5)
    check(older, part_of([bad("s")] * 4))
    latest.recall([older.kept(100), Breaker(0).kept(101)])
    check(latest, part_of([bad("s")] * 4))


@pytest.mark.parametrize("name", ["s", "张" * 100, "\0" * 300, '"\\' * 200, "\ud7ff\U0010ffff"])
def test_what_is_kept_fits_beside_an_offset(name: str) -> None:
    breaker = Breaker(1_000)
    check(breaker, part_of([bad(f"{name}{n}") for n in range(100) for _ in range(n + 1)]))
    text = breaker.kept(2**53)
    assert len(text.encode()) <= KEPT_BYTES_MAX
    kept = again(breaker, 1_000)._watched
    assert 0 < len(kept) <= KEPT_MAX
    assert all(breaker._watched[source] == watched for source, watched in kept.items())
    assert f"{name}99" in kept


def test_a_name_that_does_not_fit_leaves_room_for_others() -> None:
    breaker = Breaker(1_000)
    check(breaker, part_of([*[bad("x" * KEPT_BYTES_MAX)] * 3, bad("s")]))
    assert list(again(breaker, 1_000)._watched) == ["s"]


@pytest.mark.parametrize("text", ["x", "[]", "{}", '{"at":1,"refused":[[1]]}', '{"at":null}', "1"])
def test_what_somebody_else_wrote_is_told_and_left(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    breaker, kept = Breaker(5), Breaker(5)
    check(kept, part_of([bad("s")] * 4))
    breaker.recall([text, kept.kept(1)])
    assert "is no account of refusals" in caplog.text
    with pytest.raises(BreakerOpen, match="5 in a row"):
        check(breaker, part_of([bad("s")]))


def test_without_limits_what_was_counted_is_forgotten() -> None:
    breaker = Breaker(5)
    check(breaker, part_of([bad("s")] * 4))
    breaker = again(again(breaker, 0), 5)
    check(breaker, part_of([bad("s")] * 4))
