"""A checkpoint keeps what was reached, and says no where it would be wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from producers.checkpoint import Checkpoint, CheckpointError, Reached
from producers.mapping import load_mapping
from producers.sources import Position

MAPPING = load_mapping("acn-data")
REACHED = Reached(
    version="1",
    behind=Position(7, 9, 1_000),
    sent=5,
    refused={"row_bad_value": 2},
    cursor="abc",
)


def test_what_was_noted_last_is_found_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "state.jsonl"
    with Checkpoint(path) as first:
        first.note(MAPPING, "a.csv", Reached(version="1"))
        first.note(MAPPING, "a.csv", REACHED)
        first.note(MAPPING, "b.csv", replace(REACHED, is_done=True))
    with Checkpoint(path) as second:
        assert second.of(MAPPING, "a.csv", "1") == REACHED
        assert second.of(MAPPING, "b.csv", "1").is_done
        assert second.of(MAPPING, "c.csv", "1") == Reached(version="1")


def test_a_source_that_was_changed_begins_anew(tmp_path: Path) -> None:
    with Checkpoint(tmp_path / "state.jsonl") as state:
        state.note(MAPPING, "a.csv", REACHED)
        assert state.of(MAPPING, "a.csv", "2") == Reached(version="2")


def test_a_file_of_the_same_name_of_the_other_kind_is_another(tmp_path: Path) -> None:
    with Checkpoint(tmp_path / "state.jsonl") as state:
        state.note(MAPPING, "a.csv", REACHED)
        assert state.of(load_mapping("india-hcv"), "a.csv", "1") == Reached(version="1")


def test_what_was_begun_with_another_mapping_does_not_go_on(tmp_path: Path) -> None:
    with Checkpoint(tmp_path / "state.jsonl") as state:
        state.note(MAPPING, "a.csv", REACHED)
    with (
        Checkpoint(tmp_path / "state.jsonl") as again,
        pytest.raises(CheckpointError, match=r"a\.csv was begun with another mapping"),
    ):
        again.of(replace(MAPPING, digest="another"), "a.csv", "1")


@pytest.mark.parametrize("torn", [1, 20, 60])
def test_a_line_that_was_cut_off_is_as_if_never_written(tmp_path: Path, torn: int) -> None:
    path = tmp_path / "state.jsonl"
    with Checkpoint(path) as first:
        first.note(MAPPING, "ä.csv", REACHED)
        whole = path.read_bytes()
        first.note(MAPPING, "ä.csv", replace(REACHED, sent=9))
    path.write_bytes(path.read_bytes()[:-torn])
    with Checkpoint(path) as second:
        assert second.of(MAPPING, "ä.csv", "1") == REACHED
        assert path.read_bytes() == whole
        second.note(MAPPING, "ä.csv", replace(REACHED, sent=10))
    with Checkpoint(path) as third:
        assert third.of(MAPPING, "ä.csv", "1").sent == 10


@pytest.mark.parametrize(
    "line", ["{}", "[]", "x", json.dumps({"checkpoint": 2, "record": "r", "name": "n"})]
)
def test_a_file_that_is_no_checkpoint_is_told_with_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "state.jsonl"
    path.write_text(f"{line}\n")
    with pytest.raises(CheckpointError, match=r"state\.jsonl:1: no checkpoint"), Checkpoint(path):
        pass
    assert path.read_text() == f"{line}\n"


def test_two_loads_do_not_share_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "state.jsonl"
    with (
        Checkpoint(path),
        pytest.raises(CheckpointError, match="another load is using it"),
        Checkpoint(path),
    ):
        pass
    with Checkpoint(path) as state:
        assert state.of(MAPPING, "a", "1") == Reached(version="1")
