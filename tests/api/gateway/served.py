"""A gateway with tokens, served over sockets from a thread of its own while a test sends to it."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from aiokafka import ConsumerRecord
from prometheus_client import CollectorRegistry

from api.gateway.app import create_app, create_service
from api.gateway.intake import Intake
from api.gateway.kept import Kept
from api.gateway.metrics import GatewayMetrics
from api.gateway.senders import read_senders
from api.gateway.settings import GatewaySettings
from api.server import serve
from api.tokens import entry_of, new_token, read_tokens
from producers.client.reaching import Reaching
from producers.client.sending import now_ms
from producers.pseudonyms import Pseudonyms
from schemas.settings import BrokerSettings
from schemas.singles import decode_one
from tests.producers.client.sent import arrived

START_S_MAX: Final = 30.0
STATIONS: Final = "station_id,grid_region,current,evse_id\nBE*BEC*LOC1*3256,BE,ac,BE*BEC*E1\n"
SENDERS: Final = """
[[senders]]
name = "acme"
programme = "cn-charging"
source = "test"
account = "carrier-7"
vehicles = "vehicles.csv"
[senders.events]
"com.acme.session" = "charging_session"
"com.acme.cdr" = "ocpi-cdr-2.2.1"
"com.acme.tads" = "ileap-tads"

[[senders]]
name = "cpo"
programme = "cn-charging"
ocpi = "cdrs"
vehicles = "vehicles.csv"

[[senders]]
name = "live"
programme = "cn-charging"
ocpi = "sessions"
stations = "stations.csv"
vehicles = "vehicles.csv"
"""
SCOPES: Final = {
    "acme": "send:acme",
    "cpo": "send:cpo",
    "live": "send:live",
    "stranger": "send:nobody",
    "operator": "operator",
}


@dataclass(frozen=True, slots=True)
class Gateway:
    """A served gateway."""

    url: str
    service_url: str
    client: httpx.Client
    tokens: Mapping[str, str]
    broker: BrokerSettings
    registry: CollectorRegistry

    def ask(
        self, who: str | None, method: str, path: str, headers: Any = None, **options: Any
    ) -> httpx.Response:
        """Return the answer to a request with a token, or without one."""
        headers = dict(headers or {})
        if who is not None:
            headers["Authorization"] = self.authorization(who, path)
        return self.client.request(method, self.url + path, headers=headers, **options)

    def authorization(self, who: str, path: str) -> str:
        """Return how a token is carried: OCPI has its own way."""
        token = self.tokens[who]
        if not path.startswith("/ocpi/"):
            return f"Bearer {token}"
        return f"Token {base64.b64encode(token.encode()).decode()}"

    def arrived(self, topic: str = "charging-sessions") -> list[Mapping[str, Any]]:
        """Return the records of a topic."""
        return [decode_one(message.value)[1] for message in self.messages(topic)]

    def messages(self, topic: str = "charging-sessions") -> list[ConsumerRecord]:
        """Return the messages of a topic."""
        return arrived(self.broker, topic)


def files_in(folder: Path, senders: str = SENDERS) -> dict[str, str]:
    """Write the files of a gateway; returns the tokens."""
    (folder / "senders.toml").write_text(senders)
    (folder / "stations.csv").write_text(STATIONS)
    (folder / "vehicles.csv").write_text("id,vehicle_class,energy_carrier\n*,car,diesel\n")
    tokens = {name: new_token() for name in SCOPES}
    (folder / "tokens.toml").write_text(
        "".join(entry_of(tokens[name], name=name, scope=SCOPES[name]) for name in SCOPES)
    )
    return tokens


@contextmanager
def served(
    broker: BrokerSettings,
    folder: Path,
    *,
    senders: str = SENDERS,
    pseudonyms: Pseudonyms | None = None,
    with_tokens: bool = True,
    **limits: Any,
) -> Iterator[Gateway]:
    """Serve a gateway while the context is entered."""
    tokens = files_in(folder, senders)
    settings = GatewaySettings(
        bootstrap=broker.bootstrap,
        prefix=broker.prefix,
        gateway_port=0,
        gateway_metrics_port=0,
        gateway_tokens_file=folder / "tokens.toml" if with_tokens else None,
        **limits,
    )
    registry = CollectorRegistry()
    metrics = GatewayMetrics(registry)
    known = read_senders(folder / "senders.toml", pseudonyms)
    reaching = Reaching(settings.client)
    urls = Future[str](), Future[str]()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    async def serving() -> None:
        kept = Kept(folder / "sessions", days=30, clock_ms=now_ms)
        with Intake(settings, metrics) as intake, closing(kept):
            app = create_app(
                known,
                intake,
                settings=settings,
                tokens=read_tokens(folder / "tokens.toml") if with_tokens else None,
                metrics=metrics,
                kept=kept,
            )
            service = create_service(
                intake,
                lambda: reaching.obstacle(1.0),
                settings=settings,
                registry=registry,
                metrics=metrics,
            )
            await serve(
                app,
                settings,
                stop=stop,
                service=service,
                listening=urls[0].set_result,
                service_listening=urls[1].set_result,
                beside=intake.watch,
            )

    thread = threading.Thread(target=loop.run_until_complete, args=(serving(),))
    thread.start()
    try:
        url, service_url = (each.result(START_S_MAX) for each in urls)
        with httpx.Client(timeout=START_S_MAX) as client:
            yield Gateway(url, service_url, client, tokens, broker, registry)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(START_S_MAX)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
