"""The limit of a slice follows the time that slices take."""

from __future__ import annotations

from streams.limit import RECORDS_MIN, SliceLimit


def limit() -> SliceLimit:
    return SliceLimit(records_max=10_000, ms_max=100)


def test_it_begins_with_the_most() -> None:
    assert limit()() == 10_000


def test_a_slice_that_took_too_long_lowers_it_to_what_would_have_been_in_time() -> None:
    after = limit()
    after.worked(10_000, 0.4)
    assert after() == 2_500


def test_it_rises_again_by_doubling_and_never_beyond_the_most() -> None:
    after = limit()
    after.worked(10_000, 1.0)
    seen = []
    for _ in range(5):
        after.worked(after(), after() / 1_000_000)
        seen.append(after())
    assert seen == [2_000, 4_000, 8_000, 10_000, 10_000]


def test_small_quick_slices_say_nothing_about_large_ones() -> None:
    after = limit()
    after.worked(10_000, 0.4)
    after.worked(10, 0.004)
    assert after() == 2_500


def test_even_the_slowest_slice_leaves_room_for_some_records() -> None:
    after = limit()
    after.worked(500, 60.0)
    assert after() == RECORDS_MIN
    few = SliceLimit(records_max=7, ms_max=100)
    few.worked(7, 60.0)
    assert few() == 7
