"""The picture is sound SVG whose lines lie where the numbers say."""

from xml.etree import ElementTree

import pytest

from benchmarks.curve import HEIGHT, WIDTH, Axis, Series, drawn

RATES = [1_000, 10_000, 100_000]
SVG = drawn(RATES, [Series("a < b", ((10, 20), (10, 40), (500, 4_000)))], full_per_s=80_000)
NAME = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def root() -> ElementTree.Element:
    return ElementTree.fromstring(SVG)


def line(root: ElementTree.Element, kind: str) -> list[tuple[float, float]]:
    (path,) = [
        each.attrib["d"]
        for each in root.iter(f"{NAME}path")
        if each.attrib["class"] == kind and "L" in each.attrib["d"]
    ]
    points = [point.split() for point in path.removeprefix("M").split("L")]
    return [(float(x), float(y)) for x, y in points]


def test_a_line_rises_with_latency_and_goes_right_with_load(root: ElementTree.Element) -> None:
    xs, ys = zip(*line(root, "p50 a"), strict=True)
    assert list(xs) == sorted(xs)
    assert ys[0] == ys[1] > ys[2]


def test_p99_lies_above_p50(root: ElementTree.Element) -> None:
    pairs = zip(line(root, "p50 a"), line(root, "p99 a"), strict=True)
    assert all(p99[1] < p50[1] for p50, p99 in pairs)


def test_everything_lies_on_the_page(root: ElementTree.Element) -> None:
    for x, y in (*line(root, "p50 a"), *line(root, "p99 a")):
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT


def test_names_are_escaped(root: ElementTree.Element) -> None:
    assert "a < b: p50, to p99" in [each.text for each in root.iter(f"{NAME}text")]


def test_rates_and_times_are_labelled(root: ElementTree.Element) -> None:
    labels = {each.text for each in root.iter(f"{NAME}text")}
    assert {"1,000", "2,000", "5,000", "100,000", "10 ms", "1 s", "events per second"} <= labels


def test_an_axis_of_one_value_still_has_a_length() -> None:
    axis = Axis.over([10.0], 0.0, 100.0)
    assert (axis.low, axis.high) == (10.0, 100.0)
