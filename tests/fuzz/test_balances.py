"""Damaged balances are restored as what they say, or refused as unreadable; nothing crashes."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from schemas.raw import Raw
from schemas.singles import encode_one
from streams.accounts import Accounts
from streams.fold import SUM_MAX
from streams.restore import UnreadableBalance, balances_of
from tests.streams.scene import NOW_MS, event, held, part_of, session, wire_balances, work

NAMES = [f"account-{number}" for number in range(20)]
BALANCE: dict[str, Any] = {
    "account_id": "anna",
    "programme": "cn-charging",
    "reduction_mg": -5,
    "emissions_mg": 7,
    "energy_wh": 20_000,
    "distance_m": 0,
    "transport_kg_km": 0,
    "session_count": 1,
    "trip_count": 0,
    "transfer_count": 2,
    "duplicate_count": 0,
    "last_booked_at": NOW_MS,
    "updated_at": NOW_MS,
    "seen": bytes(8),
    "seen_days": bytes(4),
    "forgotten_until": 0,
}


def values(**changes: object) -> Raw:
    return Raw.of([encode_one("account_balance", BALANCE | changes)])


def test_a_balance_as_we_write_it_is_read() -> None:
    assert balances_of(values()).num_rows == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"seen": bytes(7)},
        {"seen": bytes(16)},
        {"seen_days": b""},
        {"seen_days": bytes(5)},
        {"seen": bytes(9), "seen_days": bytes(5)},
    ],
)
def test_a_memory_that_is_not_hashes_and_as_many_days_is_unreadable(
    changes: dict[str, object],
) -> None:
    with pytest.raises(UnreadableBalance, match="as many days"):
        balances_of(values(**changes))


def test_bytes_that_only_add_up_over_two_accounts_are_unreadable() -> None:
    first = encode_one("account_balance", BALANCE | {"seen": bytes(12), "seen_days": bytes(6)})
    second = encode_one(
        "account_balance", BALANCE | {"account_id": "b", "seen": bytes(4), "seen_days": bytes(2)}
    )
    with pytest.raises(UnreadableBalance, match="as many days"):
        balances_of(Raw.of([first, second]))


@pytest.mark.parametrize("name", ["reduction_mg", "emissions_mg", "transfer_count"])
@pytest.mark.parametrize("number", [SUM_MAX + 1, -SUM_MAX - 1, 2**63 - 1, -(2**63)])
def test_a_sum_that_no_account_can_reach_is_unreadable(name: str, number: int) -> None:
    with pytest.raises(UnreadableBalance, match=name):
        balances_of(values(**{name: number}))


@pytest.mark.parametrize("name", ["session_count", "trip_count", "duplicate_count", "energy_wh"])
def test_a_count_or_a_quantity_below_zero_is_unreadable(name: str) -> None:
    with pytest.raises(UnreadableBalance, match=name):
        balances_of(values(**{name: -1}))


@pytest.mark.parametrize("value", [None, b"", b"{}", b"\0\0\0\0\x01x", b"\0\xff\xff\xff\xffx"])
def test_what_is_no_balance_is_unreadable(value: bytes | None) -> None:
    with pytest.raises(UnreadableBalance):
        balances_of(Raw.of([value]))


@pytest.mark.parametrize("seed", range(3))
def test_mutated_balances_are_restored_and_worked_on_or_unreadable(seed: int) -> None:
    random = Random(seed)
    events = [
        event(session(session_id=f"S{at}", account_id=name)) for at, name in enumerate(NAMES * 3)
    ]
    whole = wire_balances(work(Accounts(), part_of(events)))
    restored = refused = 0
    for _ in range(600):
        spoilt = [_mutated(random, value) if random.random() < 0.1 else value for value in whole]
        try:
            balances = balances_of(Raw.of(spoilt))
        except UnreadableBalance:
            refused += 1
            continue
        accounts = Accounts()
        accounts.restore(balances, 7)
        assert set(held(accounts, balances.column("account_id").to_pylist())) == set(
            balances.column("account_id").to_pylist()
        )
        outcome = work(accounts, part_of(events, first_offset=100))
        assert len(events) == outcome.booked + outcome.duplicates + len(outcome.refused)
        restored += 1
    assert restored > 50
    assert refused > 50


def _mutated(random: Random, value: bytes) -> bytes:
    spoilt = bytearray(value)
    at = random.randrange(len(spoilt))
    how = random.randrange(4)
    if how == 0:
        spoilt[at] ^= 1 << random.randrange(8)
    elif how == 1:
        spoilt[at:at] = random.randbytes(random.choice((1, 4, 8)))
    elif how == 2:
        del spoilt[at : at + random.choice((1, 4, 8))]
    else:
        del spoilt[at:]
    return bytes(spoilt)
