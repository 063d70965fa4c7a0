"""Names keep their rows, whatever comes later."""

import pyarrow as pa

from schemas.names import ABSENT, Names


def test_names_have_the_rows_they_were_added_in() -> None:
    names = Names()
    assert names.add(pa.array(["ann", "bob"])).tolist() == [0, 1]
    assert names.add(pa.array(["", "李雷"])).tolist() == [2, 3]
    assert names.rows(pa.array(["李雷", "eve", "ann", "", "ann"])).tolist() == [3, ABSENT, 0, 2, 0]
    assert names.all().to_pylist() == ["ann", "bob", "", "李雷"]


def test_many_names_are_found_again_after_growing() -> None:
    names = Names()
    wanted = [f"driver-{number}" for number in range(10_000)]
    for begin in range(0, len(wanted), 777):
        names.add(pa.array(wanted[begin : begin + 777]))
    assert names.rows(pa.array(wanted)).tolist() == list(range(10_000))
    assert set(names.rows(pa.array([f"rider-{n}" for n in range(1_000)])).tolist()) == {ABSENT}
    assert len(names) == 10_000


def test_a_part_of_a_column_is_taken_as_it_is() -> None:
    column = pa.array(["ann", "bob", "eve"])
    names = Names()
    assert names.add(column[1:]).tolist() == [0, 1]
    assert names.rows(column.slice(1, 2)).tolist() == [0, 1]
    assert names.rows(column[:1]).tolist() == [ABSENT]
