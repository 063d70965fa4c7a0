"""How a factor is matched: place before time, nothing in silence."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.factors import Factor, FactorError, FactorTable, Fallback, Match, how_name
from carbon.limits import FACTOR_MG_MAX, FOREVER_MS, YEAR_MS
from carbon.regions import chain
from carbon.series import NONE

ALL = Fallback(place=True, time=True, age_ms_max=4 * YEAR_MS)
STRICT = Fallback(place=False, time=False, age_ms_max=0)


def factor(region: str, value_mg: int, begin: int, end: int, kind: str = "grid_average") -> Factor:
    return Factor(
        factor_id=f"{region}:{begin}",
        kind=kind,
        region=region,
        subject="electricity",
        boundary="ttw",
        gas="co2",
        value_mg=value_mg,
        unit="kwh",
        valid_from=begin,
        valid_to=end,
        release="test",
        publisher="p",
        publication="q",
        url="u",
        licence="l",
        evidence="user",
    )


def match(table: FactorTable, region: str, at: Sequence[int], fallback: Fallback) -> Match:
    instants = np.array(at, dtype=np.int64)
    places = [(region, "electricity", "kwh")]
    index = np.zeros(len(at), dtype=np.int32)
    return table.at("grid_average", "ttw", places, index, instants, fallback)


def values(found: Match) -> list[int | None]:
    return [
        None if index == NONE else int(value)
        for index, value in zip(found.factor, found.value.rounded(), strict=True)
    ]


def hows(found: Match) -> list[str]:
    return [how_name(int(bits)) for bits in found.how]


def test_own_region_and_time_is_exact_and_its_end_is_exclusive() -> None:
    table = FactorTable.of([factor("CN-BJ", 5, 100, 200), factor("CN-BJ", 6, 200, 300)])
    found = match(table, "CN-BJ", [100, 199, 200], STRICT)
    assert values(found) == [5, 5, 6]
    assert hows(found) == ["exact"] * 3


def test_a_province_falls_back_to_its_grid_and_then_to_its_country() -> None:
    table = FactorTable.of([factor("CN-NORTH", 7, 0, 100), factor("CN", 8, 0, 200)])
    found = match(table, "CN-BJ", [50, 150], ALL)
    assert values(found) == [7, 8]
    assert hows(found) == ["parent_region", "parent_region"]


def test_a_later_activity_takes_the_latest_earlier_period_of_its_own_region() -> None:
    table = FactorTable.of([factor("CN-BJ", 5, 0, 100), factor("CN", 8, 50, 150)])
    found = match(table, "CN-BJ", [120, 400], ALL)
    assert values(found) == [8, 5]
    assert hows(found) == ["parent_region", "earlier_period"]


def test_an_earlier_period_that_is_too_old_is_no_match() -> None:
    table = FactorTable.of([factor("CN-BJ", 5, 0, 100)])
    old = Fallback(place=True, time=True, age_ms_max=50)
    assert values(match(table, "CN-BJ", [150, 151], old)) == [5, None]


def test_a_later_period_never_stands_in_for_an_earlier_one() -> None:
    table = FactorTable.of([factor("CN-BJ", 5, 100, 200)])
    assert values(match(table, "CN-BJ", [99], ALL)) == [None]


def test_nothing_allowed_is_nothing_found() -> None:
    table = FactorTable.of([factor("CN", 5, 0, 100)])
    assert values(match(table, "CN-BJ", [50], STRICT)) == [None]


def test_of_two_factors_for_the_same_time_the_later_published_wins() -> None:
    table = FactorTable.of([factor("CN", 5, 0, FOREVER_MS), factor("CN", 6, 100, 200)])
    assert values(match(table, "CN", [50, 150, 250], STRICT)) == [5, 6, 5]


REGIONS = ("CN-BJ", "CN-NORTH", "CN", "US")
PERIODS = st.tuples(st.integers(0, 40), st.integers(1, 15))


def by_search(
    table: FactorTable, region: str, at_ms: int, fallback: Fallback
) -> tuple[int | None, str]:
    """Return value and match as the rule reads: instant by instant, factor by factor."""

    def in_force(place: str, instant: int) -> int | None:
        holding = [
            each.value_mg
            for each in table.factors
            if each.region == place and each.valid_from <= instant < each.valid_to
        ]
        return holding[-1] if holding else None

    places = chain(region) if fallback.place else (region,)
    for depth, place in enumerate(places):
        if (value := in_force(place, at_ms)) is not None:
            return value, "parent_region" if depth else "exact"
    for depth, place in enumerate(places) if fallback.time else ():
        for instant in range(at_ms - 1, at_ms - 2 - fallback.age_ms_max, -1):
            if (value := in_force(place, instant)) is not None:
                return value, "parent_region+earlier_period" if depth else "earlier_period"
    return None, "exact"


@given(
    published=st.lists(st.tuples(st.sampled_from(REGIONS), PERIODS), max_size=8),
    asked=st.lists(st.tuples(st.sampled_from(REGIONS), st.integers(0, 70)), max_size=12),
    fallback=st.builds(Fallback, st.booleans(), st.booleans(), st.integers(0, 20)),
)
def test_activities_matched_together_are_what_a_search_finds_for_each(
    published: list[tuple[str, tuple[int, int]]], asked: list[tuple[str, int]], fallback: Fallback
) -> None:
    table = FactorTable.of(
        factor(region, 100 + number, begin, begin + length)
        for number, (region, (begin, length)) in enumerate(published)
    )
    found = table.at(
        "grid_average",
        "ttw",
        [(region, "electricity", "kwh") for region in REGIONS],
        np.array([REGIONS.index(region) for region, _ in asked], dtype=np.int32),
        np.array([at_ms for _, at_ms in asked], dtype=np.int64),
        fallback,
    )
    expected = [by_search(table, region, at_ms, fallback) for region, at_ms in asked]
    assert list(zip(values(found), hows(found), strict=True)) == expected


def test_an_activity_of_none_of_the_places_is_not_matched() -> None:
    table = FactorTable.of([factor("CN", 5, 0, 100)])
    places = [("US", "electricity", "kwh"), ("CN", "electricity", "kwh")]
    place, at = np.array([1, NONE, 0], dtype=np.int32), np.array([10, 10, 200])
    assert values(table.at("grid_average", "ttw", places, place, at, ALL)) == [5, None, None]


@given(
    hours=st.lists(st.integers(0, 1000), min_size=2, max_size=20),
    data=st.data(),
)
def test_the_mean_over_any_time_is_the_weighted_mean_of_its_hours(
    hours: list[int], data: st.DataObject
) -> None:
    end_ms = 10 * len(hours)
    start = data.draw(st.integers(0, end_ms - 1))
    end = data.draw(st.integers(start + 1, end_ms))
    table = FactorTable.of(
        factor("X", value, 10 * i, 10 * i + 10, "grid_hourly") for i, value in enumerate(hours)
    )
    found = mean(table, start, end)
    want = Fraction(sum(hours[ms // 10] for ms in range(start, end)), end - start)
    assert Fraction(int(found.value.low[0]), int(np.asarray(found.value.denominator)[0])) == want
    assert table.factors[found.factor[0]].value_mg == hours[start // 10]


def test_an_hour_missing_within_the_time_is_no_match() -> None:
    table = FactorTable.of(
        [factor("X", 1, 0, 10, "grid_hourly"), factor("X", 1, 20, 30, "grid_hourly")]
    )
    assert mean(table, 5, 25).factor[0] == NONE
    assert mean(table, 5, 10).factor[0] != NONE
    assert mean(table, 25, 31).factor[0] == NONE
    assert mean(table, 30, 35).factor[0] == NONE


def test_an_instant_has_the_value_in_force() -> None:
    table = FactorTable.of([factor("X", 42, 0, 10, "grid_hourly")])
    assert mean(table, 3, 3).value.rounded().tolist() == [42]


def mean(table: FactorTable, start: int, end: int) -> Match:
    return table.mean(
        "grid_hourly",
        "ttw",
        [("X", "electricity", "kwh")],
        np.zeros(1, dtype=np.int32),
        np.array([start], dtype=np.int64),
        np.array([end], dtype=np.int64),
        STRICT,
    )


@pytest.mark.parametrize(
    ("value_mg", "begin", "end"), [(-1, 0, 1), (FACTOR_MG_MAX + 1, 0, 1), (1, 5, 5), (1, -1, 5)]
)
def test_a_factor_out_of_range_or_without_a_period_cannot_be_made(
    value_mg: int, begin: int, end: int
) -> None:
    with pytest.raises(FactorError, match="factor X"):
        factor("X", value_mg, begin, end)
