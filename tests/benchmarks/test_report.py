"""What a benchmark reports: ratios of medians, what is below its bar, and only its own sections."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.measure import Measured
from benchmarks.report import (
    HEADINGS,
    RATIO_MIN,
    Stage,
    below,
    merge_results,
    page,
    rows,
    summary,
    with_section,
    write_section,
)


def runs(*rates: float, cores: float = 1.0) -> list[Measured]:
    """Return runs of one second at these rates, on so many cores."""
    return [Measured(events=int(rate), elapsed_s=1.0, cpu_s=cores) for rate in rates]


def stage(judged: frozenset[str] = frozenset({"plain_faust"}), **peers: list[Measured]) -> Stage:
    ours = {"carbonflow": runs(90_000, 100_000, 30_000)}
    return Stage(broker="none", events=1, ours="carbonflow", runs=ours | peers, judged=judged)


EMBEDDED = stage(plain_faust=runs(3_000, 3_100, 100))
KAFKA = stage(
    frozenset({"kafka_streams"}),
    kafka_streams=runs(120_000, cores=2.0),
    plain_faust=runs(1_000),
)


def results(**stages: Stage) -> Any:
    return summary(stages, machine="a box", versions={"python": "3.11"})


def test_the_ratio_is_that_of_the_medians() -> None:
    assert EMBEDDED.ratios == {"plain_faust": 30.0}


def test_kafka_streams_is_compared_by_what_a_core_does() -> None:
    assert KAFKA.ratios["kafka_streams"] == 1.5


def test_there_are_no_ratios_where_ours_did_not_run() -> None:
    assert (
        Stage(broker="", events=1, ours="x", runs={"y": runs(1)}, judged=frozenset()).ratios == {}
    )


def test_a_ratio_counts_on_the_broker_where_the_contestant_is_judged() -> None:
    ratios = results(embedded=EMBEDDED, kafka=KAFKA)["ratios"]
    assert ratios == {"plain_faust": 30.0, "kafka_streams": 1.5}


def test_every_run_of_every_broker_is_kept() -> None:
    kept = results(embedded=EMBEDDED, kafka=KAFKA)["peers"]
    assert kept["embedded"]["events_per_s"]["plain_faust"] == [3_000, 3_100, 100]
    assert kept["kafka"]["events_per_cpu_s"]["kafka_streams"] == [60_000]


def test_a_ratio_at_its_bar_is_not_below() -> None:
    assert below(RATIO_MIN) == []


def test_a_ratio_below_its_bar_is_named_with_both_numbers() -> None:
    assert below({"aiokafka_raw": 0.24, "plain_faust": 51.0}) == [
        "aiokafka_raw: 0.24 times is below the bar of 0.25"
    ]


def test_a_contestant_without_a_bar_cannot_be_below() -> None:
    assert below({"stranger": 0.01}) == []


def test_the_table_has_median_and_spread_of_both_rates() -> None:
    by_name = {row[0]: dict(zip(HEADINGS, row, strict=True)) for row in rows(KAFKA)}
    assert by_name["carbonflow"]["events/s"] == "90,000"
    assert by_name["carbonflow"]["slowest to fastest"] == "30,000 to 100,000"
    assert by_name["kafka_streams"]["events per CPU s"] == "60,000"
    assert by_name["kafka_streams"]["ratio"] == "1.50 per CPU s"


def test_the_table_shows_a_bar_only_where_it_holds() -> None:
    bars = {row[0]: row[-1] for row in rows(KAFKA)}
    assert bars == {"carbonflow": "", "kafka_streams": "1 per CPU s", "plain_faust": ""}


def test_the_page_has_a_row_for_each_contestant_and_says_on_what_it_ran() -> None:
    lines = page(KAFKA, "2 x a processor").splitlines()
    assert [line.split(" | ")[0] for line in lines if line.startswith("| ")] == [
        "| ",
        "| ---",
        "| carbonflow",
        "| kafka_streams",
        "| plain_faust",
    ]
    assert lines[-1] == "2 x a processor"


def test_a_section_takes_the_place_of_its_former_self() -> None:
    before = with_section("# Page\n", "peers", "Old.")
    assert with_section(before, "peers", "New.") == before.replace("Old.", "New.")


def test_a_section_leaves_the_others_alone() -> None:
    both = with_section(with_section("# Page\n", "peers", "P."), "latency", "L.")
    assert with_section(both, "latency", "M.") == both.replace("L.", "M.")


def test_a_section_is_taken_as_it_is() -> None:
    before = with_section("# Page\n", "peers", "Old.")
    assert r"\1 \g<0>" in with_section(before, "peers", r"\1 \g<0>")


def test_a_page_that_is_not_there_is_begun(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    write_section("peers", "Fast.", path)
    assert path.read_text("utf-8").startswith("# ")
    assert "<!-- peers -->\nFast.\n<!-- /peers -->" in path.read_text("utf-8")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.json"


def test_results_of_other_benchmarks_are_kept(path: Path) -> None:
    merge_results({"latency_ms": [1, 2]}, path)
    merge_results({"ratios": {"plain_faust": 60.0}}, path)
    assert json.loads(path.read_text()) == {"latency_ms": [1, 2], "ratios": {"plain_faust": 60.0}}


def test_a_ratio_that_was_not_measured_again_is_kept(path: Path) -> None:
    merge_results({"ratios": {"plain_faust": 60.0, "kafka_streams": 1.5}}, path)
    merge_results({"ratios": {"plain_faust": 61.0}}, path)
    assert json.loads(path.read_text())["ratios"] == {"plain_faust": 61.0, "kafka_streams": 1.5}


def test_a_result_that_is_no_object_is_replaced(path: Path) -> None:
    merge_results({"latency_ms": [1, 2]}, path)
    merge_results({"latency_ms": [3]}, path)
    assert json.loads(path.read_text()) == {"latency_ms": [3]}
