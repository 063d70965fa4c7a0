"""`explain` recomputes under the programmes the workers have, those of one's own among them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from carbon.programmes import parse_programme
from embedded.store import Store
from sinks.migrate import migrate
from tests.cli.test_wrong_use import call
from tests.sinks.facts import Facts, factor, session, transfer

SCHEME = """
name = "mine"
title = "A scheme of one's own"
boundary = "wtw"
source = "made up"
[fallback]
place = false
time = false
[charging]
grid = "annual"
classes = ["car"]
"""


@pytest.fixture
def booked(tmp_path: Path) -> tuple[Path, str]:
    """A folder with one booked session of a programme of one's own, and its transfer."""
    known = session(0, programme="mine")
    row = transfer(known, "emission", 10_000 * 200)
    row |= {"programme_digest": parse_programme(SCHEME).digest}
    grid = {"factor_id": "grid:CN-BJ:2021", "kind": "grid_average", "region": "CN-BJ"}
    with Store.open(tmp_path / "books" / "store") as store:
        migrate(store.writer)
        facts = Facts(store.writer, "carbonflow")
        facts.put("charging_sessions", known)
        facts.put("transfers", row)
        facts.put("factors", factor(0, **grid, valid_from=0, valid_to=253_402_300_800_000))
    return tmp_path / "books", row["transfer_id"]


def explained(books: Path, transfer_id: str) -> dict[str, Any]:
    """Return what the command says for a program."""
    done = call("explain", transfer_id, "--data-dir", str(books), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_a_programme_of_ones_own_is_recomputed(
    booked: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text(SCHEME)
    monkeypatch.setenv("CARBONFLOW_PROGRAMMES", str(tmp_path / "mine.toml"))
    found = explained(*booked)
    assert (found["recomputed_mg"], found["agrees"]) == (10_000 * 200, True), found["lines"]


def test_an_unknown_programme_neither_agrees_nor_disagrees(booked: tuple[Path, str]) -> None:
    found = explained(*booked)
    assert (found["recomputed_mg"], found["agrees"]) == (None, None)


def test_a_programme_that_cannot_be_read_is_a_failure(
    booked: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARBONFLOW_PROGRAMMES", "nowhere.toml")
    books, transfer_id = booked
    done = call("explain", transfer_id, "--data-dir", str(books))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "CARBONFLOW_PROGRAMMES: " in done.stderr
    assert "nowhere.toml" in done.stderr
