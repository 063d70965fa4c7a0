"""A real Prometheus with the shipped rules watches a real pipeline, and sees what breaks.

One stack for all tests: `carbonflow up` is the first worker, the sink and the API; a gateway, a
second worker (of topics of its own, so that it may be broken) and `verify --every` run beside it.
First everything is well; then everything is broken at once, and each alert has to fire.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from embedded.broker import free_port
from producers.client.columns import CarbonflowProducer
from producers.factors.release import load_release
from producers.topics import ensure_topics
from schemas.columns import decode
from schemas.settings import BrokerSettings
from schemas.singles import decode_one, encode_one
from tests.end_to_end.command import CARBONFLOW, environment
from tests.end_to_end.up import Up, up
from tests.monitoring.hastened import write_hastened
from tests.monitoring.shipped import recorded
from tests.prometheus_server import PrometheusServer
from tests.streams.scene import SESSION

BREAKER_RECORDS = 5
PARTITIONS = 2
STOP_S = 20.0
SENDERS = '[[senders]]\nname = "acme"\nprogramme = "cn-charging"\n'


@dataclass(slots=True)
class Watched:
    """A pipeline and the Prometheus that watches it."""

    prometheus: PrometheusServer
    stack: Up
    gateway: subprocess.Popen[bytes]
    gateway_url: str
    second_at: str
    second: BrokerSettings
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def session(self, **changes: object) -> dict[str, Any]:
        """Return a session that ends now, like no other."""
        number, now_ms = next(self.numbers), int(time.time() * 1000)
        times = {"started_at": now_ms - 3_600_000, "ended_at": now_ms}
        name = {"session_id": f"S{number}", "account_id": f"driver-{number % 7}"}
        return {**SESSION, "source": "acme", **times, **name, **changes}

    def send(self, settings: BrokerSettings, *sessions: dict[str, Any]) -> None:
        """Send sessions to a broker."""

        async def sent() -> None:
            values = [encode_one("charging_session", one) for one in sessions]
            async with CarbonflowProducer(settings) as producer:
                await producer.send_batch(
                    "charging_session", decode("charging_session", values).batch
                )

        asyncio.run(sent())

    @property
    def broker(self) -> BrokerSettings:
        """The stack's."""
        return BrokerSettings(bootstrap=self.stack.bootstrap)

    def post(self, one: dict[str, Any]) -> str:
        """Send a session by the gateway; return what became of it."""
        known = {key: value for key, value in one.items() if key not in {"source", "programme"}}
        asked = Request(
            f"{self.gateway_url}/v1/charging-sessions",
            json.dumps(known).encode(),
            {"Content-Type": "application/json"},
        )
        with urlopen(asked, timeout=10) as answer:
            return str(json.loads(answer.read())["results"][0]["status"])

    def firing(self) -> dict[str, list[dict[str, str]]]:
        """Return the labels of what fires, by the name of its alert."""
        found: dict[str, list[dict[str, str]]] = {}
        for alert in self.prometheus.alerts():
            found.setdefault(alert["labels"]["alertname"], []).append(alert["labels"])
        return found


@contextmanager
def running(log: Path, *words: str, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command until the context is left."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [CARBONFLOW, *words], stdout=out, stderr=out, env=environment(**settings)
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(STOP_S)


def answers(url: str) -> bool:
    """Return whether something answers there, and says that it is well."""
    try:
        with urlopen(url, timeout=10):
            return True
    except URLError:
        return False


async def prepared(settings: BrokerSettings) -> None:
    """Make the topics of the second worker and publish its factors."""
    await ensure_topics(settings, partitions=PARTITIONS)
    async with CarbonflowProducer(settings) as producer:
        await producer.publish_factors(load_release().factors)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    ports = {name: free_port() for name in ("gateway", "gateway_metrics", "verify", "second")}
    with ExitStack() as parts:
        stack = parts.enter_context(up(folder))
        stack.until(stack.is_ready)
        second = BrokerSettings(bootstrap=stack.bootstrap, prefix="second.")
        asyncio.run(prepared(second))
        parts.enter_context(
            running(
                folder / "second.log",
                "worker",
                CARBONFLOW_BOOTSTRAP=stack.bootstrap,
                CARBONFLOW_PREFIX=second.prefix,
                CARBONFLOW_INSTANCE="second",
                CARBONFLOW_DATA_DIR=str(folder / "second"),
                CARBONFLOW_BREAKER_RECORDS=str(BREAKER_RECORDS),
                CARBONFLOW_METRICS_PORT=str(ports["second"]),
            )
        )
        senders = folder / "senders.toml"
        senders.write_text(SENDERS)
        gateway = parts.enter_context(
            running(
                folder / "gateway.log",
                "gateway",
                CARBONFLOW_BOOTSTRAP=stack.bootstrap,
                CARBONFLOW_GATEWAY_SENDERS_FILE=str(senders),
                CARBONFLOW_GATEWAY_PORT=str(ports["gateway"]),
                CARBONFLOW_GATEWAY_METRICS_PORT=str(ports["gateway_metrics"]),
            )
        )
        parts.enter_context(
            running(
                folder / "verify.log",
                *("verify", "--data-dir", str(folder / "books"), "--every", "1"),
                CARBONFLOW_METRICS_PORT=str(ports["verify"]),
            )
        )
        at = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
        served = stack.service.removeprefix("http://")
        config = write_hastened(
            folder,
            {
                "worker": [f"127.0.0.1:{stack.metrics_port}", at["second"]],
                "sink": [served],
                "api": [served],
                "gateway": [at["gateway_metrics"]],
                "verify": [at["verify"]],
            },
        )
        prometheus = parts.enter_context(PrometheusServer(folder / "prometheus", config))
        stack.until(lambda: answers(f"http://{at['gateway_metrics']}/readyz"))
        yield Watched(prometheus, stack, gateway, f"http://{at['gateway']}", at["second"], second)


def numbers_of(found: list[dict[str, Any]]) -> list[float]:
    return [number for one in found if not math.isnan(number := float(one["value"][1]))]


def test_all_targets_are_up_and_every_recording_rule_has_values(watched: Watched) -> None:
    prometheus = watched.prometheus
    missing = set(recorded())

    def all_seen() -> bool:
        assert watched.post(watched.session()) == "accepted"
        watched.stack.get("/v1/totals")
        seen = {name for name in missing if numbers_of(prometheus.query(name))}
        missing.difference_update(seen)
        # How old the shipped factors are is for whoever ships them.
        is_well = watched.firing().keys() <= {"FactorsStale"}
        return not missing and is_well and set(prometheus.targets().values()) == {"up"}

    prometheus.until(all_seen, "all targets are up, all rules have values, and no alert fires")
    assert {job for job, _ in prometheus.targets()} == {
        *("worker", "sink", "api", "gateway", "verify")
    }
    started = prometheus.query("count by (job) (process_start_time_seconds)")
    assert {one["metric"]["job"] for one in started} == {job for job, _ in prometheus.targets()}
    (worked,) = prometheus.query('sum(carbonflow_events_total{topic="charging-sessions"})')
    assert float(worked["value"][1]) >= 1


@pytest.fixture(scope="module")
def broken(watched: Watched) -> Watched:
    """The same pipeline, of which everything is broken."""
    watched.gateway.kill()
    asyncio.run(falsify_a_balance(watched.broker))
    watched.send(
        watched.second, *(watched.session(energy_wh=-1) for _ in range(10 * BREAKER_RECORDS))
    )
    return watched


async def falsify_a_balance(settings: BrokerSettings) -> None:
    """Write a balance that its transfers do not add up to."""
    topic = settings.topic("account-balances")
    options = settings.client_options()
    async with AIOKafkaConsumer(**options, auto_offset_reset="earliest") as consumer:
        places = [TopicPartition(topic, each) for each in consumer.partitions_for_topic(topic)]
        consumer.assign(places)
        fetched = await consumer.getmany(timeout_ms=10_000)
    record = next(records[-1] for records in fetched.values() if records)
    balance: dict[str, Any] = decode_one(record.value, record="account_balance")[1]
    value = encode_one("account_balance", {**balance, "energy_wh": balance["energy_wh"] + 1})
    async with AIOKafkaProducer(**options, acks="all") as producer:
        await producer.send_and_wait(topic, value, key=record.key, partition=record.partition)


def test_a_target_that_is_killed_is_told(broken: Watched) -> None:
    def is_told() -> bool:
        return "gateway" in {one["job"] for one in broken.firing().get("TargetDown", ())}

    broken.prometheus.until(is_told, "TargetDown fires")


def test_a_worker_whose_breaker_has_opened_is_told(broken: Watched) -> None:
    broken.prometheus.until(lambda: "BreakerOpen" in broken.firing(), "BreakerOpen fires")
    assert [one["instance"] for one in broken.firing()["BreakerOpen"]] == [broken.second_at]


def test_drift_is_told(broken: Watched) -> None:
    broken.prometheus.until(lambda: "VerifyDrift" in broken.firing(), "VerifyDrift fires")
    assert "balance" in {labels["kind"] for labels in broken.firing()["VerifyDrift"]}


def test_refused_events_and_missing_factors_are_told(broken: Watched) -> None:
    told = {"RefusalShareHigh", "FactorMissing"}

    def both_fire() -> bool:
        nowhere = [broken.session(grid_region="ZZ") for _ in range(2)]
        broken.send(broken.broker, *nowhere, *(broken.session() for _ in range(8)))
        return told <= broken.firing().keys()

    broken.prometheus.until(both_fire, "RefusalShareHigh and FactorMissing fire")
    assert [one["code"] for one in broken.firing()["FactorMissing"]] == ["factor_not_found"]
    pages = {one["annotations"]["runbook_url"] for one in broken.prometheus.alerts()}
    assert "docs/runbook.md#factormissing" in pages
