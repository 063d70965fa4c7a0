"""What the benchmark of latency concludes from what it measured."""

from collections.abc import Sequence
from xml.etree import ElementTree

import pytest

from benchmarks.latency import Point, below, climbed, knee, picture, results, rows, section
from benchmarks.pacing import Quantiles


def quantiles(p50_ms: float, p99_ms: float, lost: int = 0) -> Quantiles:
    return Quantiles(p50_ms=p50_ms, p99_ms=p99_ms, max_ms=p99_ms, count=400, lost=lost)


def point(rate_per_s: int, p50_ms: float = 100.0, p99_ms: float = 200.0, *, lost: int = 0) -> Point:
    return Point(
        rate_per_s=rate_per_s,
        worker=quantiles(p50_ms / 4, p99_ms / 4),
        freshness=quantiles(p50_ms, p99_ms, lost),
        late=quantiles(2.0, 5.0),
        others_cores=0.01,
    )


CURVE = [point(1_000), point(10_000, 120, 300), point(50_000, 400, 900), point(90_000, 9_000, 9e4)]


def test_freshness_below_its_bars_is_no_miss() -> None:
    assert below([point(1_000, 249.0, 999.0)]) == []


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (point(1_000, 250.0, 300.0), "freshness p50 at 1,000 events/s: 250 ms, the bar is 250"),
        (point(4_000, 9.0, 1e3), "freshness p99 at 4,000 events/s: 1,000 ms, the bar is 1,000"),
        (point(1_000, lost=3), "3 of 400 probes at 1,000 events/s were never seen"),
    ],
)
def test_what_is_above_a_bar_is_told(found: Point, sentence: str) -> None:
    assert below([found]) == [sentence]


def test_the_knee_is_the_last_rate_before_freshness_triples() -> None:
    assert knee(CURVE) == 10_000


def test_a_curve_that_stays_flat_has_its_knee_at_the_end() -> None:
    assert knee([point(1_000), point(2_000)]) == 2_000


def test_the_knee_comes_before_the_rate_that_is_not_kept_up_with() -> None:
    assert knee([point(1_000), point(2_000, lost=1)]) == 1_000


def test_climbing_ends_with_the_first_rate_that_is_not_kept_up_with() -> None:
    tried = climbed([1, 2, 3], lambda rate: point(rate, lost=rate - 1))
    assert [each.rate_per_s for each in tried] == [1, 2]


def test_a_row_says_which_latencies_are_lower_bounds() -> None:
    (row,) = rows([point(20_000, 5_000, 9_000, lost=2)])
    assert row == ("20,000", "1,250 ms", "2,250 ms", "> 5,000 ms", "> 9,000 ms", "5 ms", "0.01")


def test_the_section_names_full_load_and_knee() -> None:
    text = section(CURVE, 88_000, 20.0)
    assert "Full load is 88,000 events/s, the knee 10,000." in text
    assert len([line for line in text.splitlines() if line.startswith("|")]) == 2 + len(CURVE)


def test_results_hold_every_point() -> None:
    found = results(CURVE, 88_000)
    assert (found["full_per_s"], found["knee_per_s"]) == (88_000, 10_000)
    assert [each["rate_per_s"] for each in found["points"]] == [1_000, 10_000, 50_000, 90_000]


def paths(svg: str, kind: str) -> Sequence[str]:
    found = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}path")
    return [each.attrib["d"] for each in found if each.attrib["class"] == kind]


def test_the_picture_has_a_line_for_each_latency_with_a_point_for_each_rate() -> None:
    svg = picture(CURVE, 88_000)
    for kind in ("p50 a", "p99 a", "p50 b", "p99 b"):
        assert len(paths(svg, kind)[0].split("L")) == len(CURVE)


def test_the_picture_marks_full_load() -> None:
    svg = picture(CURVE, 88_000)
    assert len(paths(svg, "mark")) == 1
    assert "full load" in svg
