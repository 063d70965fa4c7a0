"""Some thousand mutants in every run of the tests; `make fuzz` works a million."""

from __future__ import annotations

from collections import Counter
from typing import Final

import pytest

from schemas.singles import decode_one
from tests.fuzz import slices
from tests.fuzz.mutants import HOWS, case
from tests.fuzz.oracle import Amounts, Values
from tests.fuzz.run import run_slice
from tests.fuzz.slices import Books, failures_of
from tests.fuzz.wire import RECORD_OF
from tests.streams.scene import NOW_MS

SIZES: Final = (1, 200, 1_000, 1_000, 2_000, 2_000)


@pytest.mark.parametrize("late_lane", [False, True])
@pytest.mark.parametrize("partitions", [1, 2])
def test_mutants_are_booked_known_refused_or_astray_and_good_records_beside_them_are_booked(
    partitions: int, late_lane: bool
) -> None:
    books = Books(partitions, late_lane=late_lane)
    for number, size in enumerate(SIZES):
        assert list(failures_of(number, 7, books, size=size)) == []
    assert books.worked == sum(SIZES)
    assert len(books.booked) > 500
    assert (books.late > 5) == late_lane
    assert len(books.held.breaker._watched) > 5


def test_the_same_seed_makes_the_same_mutants_and_all_kinds_of_them() -> None:
    one, again = case(3, 4, partitions=1, size=2_000), case(3, 4, partitions=1, size=2_000)
    assert one == again
    assert case(4, 4, partitions=1, size=2_000) != one
    kinds = Counter(how.split(",")[0] for how in one.how)
    assert kinds.keys() - {"large"} == {*HOWS, "good"}


def test_what_is_called_good_is_good() -> None:
    made = case(5, 1, partitions=1, size=500)
    for at in made.good():
        name, values = decode_one(made.events[at].value)
        assert name == RECORD_OF[made.topic]
        assert abs(made.events[at].timestamp_ms - NOW_MS) <= 86_400_000
        assert str(values["account_id"]).startswith("good-")


def test_a_wrong_amount_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    by_oracle = slices.oracle().amounts

    def off_by_one(topic: str, values: Values) -> Amounts:
        one = by_oracle(topic, values)
        return Amounts(one.emissions_mg + 1, one.baseline_mg, one.reduction_mg, one.transport_kg_km)

    monkeypatch.setattr(slices.oracle(), "amounts", off_by_one)
    said: list[str] = []
    ran = run_slice(0, 1, said.append, size=200)
    assert (ran.passed, ran.failed) == (0, 1)
    assert any("again: python -m tests.fuzz --seed 1 --slice 0" in one for one in said)
