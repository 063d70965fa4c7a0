"""Accounts: what is applied is held, what is held comes back from its own records, and grows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pytest

from schemas.columns import decode
from schemas.singles import decode_one
from streams import memory
from streams.accounts import Accounts
from streams.disk import About, DiskAccounts
from streams.memory import Memory
from streams.states import NEW, AccountStore
from tests.streams.scene import (
    DAY_MS,
    HOUR_MS,
    NOW_MS,
    event,
    held,
    part_of,
    remembered,
    restored,
    rules,
    session,
    sessions_of,
    wire_balances,
    work,
)

TODAY = NOW_MS // DAY_MS
New: TypeAlias = Callable[[], AccountStore]


def on_day(number: int, account: str = "anna") -> dict[str, object]:
    ended = NOW_MS + number * DAY_MS
    return session(
        session_id=f"S{number}", account_id=account, started_at=ended - HOUR_MS, ended_at=ended
    )


@pytest.fixture(params=["memory", "rocksdb"])
def new(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[New]:
    """Make stores of the kind that is tested; each is empty."""
    made: list[AccountStore] = []

    def make() -> AccountStore:
        about = About("group", 0, 1)
        folder = tmp_path / str(len(made))
        made.append(
            Accounts()
            if request.param == "memory"
            else DiskAccounts.open(folder, about, bytes_max=8 << 20)
        )
        return made[-1]

    yield make
    for store in made:
        store.close()


def test_an_account_nobody_booked_on_is_new_and_empty(new: New) -> None:
    accounts = new()
    states = accounts.read(pa.array(["anna", "bert"]))
    assert states.rows.tolist() == [NEW, NEW]
    assert states.numbers.tolist() == [[0] * 11] * 2
    assert states.forgotten_until.tolist() == [0, 0]
    assert states.memory.counts().tolist() == [0, 0]
    assert remembered(accounts, "anna", [0, 1]) == [False, False]


def test_a_balance_record_holds_the_whole_state(new: New) -> None:
    outcome = work(new(), sessions_of(session(), session()))
    record, fields = decode_one(wire_balances(outcome)[0])
    assert record == "account_balance"
    seen = fields.pop("seen")
    assert isinstance(seen, bytes)
    assert len(seen) == 8
    assert fields == {
        "account_id": "anna",
        "programme": "cn-charging",
        "reduction_mg": 13_540_000,
        "emissions_mg": 11_108_000,
        "energy_wh": 20_000,
        "distance_m": 0,
        "transport_kg_km": 0,
        "session_count": 1,
        "trip_count": 0,
        "transfer_count": 2,
        "duplicate_count": 1,
        "last_booked_at": NOW_MS - HOUR_MS,
        "updated_at": NOW_MS,
        "seen_days": TODAY.to_bytes(4, "little"),
        "forgotten_until": 0,
    }


def test_of_several_records_of_an_account_the_latest_is_restored(
    new: New,
) -> None:
    accounts = new()
    values = []
    for number in range(5):
        values += wire_balances(work(accounts, sessions_of(on_day(number), on_day(9, "bert"))))
    assert held(restored(values, new()), ["anna", "bert"]) == held(accounts, ["anna", "bert"])


def test_restoring_in_portions_is_restoring_at_once(new: New) -> None:
    accounts, portions = new(), new()
    values = []
    for number in (0, 1, 50):
        part = part_of([event(on_day(number), NOW_MS + number * DAY_MS)])
        values += wire_balances(work(accounts, part))
        portions.restore(decode("account_balance", values[-1:]).batch)
    assert (
        held(portions, ["anna"])
        == held(restored(values, new()), ["anna"])
        == held(accounts, ["anna"])
    )
    everything = [one for one, _ in held(accounts, ["anna"])["anna"][2]]
    assert all(remembered(portions, "anna", everything))


def test_memory_forgets_after_dedupe_days_and_not_before(new: New) -> None:
    accounts = new()
    by = rules(dedupe_days=35)
    work(accounts, part_of([event(on_day(0))]), by)
    first = held(accounts, ["anna"])["anna"][2][0][0]
    work(accounts, part_of([event(on_day(35), NOW_MS + 35 * DAY_MS)]), by)
    assert remembered(accounts, "anna", [first]) == [True]
    work(accounts, part_of([event(on_day(36), NOW_MS + 36 * DAY_MS)]), by)
    assert remembered(accounts, "anna", [first]) == [False]
    _, _, seen, forgotten_until = held(accounts, ["anna"])["anna"]
    assert sorted(day - TODAY for _, day in seen) == [35, 36]
    assert forgotten_until == TODAY


def test_what_was_forgotten_stays_forgotten_after_a_restore(
    new: New,
) -> None:
    accounts = new()
    values = []
    for number in (0, 40):
        part = part_of([event(on_day(number), NOW_MS + number * DAY_MS)])
        values += wire_balances(work(accounts, part))
    first = decode_one(values[0])[1]["seen"]
    again = restored(values, new())
    assert isinstance(first, bytes)
    assert remembered(again, "anna", np.frombuffer(first, "<i8").tolist()) == [False]
    assert held(again, ["anna"])["anna"][3] == TODAY


def test_no_other_account_can_make_one_forget(new: New) -> None:
    accounts = new()
    work(accounts, part_of([event(on_day(0)), event(on_day(1))]))
    before = held(accounts, ["anna"])["anna"][2]
    far = [event(on_day(2), NOW_MS + DAY_MS), event(on_day(99, "bert"), NOW_MS + 99 * DAY_MS)]
    work(accounts, part_of(far))
    after = held(accounts, ["anna"])["anna"]
    assert set(before) < set(after[2])
    assert after[3] == 0


def test_a_busy_account_forgets_its_oldest_days_and_says_until_when(
    new: New, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "SEEN_MAX", 3)
    accounts = new()
    for number in (0, 1, 2, 3, 4):
        work(accounts, part_of([event(on_day(number), NOW_MS + number * DAY_MS)]))
    _, _, seen, forgotten_until = held(accounts, ["anna"])["anna"]
    assert sorted(day - TODAY for _, day in seen) == [2, 3, 4]
    assert forgotten_until == TODAY + 1


def test_a_quiet_account_keeps_its_memory_until_it_is_booked_on_again(
    new: New,
) -> None:
    accounts = new()
    work(accounts, part_of([event(on_day(0))]))
    before = held(accounts, ["anna"])
    work(accounts, part_of([event(on_day(99, "bert"), NOW_MS + 99 * DAY_MS)]))
    assert held(accounts, ["anna"]) == before


def test_accounts_grow_beyond_any_first_size_and_keep_what_they_hold(
    new: New,
) -> None:
    accounts = new()
    names = [f"account-{number}" for number in range(5000)]
    for first in range(0, 5000, 1250):
        events = [
            event(session(session_id=f"S-{name}", account_id=name, energy_wh=1000 + at))
            for at, name in enumerate(names[first : first + 1250], start=first)
        ]
        work(accounts, part_of(events))
    assert len(accounts) == 5000
    energies = accounts.read(pa.array(names)).column("energy_wh")
    assert energies.tolist() == list(range(1000, 6000))


def test_accounts_remember_through_moves_and_clearings_of_their_memory(
    new: New,
) -> None:
    accounts = new()
    names = [f"account-{number}" for number in range(300)]
    booked: dict[str, set[tuple[int, int]]] = {name: set() for name in names}
    for turn in range(30):
        chosen = names[turn % 3 :: 1 + turn % 5]
        events = [event(session(session_id=f"S-{turn}-{name}", account_id=name)) for name in chosen]
        work(accounts, part_of(events))
        for name, account in held(accounts, chosen).items():
            assert len(account[2]) == len(booked[name]) + 1
            assert booked[name] < set(account[2])
            booked[name] = set(account[2])
    assert {name: set(account[2]) for name, account in held(accounts, names).items()} == booked


@pytest.mark.parametrize(
    ("seen", "days"), [(bytes(8), b""), (bytes(8), bytes(8)), (bytes(7), bytes(4)), (b"", bytes(2))]
)
def test_hashes_without_their_days_are_no_memory(seen: bytes, days: bytes) -> None:
    with pytest.raises(ValueError, match="as many days"):
        Memory.unpacked(pa.array([b"", seen]), pa.array([b"", days]))


def test_memory_is_what_was_packed_also_from_the_middle_of_a_column() -> None:
    kept = Memory(
        np.array([5, -(2**63), 7], dtype=np.int64),
        np.array([18_628, 0, 3_000_000], dtype=np.int32),
        np.array([0, 1, 1, 3]),
    )
    seen, days = kept.packed()
    found = Memory.unpacked(seen.slice(1), days.slice(1))
    assert found.hashes.tolist() == [-(2**63), 7]
    assert found.days.tolist() == [0, 3_000_000]
    assert found.offsets.tolist() == [0, 0, 2]
