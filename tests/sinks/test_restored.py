"""A store that was lost comes back: from a backup and the topics, or from the topics alone.

The statements are those of docs/operations.md, put to the real engine.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client

from sinks.migrate import migrate
from tests.clickhouse_access import write_config
from tests.pages import ROOT, section
from tests.sinks.bench import Bench, make_bench, produce, run, sessions, sinking, transfers, until
from tests.sinks.facts import Facts

DATABASE: Final = "carbonflow"
VIEWS: Final = ("sessions", "trips", "ledger", "accounts", "refused", "published_factors")
BACKED_UP: Final = 40
BOOKED: Final = 100
PAGE: Final = section((ROOT / "docs/operations.md").read_text("utf-8"), "Backup and restore")


def statement(kind: str) -> str:
    """Return the statement of the page that begins with a word."""
    found = re.findall(rf"(?m)^({kind} .+);$", PAGE)
    assert len(found) == 1, f"the page has {len(found)} statements of {kind}"
    return str(found[0])


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """A store that may write backups, as the server of the image may by its configuration."""
    config = tmp_path / "config.xml"
    write_config(config, {}, backups=tmp_path / "backups")
    where = f"{tmp_path / 'store'}?config-file={config}"
    with clickhouse_connect.get_client(interface="chdb", path=where) as opened:
        yield opened


def contents(client: Client) -> dict[str, list[Any]]:
    """Return what every view shows, but when it was stored."""
    found = {}
    for view in VIEWS:
        rows = client.query(f"SELECT * FROM {DATABASE}.{view}").named_results()
        found[view] = sorted(repr(sorted(row.items())) for row in rows)
    return found


async def book(bench: Bench, numbers: range) -> None:
    await produce(bench, "charging-sessions", sessions(numbers))
    await produce(bench, "transfers", transfers(numbers), partition=1)


async def fill(bench: Bench, rows: int) -> None:
    """Run a sink until the store has so many transfers, and the sessions of them."""
    async with sinking(bench) as sink:
        await until(lambda: bench.has("ledger", rows) and bench.has("sessions", rows), sink)


@pytest.mark.parametrize("with_backup", [True, False])
def test_a_lost_store_comes_back_and_is_the_same(
    broker: str, client: Client, *, with_backup: bool
) -> None:
    async def scenario() -> None:
        migrate(client, database=DATABASE)
        bench = await make_bench(broker, Facts(client, DATABASE))
        await book(bench, range(BACKED_UP))
        await fill(bench, BACKED_UP)
        if with_backup:
            client.command(statement("BACKUP"))
        await book(bench, range(BACKED_UP, BOOKED))
        await fill(bench, BOOKED)
        before = contents(client)

        client.command(f"DROP DATABASE {DATABASE} SYNC")
        if with_backup:
            client.command(statement("RESTORE"))
            assert bench.rows("ledger") == BACKED_UP
        migrate(client, database=DATABASE)
        # Its group has read everything; another one begins at the beginning.
        again = replace(
            bench, settings=replace(bench.settings, sink_group=f"{bench.settings.sink_group}-2")
        )
        await fill(again, BOOKED)
        assert contents(client) == before
        assert len(before["ledger"]) == len(before["sessions"]) == BOOKED

    run(scenario)
