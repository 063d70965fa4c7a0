"""The API of a running stack, as a process of its own: `python -m embedded.serving`.

It is the application of production, which reads the store through its door, and follows the topic
of balances. It lets anybody in, because only this machine reaches it. Two things come on top:
`GET /v1/verify` compares source, ledger and balances, and `/metrics` also has the metrics of the
process that it belongs to, the sink's among them.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.request import urlopen

import uvloop
from fastapi import FastAPI, Request
from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from pydantic import BaseModel

from api.access import only_for
from api.app import create_app, create_service
from api.server import serve
from api.settings import ApiSettings
from embedded.monitor import Monitor
from producers.programmes.load import load_programmes
from schemas.catalogue import ACTIVITY_TOPICS, LATE_OF
from schemas.logs import LogSettings, Speaker, log_to_stderr
from schemas.loop import Loop
from schemas.settings import BrokerSettings, read_settings
from sinks.connect import Client, StoreSettings, connect
from sinks.following import FollowedBalances
from sinks.metrics import FollowingMetrics
from sinks.queries import Queries
from sinks.verify import verify

METRICS_S_MAX = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingSettings:
    """What the stack tells this process, read from `CARBONFLOW_<FIELD>`; nothing else is.

    Attributes:
        bootstrap: The broker.
        group: The workers' consumer group.
        clickhouse_url: The door of the store.
        api_port: Port of 127.0.0.1 to listen on.
        api_metrics_port: Port of 127.0.0.1 for metrics and health.
        programmes: Files of programmes beside the shipped ones, as its workers have them.
    """

    bootstrap: str
    group: str
    clickhouse_url: str
    api_port: int
    api_metrics_port: int
    programmes: tuple[str, ...] = ()


class Disagreement(BaseModel):
    """One disagreement: what kind, where, what follows from the facts and what was found."""

    kind: str
    where: str
    expected: str
    found: str


class Agreement(BaseModel):
    """Whether source, ledger and balances agree, where they do not, and how many events wait."""

    ok: bool
    drift: list[Disagreement]
    waiting: int


class _Behind(Collector):
    """The metrics of the process behind a door, asked for when this one's are."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/metrics"

    def collect(self) -> Iterable[Metric]:
        """Return them."""
        with urlopen(self._url, timeout=METRICS_S_MAX) as answer:
            text = answer.read().decode()
        return list(text_string_to_metric_families(text))

    def describe(self) -> Iterable[Metric]:
        """Name none: nobody needs to be asked to register."""
        return ()


def add_verify(app: FastAPI, client: Client, settings: ServingSettings) -> None:
    """Add the route that compares source, ledger and balances."""

    @app.get("/v1/verify", tags=["ledger"])
    async def compare(request: Request) -> Agreement:
        """Compare source, ledger and balances. What is under way meanwhile can look like drift."""
        only_for(request, "operator")
        async with Monitor(BrokerSettings(bootstrap=settings.bootstrap)) as monitor:
            worked = await monitor.committed(settings.group, ACTIVITY_TOPICS)
            waiting = await monitor.waiting(settings.group, LATE_OF.values())
        offsets = {(place.topic, place.partition): offset for place, offset in worked.items()}
        verdict = await asyncio.to_thread(verify, client, offsets, waiting=waiting)
        return Agreement(
            ok=verdict.ok,
            drift=[Disagreement(**asdict(one)) for one in verdict.drift],
            waiting=verdict.waiting,
        )


async def main() -> None:
    """Serve until SIGTERM."""
    settings = read_settings(ServingSettings, os.environ)
    log_to_stderr(LogSettings(log_format="text"), Speaker("api", "embedded"))
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Behind(settings.clickhouse_url))
    client = connect(StoreSettings(clickhouse_url=settings.clickhouse_url))
    balances = FollowedBalances(
        BrokerSettings(bootstrap=settings.bootstrap), FollowingMetrics(registry)
    )
    served = ApiSettings(api_port=settings.api_port, api_metrics_port=settings.api_metrics_port)
    queries = Queries(client)
    app = create_app(
        queries,
        settings=served,
        registry=registry,
        programmes=load_programmes([Path(name) for name in settings.programmes]),
        balances=balances,
        follower=balances,
    )
    add_verify(app, client, settings)
    service = create_service(queries, settings=served, registry=registry, balances=balances)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(app, served, stop=stop, service=service, beside=balances.run)


if __name__ == "__main__":
    uvloop.run(main(), loop_factory=Loop)
