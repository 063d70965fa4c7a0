"""What `benchmarks.sink` says; that it runs is seen by running it with `--quick`."""

import json
from pathlib import Path

from benchmarks.contestants import OURS
from benchmarks.measure import Measured
from benchmarks.sink import ROWS_PER_S_MIN, results, rows_per_s_min, section

LEFT = {"transfers": 600, "refusals": 1}
RUNS = {
    into: [Measured(events=600, elapsed_s=each, cpu_s=1.5) for each in (1.0, 2.0, 1.2)]
    for into in ("chdb", "format")
}


def test_the_bar_is_the_worker_s_event_rate(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    assert rows_per_s_min(path) == ROWS_PER_S_MIN
    path.write_text("{}")
    assert rows_per_s_min(path) == ROWS_PER_S_MIN
    rates = {OURS.name: [90_000, 110_000, 100_000]}
    path.write_text(json.dumps({"peers": {"embedded": {"events_per_s": rates}}}))
    assert rows_per_s_min(path) == 100_000


def test_the_section_has_a_row_for_each_store() -> None:
    text = section(RUNS, LEFT, "a broker", 450)
    assert "600 transfers, 1 refusals on a broker" in text
    assert "3 rounds" in text
    assert "The bar is 450 rows/s" in text
    assert "| chDB | 500 | 300 to 600 | 400 |" in text
    assert "| ClickHouse format | 500 | 300 to 600 | 400 |" in text


def test_programs_get_every_run() -> None:
    found = results(RUNS, LEFT, 450)
    assert found["rows_per_s"] == {"chdb": [600, 300, 500], "format": [600, 300, 500]}
    assert (found["records"], found["bar"]) == (LEFT, 450)
