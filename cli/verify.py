"""The command `verify`: do source, ledger and balances agree?"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from cli.broker import settings_of
from cli.origin import existing, url_of_store, without_password
from cli.outages import broker_at, store_at
from cli.parsing import Failure, data_dir_option, json_option
from cli.printing import counted, print_json


@click.command(
    epilog="\b\nExamples:\n  carbonflow verify\n"
    "  carbonflow verify --data-dir /var/lib/carbonflow\n"
    "  carbonflow verify --clickhouse http://clickhouse:8123 --bootstrap kafka:9092"
)
@data_dir_option
@click.option(
    "--clickhouse",
    metavar="URL",
    help="Check a ClickHouse server instead of a folder [default: CARBONFLOW_CLICKHOUSE_URL].",
    callback=without_password,
)
@click.option("--bootstrap", metavar="HOST:PORT", help="Its Kafka [default: CARBONFLOW_BOOTSTRAP].")
@json_option
def verify(data_dir: Path, clickhouse: str | None, bootstrap: str | None, as_json: bool) -> None:
    """Compare source, ledger and balances, and print any drift. Exit status 1 if there is some."""
    from embedded.ownership import running_owner

    api = running_owner(data_dir).get("api")
    source = click.get_current_context().get_parameter_source("data_dir")
    if clickhouse is None and api is None and source is not ParameterSource.COMMANDLINE:
        clickhouse = os.environ.get("CARBONFLOW_CLICKHOUSE_URL")
    if clickhouse is not None:
        verdict = _of_servers(clickhouse, bootstrap)
    elif bootstrap is not None:
        raise click.UsageError("--bootstrap goes with --clickhouse")
    elif isinstance(api, str):
        verdict = _of_running(api)
    else:
        verdict = _of_folder(existing(data_dir))
    if as_json:
        print_json(verdict)
    elif verdict["ok"]:
        waiting = verdict["waiting"]
        late = f", {counted(waiting, 'late event')} waiting for the store" if waiting else ""
        print(f"verify: ok{late}")
    if not verdict["ok"]:
        drift = [f"{one['kind']}: {one['where']}" for one in verdict["drift"]]
        if not as_json:
            for one in verdict["drift"]:
                print(
                    f"{one['kind']}: {one['where']}: expected {one['expected']}, "
                    f"found {one['found']}"
                )
        raise Failure(f"verify: {counted(len(drift), 'disagreement')}, first {drift[0]}")


def _of_running(api: str) -> dict[str, Any]:
    from embedded.answers import HttpAnswers, NoAnswerError

    try:
        return HttpAnswers(api).get("/v1/verify")
    except NoAnswerError as error:
        raise Failure(str(error)) from error


def _of_folder(data_dir: Path) -> dict[str, Any]:
    """Start broker and store, no workers, and let the store catch up first."""
    from rich.console import Console

    from embedded.progress import view
    from embedded.stack import StackError, StackSettings, running

    settings = StackSettings(data_dir=data_dir, what="carbonflow verify")
    with view(Console(stderr=True), quiet=True) as seen:
        try:
            with running(settings, tell=seen.tell) as stack:
                stack.settle_sink(seen.tick)
                return _as_json(stack.verify())
        except StackError as error:
            raise Failure(str(error)) from error


def _of_servers(clickhouse: str, bootstrap: str | None) -> dict[str, Any]:
    from embedded.monitor import Monitor
    from schemas.catalogue import ACTIVITY_TOPICS, LATE_OF
    from sinks.connect import StoreSettings, connect
    from sinks.verify import verify as compare
    from streams.settings import WorkerSettings

    worker = settings_of(WorkerSettings, {"CARBONFLOW_BOOTSTRAP": bootstrap} if bootstrap else None)
    store = settings_of(StoreSettings, url_of_store(clickhouse))
    topics = [worker.prefix + topic for topic in ACTIVITY_TOPICS]
    lanes = [worker.prefix + topic for topic in LATE_OF.values()]

    async def committed() -> tuple[dict[tuple[str, int], int], int]:
        async with Monitor(worker) as monitor:
            worked = await monitor.committed(worker.group_id, topics)
            waiting = await monitor.waiting(worker.group_id, lanes)
        return {(at.topic, at.partition): offset for at, offset in worked.items()}, waiting

    with broker_at(worker):
        places, waiting = asyncio.run(committed())
    with store_at(store):
        client = connect(store)
        return _as_json(compare(client, places, waiting=waiting, database=store.database))


def _as_json(verdict: Any) -> dict[str, Any]:
    from dataclasses import asdict

    drift = [asdict(one) for one in verdict.drift]
    return {"ok": verdict.ok, "drift": drift, "waiting": verdict.waiting}
