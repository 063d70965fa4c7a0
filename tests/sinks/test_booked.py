"""Booked already: what the ledger has is told, under its own account only."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from sinks.booked import booked_already
from sinks.connect import Client, StoreError, StoreSettings, connect
from sinks.migrate import migrate
from tests import clickhouse_server

INSERT = """
    INSERT INTO carbonflow.transfers (transfer_id, account_id, quantity, booked_at, _offset)
    SELECT concat('charging:s:', toString(number % 500), ':0:', quantity, ':0'),
        concat('account-', toString(number % 7)), arrayJoin(['emission', 'reduction']) AS quantity,
        toDateTime64('2023-01-01 00:00:00', 3, 'UTC') + number * 86400, number
    FROM numbers(1000)
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("store") / "data"
    with (
        clickhouse_server.start(folder) as url,
        connect(StoreSettings(clickhouse_url=url)) as opened,
    ):
        migrate(opened)
        opened.command(INSERT)
        yield opened


def asked(client: Client, *pairs: tuple[int, int]) -> list[bool]:
    accounts = pa.array([f"account-{account}" for account, _ in pairs], pa.string())
    ids = pa.array([f"charging:s:{number}:0:emission:0" for _, number in pairs], pa.string())
    found: list[bool] = booked_already(client, accounts, ids).tolist()
    return found


def test_what_is_booked_is_told_in_the_order_it_was_asked_for(client: Client) -> None:
    assert asked(client, (3, 3), (3, 9_000), (1, 1), (3, 3)) == [True, False, True, True]


def test_an_activity_of_another_account_is_another(client: Client) -> None:
    # Both accounts are there, and so is the id: under account 4 (4) and 6 (504 % 500).
    assert asked(client, (4, 4), (504 % 7, 4), (5, 4)) == [True, True, False]


def test_a_slice_is_asked_about_in_one_query(client: Client) -> None:
    pairs = [(number % 7, number) for number in range(16_384)]
    known = np.array(asked(client, *pairs))
    assert known[:500].all()
    assert not known[500:].any()


def test_nothing_is_asked_about_nothing(client: Client) -> None:
    assert asked(client) == []


def test_a_name_that_needs_quoting_is_only_a_name(client: Client) -> None:
    accounts = pa.array(["account-3', '", "account-3"], pa.string())
    ids = pa.array(["charging:s:3:0:emission:0", "charging:s:3') OR ('':0:emission:0"], pa.string())
    assert booked_already(client, accounts, ids).tolist() == [False, False]


def test_a_database_that_is_not_there_is_a_refusal_of_the_store(client: Client) -> None:
    with pytest.raises(StoreError):
        booked_already(client, pa.array(["a"]), pa.array(["b"]), database="nowhere")
