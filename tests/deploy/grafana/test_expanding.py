"""Macros and variables become what the pages of Grafana and its plugins say."""

from __future__ import annotations

import pytest

from tests.deploy.grafana.expanding import ExpandingError, Range, promql, sql

DOCUMENTED = Range(1_415_792_726, 1_447_328_726, 20)


@pytest.mark.parametrize(
    ("macro", "expanded"),
    [
        (
            "$__timeFilter(time)",
            "time >= toDateTime(1415792726) AND time <= toDateTime(1447328726)",
        ),
        ("$__fromTime", "toDateTime(1415792726)"),
        ("$__toTime", "toDateTime(1447328726)"),
        ("$__interval_s", "20"),
        (
            "$__timeInterval(column)",
            "toStartOfInterval(toDateTime(column), INTERVAL 20 second)",
        ),
    ],
)
def test_a_macro_becomes_its_documented_example(macro: str, expanded: str) -> None:
    assert sql(f"a {macro} b", DOCUMENTED, {}) == f"a {expanded} b"


def test_a_condition_is_left_out_where_all_is_chosen() -> None:
    text = "WHERE $__conditionalAll(region IN (${region:singlequote}), $region) AND x"
    assert sql(text, DOCUMENTED, {"region": None}) == "WHERE 1=1 AND x"
    chosen = {"region": ("CN-JS", "it's")}
    assert sql(text, DOCUMENTED, chosen) == r"WHERE region IN ('CN-JS','it\'s') AND x"


@pytest.mark.parametrize(
    "text",
    [
        "$__timefilter(x)",
        "$__timeFilter",
        "$__fromTime(x)",
        "${nobody:singlequote}",
        "$region",
        "$__conditionalAll(true, $nobody)",
    ],
)
def test_what_grafana_would_not_know_raises(text: str) -> None:
    with pytest.raises(ExpandingError):
        sql(text, DOCUMENTED, {"region": ("a",)})


def test_a_rate_is_taken_over_four_scrapes_at_least() -> None:
    text = 'rate(x{instance=~"$worker"}[$__rate_interval])'
    short, long = Range(0, 60, 1), Range(0, 60, 30)
    assert promql(text, short, {"worker": None}) == 'rate(x{instance=~".*"}[8s])'
    chosen = {"worker": ("a.b:1", "c")}
    assert promql(text, long, chosen) == r'rate(x{instance=~"a\\.b:1|c"}[32s])'
    with pytest.raises(ExpandingError):
        promql("rate(x[$__rateinterval])", short, {})
