"""What a benchmark reports: the ratio of medians, and what is below its bar."""

from benchmarks.report import below, summary

RATES = {"carbonflow": [90_000.0, 100_000.0, 30_000.0], "plain_faust": [3_000.0, 3_100.0, 100.0]}


def test_the_ratio_is_that_of_the_medians() -> None:
    results = summary(RATES, ours="carbonflow", broker="none", events=1)
    assert results["ratios"] == {"plain_faust": 30.0}


def test_a_ratio_above_its_bar_is_not_reported_as_below() -> None:
    assert below({"ratios": {"plain_faust": 25.0}}) == []


def test_a_ratio_below_its_bar_is_named_with_both_numbers() -> None:
    assert below({"ratios": {"plain_faust": 24.0}}) == [
        "plain_faust: 24.0 times is below the bar of 25"
    ]
