"""Sessions and trips in one folder; and the same balances whatever is killed on the way there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.agreement import balances_of, booked_of
from tests.end_to_end.command import BOTH, HOURLY_SPEC, SESSIONS, TRIPS, asked, call, refused
from tests.end_to_end.expected import Expected
from tests.end_to_end.held import Held, held
from tests.end_to_end.under_way import Seen, UnderWay, still_running

ROWS = 30_114 + 3_300
FILE_ROWS = 400
# Records of both topics: every session, and every trip that could be mapped.
RECORDS = 30_114 + 3_300 - 905 - 121
# Small slices make the work long enough to be killed in its middle.
SMALL = {"CARBONFLOW_SLICE_RECORDS_MAX": "64"}


@dataclass(frozen=True, slots=True)
class Ran:
    """A folder after the same run twice."""

    data_dir: Path
    first: dict[str, Any]
    after_first: Held
    second: dict[str, Any]
    after_second: Held


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The run that nobody kills, and its repetition."""
    data_dir = tmp_path_factory.mktemp("both") / "data"
    first = asked("run", *BOTH, data_dir=data_dir)
    after_first = held(data_dir)
    second = asked("run", *BOTH, data_dir=data_dir)
    return Ran(data_dir, first, after_first, second, held(data_dir))


@pytest.fixture(scope="module")
def in_pieces(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The words of the same run over many small files, the newest sessions first.

    So the load takes a while, and from its first moment on there is something to book.
    """
    folder = tmp_path_factory.mktemp("pieces")
    header, *rows = SESSIONS.read_text(encoding="utf-8").splitlines(keepends=True)
    rows.reverse()
    paths = []
    for first in range(0, len(rows), FILE_ROWS):
        path = folder / f"sessions-{first:05}.csv"
        path.write_text(header + "".join(rows[first : first + FILE_ROWS]), encoding="utf-8")
        paths.append(str(path))
    return (
        *("run", "--charging", *paths, "--freight", str(TRIPS)),
        *("--mapping", "acn-data", "india-hcv", "--factors", HOURLY_SPEC),
    )


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A folder of the test's own."""
    return tmp_path / "data"


def assert_same(found: Held, clean: Held) -> None:
    """Fail unless both hold the same transfers and balances."""
    assert found.balances == clean.balances
    assert found.transfers == clean.transfers


def kill(run: UnderWay) -> None:
    """Kill a run with -9, and fail if a child of it lives on."""
    children = run.children()
    assert set(children) == {"broker", "worker"}
    run.kill()
    # The broker saves before it ends.
    assert still_running(children.values(), s_max=30) == []


def assert_resumes(words: tuple[str, ...], data_dir: Path, clean: Ran) -> dict[str, Any]:
    """Run the same command again and fail unless all is as if nobody had been killed."""
    done = call(*words, "--data-dir", str(data_dir), "--json")
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    found = held(data_dir)
    assert summary["verify"] == {"ok": True, "drift": []}
    assert summary["totals"] == clean.first["totals"]
    assert_same(found, clean.after_first)
    return summary


def test_both_add_up(clean: Ran, california_expected: Expected, india_expected: Expected) -> None:
    booked = len(california_expected.booked) + len(india_expected.booked)
    assert clean.first["events"] == ROWS
    assert (clean.first["transfers"], clean.first["duplicates"]) == (booked, 0)
    assert clean.first["refused"] == {**california_expected.refused, **india_expected.refused}
    assert clean.first["verify"] == {"ok": True, "drift": []}


def test_both_are_to_the_milligram(
    clean: Ran, california_expected: Expected, india_expected: Expected
) -> None:
    found = clean.after_first
    assert booked_of(found) == {**california_expected.booked, **india_expected.booked}
    assert balances_of(found, india_expected) == {
        **california_expected.balances(),
        **india_expected.balances(),
    }


def test_the_second_run_changes_nothing(clean: Ran) -> None:
    assert clean.second["transfers"] == 0
    assert clean.second["duplicates"] == clean.first["transfers"]
    assert clean.second["refused"] == clean.first["refused"]
    assert clean.second["totals"] == clean.first["totals"]
    assert clean.second["verify"] == {"ok": True, "drift": []}
    assert_same(clean.after_second, clean.after_first)


def test_killed_while_loading_the_same_command_completes_it(
    clean: Ran, in_pieces: tuple[str, ...], data_dir: Path
) -> None:
    run = UnderWay.start(*in_pieces, data_dir=data_dir)
    run.until(lambda seen: seen.written > 0)
    kill(run)
    summary = assert_resumes(in_pieces, data_dir, clean)
    ledger = summary["ledger"]
    loaded = ledger["activities"] + ledger["duplicates"] + ledger["refused"] - ROWS
    assert 0 < loaded < ROWS
    assert summary["events"] >= ROWS


def test_killed_while_working_the_same_command_completes_it(
    clean: Ran, in_pieces: tuple[str, ...], data_dir: Path
) -> None:
    def in_the_middle(seen: Seen) -> bool:
        return seen.written == RECORDS and seen.worked > 0

    run = UnderWay.start(*in_pieces, data_dir=data_dir, **SMALL)
    seen = run.until(in_the_middle)
    kill(run)
    assert seen.worked < RECORDS
    summary = assert_resumes(in_pieces, data_dir, clean)
    ledger = summary["ledger"]
    # Of the first load at most the refusals of its last block can be missing.
    loaded = ledger["activities"] + ledger["duplicates"] + ledger["refused"] - ROWS
    assert RECORDS <= loaded <= ROWS
    assert 0 < summary["transfers"] < ledger["transfers"]
    assert refused(summary) >= refused(clean.first)


def test_a_killed_worker_is_started_again_and_the_run_ends_well(
    clean: Ran, in_pieces: tuple[str, ...], data_dir: Path
) -> None:
    run = UnderWay.start(*in_pieces, data_dir=data_dir, **SMALL)
    seen = run.until(lambda seen: seen.worked > 0)
    run.kill_child("worker")
    assert seen.worked < RECORDS
    status, summary, warned = run.ended()
    assert status == 0, warned
    assert "worker-0 ended with status -9 and is started again" in warned
    assert summary["events"] == ROWS
    assert summary["verify"] == {"ok": True, "drift": []}
    assert_same(held(data_dir), clean.after_first)


def test_a_killed_broker_ends_the_run_and_the_same_command_completes_it(
    clean: Ran, in_pieces: tuple[str, ...], data_dir: Path
) -> None:
    run = UnderWay.start(*in_pieces, data_dir=data_dir, **SMALL)
    run.until(lambda seen: seen.worked > 0)
    children = run.children()
    run.kill_child("broker")
    # Nothing waits for a broker that will not come back.
    status, summary, warned = run.ended(s_max=15.0)
    assert (status, summary) == (1, {})
    assert warned.splitlines()[-1].startswith("carbonflow: the broker ended with status -9: ")
    assert "Traceback" not in warned
    assert still_running(children.values(), s_max=0) == []
    assert_resumes(in_pieces, data_dir, clean)
