"""Accounts on disk: what was written is there again, and what is not to be trusted is not used."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from streams.disk import FAILED, About, DiskAccounts, FolderInUse
from tests.streams.scene import event, held, part_of, restored, session, wire_balances, work

ABOUT = About("group", 0, 1)
BYTES = 8 << 20


def opened(folder: Path, about: About = ABOUT, afresh: str | None = None) -> DiskAccounts:
    return DiskAccounts.open(folder, about, bytes_max=BYTES, afresh=afresh)


def filled(folder: Path, accounts: int = 3) -> DiskAccounts:
    store = opened(folder)
    events = [
        event(session(session_id=f"S{n}", account_id=f"account-{n}")) for n in range(accounts)
    ]
    values = wire_balances(work(store, part_of(events)))
    store.restore(restored_batch(values), checkpoint=accounts)
    return store


def restored_batch(values: list[bytes]) -> object:
    from schemas.columns import decode  # noqa: PLC0415 - for this alone.

    return decode("account_balance", values).batch


NAMES = [f"account-{n}" for n in range(3)]


def test_what_was_written_is_there_when_the_store_is_opened_again(tmp_path: Path) -> None:
    store = filled(tmp_path / "0")
    before = held(store, NAMES)
    store.close()
    again = opened(tmp_path / "0")
    assert held(again, NAMES) == before
    assert (len(again), again.checkpoint, again.names().to_pylist()) == (3, 3, NAMES)
    again.close()
    again.close()


@pytest.mark.parametrize(
    ("other", "word"),
    [
        (replace(ABOUT, group_id="pilot.group"), "pilot.group"),
        (replace(ABOUT, partition=1), "partition=1"),
        (replace(ABOUT, partitions=8), "partitions=8"),
        (replace(ABOUT, format=99), "format=99"),
    ],
)
def test_a_store_of_others_is_thrown_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, other: About, word: str
) -> None:
    filled(tmp_path / "0").close()
    with caplog.at_level(logging.WARNING):
        store = opened(tmp_path / "0", other)
    assert (len(store), store.checkpoint) == (0, 0)
    assert "another store" in caplog.text
    assert word in caplog.text
    store.close()


def test_a_store_is_thrown_away_when_somebody_knows_better(tmp_path: Path) -> None:
    filled(tmp_path / "0").close()
    store = opened(tmp_path / "0", afresh="the topic was made anew")
    assert (len(store), store.checkpoint) == (0, 0)
    store.close()


def test_a_damaged_store_is_thrown_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    filled(tmp_path / "0").close()
    (tmp_path / "0" / "CURRENT").write_text("nonsense")
    with caplog.at_level(logging.WARNING):
        store = opened(tmp_path / "0")
    assert len(store) == 0
    assert "cannot open" in caplog.text
    store.close()


def test_a_store_that_failed_while_it_was_used_is_thrown_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = filled(tmp_path / "0")
    store._db.close()
    with pytest.raises(Exception, match="closed"):
        store.names()
    os.close(store._lock or -1)
    assert (tmp_path / "0" / FAILED).exists()
    with caplog.at_level(logging.WARNING):
        again = opened(tmp_path / "0")
    assert len(again) == 0
    assert "it failed" in caplog.text
    again.close()


def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    store = filled(tmp_path / "0")
    with pytest.raises(FolderInUse, match="open already"):
        opened(tmp_path / "0")
    store.close()
    opened(tmp_path / "0").close()


def killed_after_writing(folder: Path) -> None:
    store = filled(folder)
    assert len(store) == 3
    os.kill(os.getpid(), signal.SIGKILL)


def test_after_a_kill_accounts_and_checkpoint_are_missing_together_or_there_together(
    tmp_path: Path,
) -> None:
    child = multiprocessing.get_context("spawn").Process(
        target=killed_after_writing, args=(tmp_path / "0",)
    )
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    store = opened(tmp_path / "0")
    assert (len(store), store.checkpoint) in {(0, 0), (3, 3)}
    assert len(held(store, NAMES)) == len(store)
    store.close()


def test_what_is_restored_again_changes_nothing(tmp_path: Path) -> None:
    store = filled(tmp_path / "0")
    before = held(store, NAMES)
    values = wire_balances(work(store, part_of([event(session(account_id="account-1"))])))
    restored(values, store)
    restored(values, store)
    assert len(store) == 3
    after = held(store, NAMES)
    assert after.keys() == before.keys()
    assert after["account-1"][1] != before["account-1"][1]
    store.close()
