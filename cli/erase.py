"""The command `erase`: what was told about one account leaves the store, the books stay."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from cli.broker import settings_of
from cli.origin import existing, url_of_store
from cli.outages import store_at
from cli.parsing import Failure, data_dir_option, json_option
from cli.printing import counted, print_json

if TYPE_CHECKING:
    from sinks.connect import Client


@click.command(
    epilog="\b\nExamples:\n  carbonflow erase --account p1-a2bcd3efghijklmnopqrstuvwxyz2345\n"
    "  carbonflow erase --account - --clickhouse http://clickhouse:8123"
)
@click.option(
    "--account", required=True, help="Whose raw activities; - reads it from standard input."
)
@data_dir_option
@click.option(
    "--clickhouse",
    metavar="URL",
    help="Erase in a ClickHouse server [default: CARBONFLOW_CLICKHOUSE_URL].",
)
@json_option
def erase(account: str, data_dir: Path, clickhouse: str | None, as_json: bool) -> None:
    """Erase the raw activities of an account and the raw bytes of its refusals from the store.

    Transfers and balance stay, and `verify` agrees as before. Kafka keeps its topics until their
    retention ends: after a store was filled from them again, erase again.
    """
    from dataclasses import asdict

    from sinks.erase import erase as erase_account

    account = sys.stdin.readline().strip() if account == "-" else account
    if not account:
        raise click.UsageError("--account is empty")
    source = click.get_current_context().get_parameter_source("data_dir")
    if clickhouse is None and source is not ParameterSource.COMMANDLINE:
        clickhouse = os.environ.get("CARBONFLOW_CLICKHOUSE_URL")
    with _store(data_dir, clickhouse) as (client, database):
        erased = erase_account(client, account, database=database)
    if as_json:
        print_json({"account_id": account, **asdict(erased)})
    else:
        sessions, trips = counted(erased.sessions, "session"), counted(erased.trips, "trip")
        print(f"erased {sessions}, {trips}, raw bytes of {counted(erased.refusals, 'refusal')}")


@contextmanager
def _store(data_dir: Path, clickhouse: str | None) -> Iterator[tuple[Client, str]]:
    """Give a client that may write, and the database.

    Raises:
        Failure: The store cannot be reached, is older than this release, or is in use.
    """
    from embedded.ownership import InUseError, UnusableError
    from embedded.store import Store, StoreError
    from sinks.connect import StoreSettings, connect

    try:
        if clickhouse is not None:
            settings = settings_of(StoreSettings, url_of_store(clickhouse))
            with store_at(settings):
                client = connect(settings)
                _check_version(client, settings.database)
                yield client, settings.database
        else:
            with Store.open(existing(data_dir) / "store") as store:
                _check_version(store.writer, "carbonflow")
                yield store.writer, "carbonflow"
    except (InUseError, UnusableError) as error:
        raise Failure(f"{error}; stop it first") from error
    except StoreError as error:
        raise Failure(f"the store cannot be asked: {error}") from error


def _check_version(client: Client, database: str) -> None:
    from sinks.migrate import MigrationError, pending

    try:
        lacks = pending(client, database=database)
    except MigrationError as error:
        raise Failure(str(error)) from error
    if lacks:
        raise Failure(f"the database lacks migrations {list(lacks)}: run `carbonflow migrate`")
