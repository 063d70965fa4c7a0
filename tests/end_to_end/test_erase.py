"""Charging sessions under pseudonyms, from the file to the books; then one account is erased."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from embedded.store import Store
from producers.mapping import load_mapping
from tests.end_to_end.command import (
    CARBONFLOW,
    HOURLY_SPEC,
    RUN_S_MAX,
    SESSIONS,
    asked,
    call,
    environment,
)

SHIPPED = Path(str(load_mapping.__globals__["__file__"])).parent / "mappings" / "acn-data.toml"
CLEAR = 'account_id = { template = "acn-{UserID}" }'
SECRET = 'account_id = { template = "acn-{UserID}", pseudonym = true }'


def with_keys(keys: Path, *words: str) -> str:
    """Run a command that succeeds, with the key file; return what it prints."""
    done = subprocess.run(
        [CARBONFLOW, *words],
        capture_output=True,
        text=True,
        check=False,
        env=environment(CARBONFLOW_PSEUDONYM_KEYS=str(keys)),
        timeout=RUN_S_MAX,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose books are those of the sessions of a year, under pseudonyms."""
    folder = tmp_path_factory.mktemp("erase")
    head, *lines = SESSIONS.read_text("utf-8").splitlines(keepends=True)
    (folder / "s.csv").write_text(head + "".join(x for x in lines if "2021-" in x), "utf-8")
    text = SHIPPED.read_text("utf-8")
    assert CLEAR in text
    (folder / "m.toml").write_text(text.replace(CLEAR, SECRET), "utf-8")
    keys = folder / "keys.toml"
    with_keys(keys, "pseudonym", "new-key", "--programme", "acn-data")
    files = ("--charging", str(folder / "s.csv"), "--mapping", str(folder / "m.toml"))
    options = ("--factors", HOURLY_SPEC, "--data-dir", str(folder / "data"), "--json")
    with_keys(keys, "run", *files, *options)
    return folder


@pytest.fixture(scope="module")
def account(folder: Path) -> str:
    """The pseudonym of a driver with many sessions."""
    lines = (folder / "s.csv").read_text("utf-8").splitlines()
    ids = [f"acn-{line.split(',')[lines[0].split(',').index('UserID')]}" for line in lines[1:]]
    natural = max(set(ids), key=lambda one: (ids.count(one), one))
    return with_keys(folder / "keys.toml", "pseudonym", "of", "--programme", "acn-data", natural)


def rows(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with Store.open(folder / "data" / "store") as store:
        return [tuple(row) for row in store.reader.query(sql).result_rows]


def test_the_books_are_in_pseudonyms(folder: Path, account: str) -> None:
    assert asked("balance", account, data_dir=folder / "data")["session_count"] > 10
    accounts = [name for (name,) in rows(folder, "SELECT account_id FROM carbonflow.accounts")]
    assert len(accounts) > 100
    assert [name for name in accounts if not name.startswith("p1-")] == []


def test_no_file_of_broker_or_store_has_a_natural_id(folder: Path) -> None:
    found = [
        str(path)
        for path in (folder / "data").rglob("*")
        if path.is_file() and b"acn-0000" in path.read_bytes()
    ]
    assert found == []


def test_an_erased_account_keeps_its_books_and_verify_agrees(folder: Path, account: str) -> None:
    data_dir = folder / "data"
    before = asked("balance", account, data_dir=data_dir)
    statement = asked("statement", account, data_dir=data_dir)
    erased = asked("erase", "--account", account, data_dir=data_dir)
    assert erased["sessions"] >= before["session_count"]
    left = "SELECT count() FROM carbonflow.charging_sessions WHERE account_id = '{}'"
    assert rows(folder, left.format(account)) == [(0,)]
    assert asked("balance", account, data_dir=data_dir) == before
    assert asked("statement", account, data_dir=data_dir) == statement
    assert asked("verify", data_dir=data_dir) == {"ok": True, "drift": [], "waiting": 0}
    again = asked("erase", "--account", account, data_dir=data_dir)
    assert (again["sessions"], again["trips"], again["refusals"]) == (0, 0, 0)


def test_what_was_booked_for_an_erased_account_is_no_longer_explained(
    folder: Path, account: str
) -> None:
    data_dir = folder / "data"
    asked("erase", "--account", account, data_dir=data_dir)
    transfer = asked("statement", account, data_dir=data_dir)["transfers"][0]["transfer_id"]
    done = call("explain", transfer, "--data-dir", str(data_dir))
    assert done.returncode == 1
    assert f"The record behind transfer '{transfer}' is not in the store." in done.stderr


def test_a_folder_in_use_is_not_erased_in(folder: Path, account: str) -> None:
    with Store.open(folder / "data" / "store"):
        done = call("erase", "--account", account, "--data-dir", str(folder / "data"))
    assert done.returncode == 1
    assert done.stderr.endswith("stop it first\n")
    assert os.linesep not in done.stderr.strip()
