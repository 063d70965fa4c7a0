"""A store that knows more than its broker is noticed, emptied and filled again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from aiokafka import TopicPartition

from embedded.store import Store
from embedded.upkeep import empty_store, store_is_ahead
from sinks.connect import Client
from sinks.migrate import migrate
from sinks.sink import SinkSettings

SETTINGS = SinkSettings()
PLACE = TopicPartition("account-balances", 2)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """A migrated store that holds the message at offset 7 of PLACE."""
    with Store.open(tmp_path / "store") as store:
        migrate(store.writer)
        row = pa.table({"account_id": ["a"], "_partition": [2], "_offset": [7]})
        store.writer.insert_arrow("balances", row, database="carbonflow")
        yield store.writer


def test_a_broker_with_the_message_is_not_behind(client: Client) -> None:
    assert not store_is_ahead(client, SETTINGS, {PLACE: 8})


def test_a_broker_that_ends_before_the_message_is_behind(client: Client) -> None:
    assert store_is_ahead(client, SETTINGS, {PLACE: 7})


def test_a_broker_without_the_partition_is_behind(client: Client) -> None:
    assert store_is_ahead(client, SETTINGS, {})


def test_an_emptied_store_is_not_ahead(client: Client) -> None:
    empty_store(client, SETTINGS)
    assert not store_is_ahead(client, SETTINGS, {})
