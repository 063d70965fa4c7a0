"""A running stack that has seen everything a dashboard shows, and a Prometheus that watched it.

What comes in is the sample of the demo, with its repeats and broken records; one driver of today
with late events, repeats and a refusal; a record in a wrong partition; requests to API and gateway
that are answered well and badly. In the middle the worker is killed and comes back.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from typing import Any, Final

import clickhouse_connect
import httpx
from aiokafka import AIOKafkaProducer
from clickhouse_connect.driver.client import Client
from prometheus_client import CollectorRegistry, start_http_server
from rich.console import Console

from cli.verify import compare_once
from embedded.broker import free_port
from embedded.job import prepare
from embedded.monitor import Reading
from embedded.progress import Quiet
from embedded.stack import Stack, StackSettings, running
from producers.client.columns import CarbonflowProducer
from producers.factors.release import load_release
from producers.sample import SamplePart, SampleRaw, sample
from schemas.partition import partition_of
from schemas.singles import encode_one
from sinks.metrics import VerifyMetrics
from streams.warm import SESSION
from tests.api.gateway.served import Gateway, served
from tests.deploy.grafana.expanding import SCRAPE_S
from tests.prometheus_server import PrometheusServer, install, write_config

EVENTS: Final = 9_000
PARTITIONS: Final = 4
DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000
ASK_S_MAX: Final = 30.0
DRIVER: Final = "driver-of-today"
REPEATS: Final = 5
"""Of the driver: late events that are known to the store alone."""
SETTINGS: Final = {"CARBONFLOW_DEDUPE_DAYS": "1"}


@dataclass(frozen=True, slots=True)
class Watched:
    """The stack, and what can be asked about it.

    Attributes:
        stack: The stack, settled.
        store: A client whose database is the stack's.
        prometheus: It has scraped everything since `began_s`.
        began_s: When traffic began [s since 1970].
    """

    stack: Stack
    store: Client
    prometheus: PrometheusServer
    began_s: int


@contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    """Run all of it, and yield when everything is stored and scraped."""
    settings = StackSettings(
        data_dir=folder / "books",
        sample=True,
        metrics_port=free_port(),
        worker_environ=SETTINGS,
    )
    view = Quiet(Console(stderr=True))
    install()  # Before anything starts: where it cannot be, the test skips.
    with ExitStack() as parts:
        stack = parts.enter_context(running(settings, tell=view.tell))
        prepare(stack, load_release().factors, view=view)
        stack.start_workers()
        service = free_port()
        api = stack.start_api(free_port(), service)
        (folder / "gateway").mkdir()
        gateway = parts.enter_context(served(stack.broker_settings, folder / "gateway"))
        compared = parts.enter_context(_comparing(stack))
        targets = {
            "worker": [f"127.0.0.1:{settings.metrics_port}"],
            "api": [f"127.0.0.1:{service}"],
            "gateway": [gateway.service_url.removeprefix("http://")],
            "verify": [f"127.0.0.1:{compared}"],
        }
        config = write_config(folder / "prometheus.yml", targets, interval_s=SCRAPE_S)
        prometheus = parts.enter_context(PrometheusServer(folder / "prometheus", config))
        now_ms = int(time.time() * 1000)
        _begin(stack, now_ms)
        _ask(gateway, api, _session(1, now_ms))
        prometheus.scraped_again()  # Every process has begun to work.
        began_s = int(time.time())
        _go_on(stack, now_ms, prometheus)
        prometheus.scraped_again()  # A rate needs what was shortly before.
        _ask(gateway, api, _session(2, now_ms))
        stack.settle(_unseen)  # The gateway has let one in.
        prometheus.scraped_again()
        store = parts.enter_context(
            clickhouse_connect.get_client(
                interface="chdb", path=stack.store.path, database="carbonflow"
            )
        )
        yield Watched(stack, store, prometheus, began_s)


@contextmanager
def _comparing(stack: Stack) -> Iterator[int]:
    """Serve what one round of `verify --every` says of the stack, and yield the port."""
    registry, port = CollectorRegistry(), free_port()
    server, thread = start_http_server(port, "127.0.0.1", registry)

    def verdict() -> dict[str, Any]:
        return asdict(stack.verify())

    try:
        compare_once(verdict, VerifyMetrics(registry), Event())
        yield port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _begin(stack: Stack, now_ms: int) -> None:
    """Let there be some of everything, so that what comes then is an increase."""
    history = [_session(number, now_ms - 4 * DAY_MS) for number in range(REPEATS)]
    _work(stack, history, now_ms - 3 * DAY_MS)
    _work(stack, [_session(20, now_ms), _session(21, now_ms, energy_wh=-1)], now_ms)


def _go_on(stack: Stack, now_ms: int, prometheus: PrometheusServer) -> None:
    """Send late events, repeats, broken ones and the sample, and kill the worker in the middle."""
    long_ago = [_session(number, now_ms - 4 * DAY_MS) for number in range(2 * REPEATS)]
    astray = _session(23, now_ms)
    _work(stack, [*long_ago, _session(22, now_ms, energy_wh=-1), astray], now_ms, astray=astray)
    events = list(sample(EVENTS))
    half = len(events) // 2
    stack.run(_send(stack, events[:half]), _unseen)
    stack.settle(_unseen)
    prometheus.scraped_again()  # What it has counted dies with it.
    os.kill(_worker(), signal.SIGKILL)
    stack.run(_send(stack, events[half:]), _unseen)
    stack.settle(_unseen)


def _unseen(_: Reading) -> None:
    """Nobody looks at the progress."""


def _session(number: int, ended_ms: int, **values: Any) -> Mapping[str, Any]:
    ends = {"started_at": ended_ms - HOUR_MS, "ended_at": ended_ms}
    return {**SESSION, **ends, "session_id": f"t{number}", "account_id": DRIVER, **values}


def _work(
    stack: Stack,
    sessions: Sequence[Mapping[str, Any]],
    at_ms: int,
    astray: Mapping[str, Any] | None = None,
) -> None:
    """Send sessions under a timestamp, one of them into a wrong partition, and settle."""

    async def send() -> None:
        options = stack.broker_settings.client_options()
        async with AIOKafkaProducer(**options, acks="all") as producer:
            for each in sessions:
                key = str(each["account_id"]).encode()
                home = partition_of(key, PARTITIONS)
                await producer.send_and_wait(
                    "charging-sessions",
                    encode_one("charging_session", each),
                    key=key,
                    partition=(home + (each is astray)) % PARTITIONS,
                    timestamp_ms=at_ms,
                )

    stack.run(send(), _unseen)
    stack.settle(_unseen)


async def _send(stack: Stack, parts: Sequence[SamplePart]) -> None:
    async with CarbonflowProducer(stack.broker_settings) as producer:
        for part in parts:
            if isinstance(part, SampleRaw):
                await producer.send_raw(part.topic, part.messages)
            else:
                await producer.send_batch(part.record, part.batch)


def _ask(gateway: Gateway, api: str, session: Mapping[str, Any]) -> None:
    """Ask gateway and API what they answer well, and what they do not."""
    sent = {**session, "account_id": "carrier-7", "source": "test"}
    for wrong in ({}, {}, {"energy_wh": 1}, {"session_id": "wrong", "energy_wh": -1}):
        gateway.ask("acme", "POST", "/v1/charging-sessions", json={**sent, **wrong})
    with httpx.Client(base_url=api, timeout=ASK_S_MAX) as client:
        for account in (DRIVER, "nobody"):
            for what in ("balance", "statement"):
                client.get(f"/v1/accounts/{account}/{what}")


def _worker() -> int:
    """Return the process id of the stack's worker."""
    for listed in Path("/proc/self/task").glob("*/children"):
        for pid in map(int, listed.read_text().split()):
            if Path(f"/proc/{pid}/cmdline").read_bytes().endswith(b"cli.main\0worker\0"):
                return pid
    raise AssertionError("there is no worker")
