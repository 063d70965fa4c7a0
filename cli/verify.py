"""The command `verify`: do source, ledger and balances agree?

With `--every` it goes on asking, and what it finds are metrics. Everything moves meanwhile, so that
an account between two inserts looks like drift; what counts is what stays, look after look.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from cli.broker import settings_of
from cli.logs import logged
from cli.origin import existing, url_of_store, without_password
from cli.outages import broker_at, store_at
from cli.parsing import Failure, data_dir_option, json_option
from cli.printing import counted, print_json
from cli.processes import MetricsSettings, end_well_when_asked, serve_metrics

if TYPE_CHECKING:
    from sinks.metrics import VerifyMetrics

LOOKS: Final = 3
LOOK_AGAIN_S: Final = 2.0

log = logging.getLogger("carbonflow.verify")


@click.command(
    epilog="\b\nExamples:\n  carbonflow verify\n"
    "  carbonflow verify --data-dir /var/lib/carbonflow\n"
    "  carbonflow verify --clickhouse http://clickhouse:8123 --bootstrap kafka:9092\n"
    "  CARBONFLOW_METRICS_PORT=9101 carbonflow verify --every 3600"
)
@data_dir_option
@click.option(
    "--clickhouse",
    metavar="URL",
    help="Check a ClickHouse server instead of a folder [default: CARBONFLOW_CLICKHOUSE_URL].",
    callback=without_password,
)
@click.option("--bootstrap", metavar="HOST:PORT", help="Its Kafka [default: CARBONFLOW_BOOTSTRAP].")
@click.option(
    "--every",
    "every_s",
    type=click.IntRange(min=1),
    metavar="SECONDS",
    help="Go on so often until SIGTERM, and serve what is found as metrics.",
)
@json_option
def verify(
    data_dir: Path,
    clickhouse: str | None,
    bootstrap: str | None,
    every_s: int | None,
    as_json: bool,
) -> None:
    """Compare source, ledger and balances, and print any drift. Exit status 1 if there is some.

    With --every, metrics are on CARBONFLOW_METRICS_HOST and CARBONFLOW_METRICS_PORT; drift is
    logged and ends nothing, nor does a server that is away.
    """
    from embedded.ownership import running_owner

    api = running_owner(data_dir).get("api")
    source = click.get_current_context().get_parameter_source("data_dir")
    if clickhouse is None and api is None and source is not ParameterSource.COMMANDLINE:
        clickhouse = os.environ.get("CARBONFLOW_CLICKHOUSE_URL")
    server = clickhouse
    if server is None and bootstrap is not None:
        raise click.UsageError("--bootstrap goes with --clickhouse")
    if server is None and every_s is not None and not isinstance(api, str):
        raise click.UsageError("--every needs --clickhouse, or a running stack")

    def ask() -> dict[str, Any]:
        if server is not None:
            return _of_servers(server, bootstrap)
        return _of_running(api) if isinstance(api, str) else _of_folder(existing(data_dir))

    if every_s is not None:
        _go_on(ask, every_s)
        return
    verdict = ask()
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


def _go_on(ask: Callable[[], dict[str, Any]], every_s: int) -> None:
    """Compare again and again until a signal says stop."""
    from prometheus_client import CollectorRegistry

    from schemas.logs import LogSettings
    from schemas.settings import BrokerSettings
    from sinks.connect import StoreSettings
    from sinks.metrics import VerifyMetrics

    served = settings_of(MetricsSettings)
    read = (served, settings_of(BrokerSettings), settings_of(StoreSettings))
    registry = CollectorRegistry()
    metrics = VerifyMetrics(registry)
    end_well_when_asked()
    with logged(settings_of(LogSettings), "verify", *read):
        serve_metrics(registry, served)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        while not stop.is_set():
            began = time.monotonic()
            compare_once(ask, metrics, stop)
            stop.wait(max(0.0, every_s - (time.monotonic() - began)))


def compare_once(
    ask: Callable[[], dict[str, Any]], metrics: VerifyMetrics, stop: threading.Event
) -> None:
    """Compare, and again as long as there is drift; what is the same in every look is told.

    Args:
        ask: Compares; returns a verdict, or raises a Failure if somebody is away.
        metrics: Where it is counted.
        stop: Ends the waiting between two looks.
    """
    from schemas.log_events import tell

    began = time.monotonic()
    stayed: dict[object, dict[str, str]] = {}
    try:
        for look in range(LOOKS):
            if look:
                stop.wait(LOOK_AGAIN_S)
            found = {gap(one): one for one in ask()["drift"]}
            stayed = {at: found[at] for at in found if not look or at in stayed}
            if not stayed:
                break
    except Failure as error:
        tell(log, "verify_failed", reason=error.message)
        metrics.rounds.labels("failed").inc()
        return
    metrics.told([one["kind"] for one in stayed.values()])
    metrics.seconds.set(time.monotonic() - began)
    for one in stayed.values():
        # Where it is may be an account, and is for who asks.
        tell(log, "drift_found", kind=one["kind"], expected=one["expected"], found=one["found"])
    seconds = time.monotonic() - began
    tell(log, "verified", disagreements=len(stayed), seconds=seconds)


def gap(one: dict[str, str]) -> tuple[object, ...]:
    """Return what of a disagreement stays the same while both sides grow.

    >>> gap({"kind": "balance", "where": "anna energy_wh", "expected": "70", "found": "60"})
    ('balance', 'anna energy_wh', 10)
    >>> gap({"kind": "programme", "where": "anna", "expected": "one programme", "found": "a, b"})
    ('programme', 'anna', 'one programme', 'a, b')
    """
    numbers = [re.match(r"-?\d+\b", one[side]) for side in ("expected", "found")]
    match numbers:
        case [re.Match() as expected, re.Match() as found]:
            return one["kind"], one["where"], int(expected[0]) - int(found[0])
        case _:
            return one["kind"], one["where"], one["expected"], one["found"]


def _of_running(api: str) -> dict[str, Any]:
    from embedded.answers import HttpAnswers, NoAnswerError

    try:
        return HttpAnswers(api).get("/v1/verify")
    except NoAnswerError as error:
        raise Failure(str(error)) from error


def _of_folder(data_dir: Path) -> dict[str, Any]:
    """Start broker and store, no workers, and let the store catch up first."""
    from rich.console import Console

    from embedded.faults import StackError
    from embedded.progress import view
    from embedded.stack import StackSettings, running

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
