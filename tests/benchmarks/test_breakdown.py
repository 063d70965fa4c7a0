"""The breakdown of a worker's time measures what a worker does."""

from benchmarks.breakdown import STAGES, computed
from benchmarks.generate import Load, messages


def test_every_stage_takes_part_in_the_work() -> None:
    load = Load(events=4_000, accounts=500)
    rows = dict(computed([message for chunk in messages(load) for message in chunk]))
    assert {what for _, _, what in STAGES} <= rows.keys()
    assert all(rows[what] > 0 for _, _, what in STAGES), rows
