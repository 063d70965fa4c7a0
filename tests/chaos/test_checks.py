"""The checks find what is wrong: a run that passes has been asked."""

import pytest

from tests.chaos.checks import each_once, same

AMOUNTS = {"a": 1, "b": -2}


def test_each_once_passes_what_is_there_exactly_once() -> None:
    assert each_once("", [("b", -2), ("a", 1)], AMOUNTS).wrong == ()


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        ([("a", 1)], "1 missing: b"),
        ([("a", 1), ("b", -2), ("b", -2)], "1 found twice: b"),
        ([("a", 1), ("b", -2), ("c", 3)], "1 unknown: c"),
        ([("a", 1), ("b", 2)], "1 of another amount: b"),
    ],
)
def test_each_once_says_what_is_wrong(found: list[tuple[str, int]], wrong: str) -> None:
    assert each_once("", found, AMOUNTS).wrong == (wrong,)


@pytest.mark.parametrize("found", [{"x": 1}, {"x": 1, "y": 3}, {"x": 1, "y": 2, "z": 0}])
def test_same_says_what_differs(found: dict[str, int]) -> None:
    assert same("", {"x": 1, "y": 2}, {"x": 1, "y": 2}).wrong == ()
    assert same("", found, {"x": 1, "y": 2}).wrong[0] == "1 differ"
