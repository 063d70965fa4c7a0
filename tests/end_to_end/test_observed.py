"""What is seen of a running pipeline: its traces, from a sender to the store, and its logs.

Worker, sink, gateway and API run as they are installed, over a broker and a store, and send their
spans to a collector. Sessions come in over the gateway and by the client, each in a span of its
sender, and one record that nobody can read.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from api.gateway.columns import LINES_LEAST
from producers.client.columns import CarbonflowProducer
from producers.client.records import ChargingSession
from producers.client.settings import ClientSettings
from producers.client.sync import Client
from producers.topics import ensure_topics
from schemas.log_events import COORDINATES, LIBRARY, LOG_EVENTS
from schemas.settings import BrokerSettings
from schemas.traceparents import TRACEPARENT
from sinks.connect import StoreSettings, connect
from sinks.migrate import migrate
from tests import clickhouse_server
from tests.collector import Told, collecting, following
from tests.end_to_end.command import CARBONFLOW, environment
from tests.logs import lines_of
from tests.streams.scene import SESSIONS, event, session, shipped_factors

ANSWER_S_MAX: Final = 30.0
STOP_S_MAX: Final = 30.0
PREFIX: Final = "observed."
ACCOUNT: Final = "driver-of-nobody-else"
SECRETS: Final = ("pass-of-the-store", "token-of-the-collector")
SENDERS: Final = '[[senders]]\nname = "acme"\nprogramme = "cn-charging"\nsource = "test"\n'
BY_GATEWAY, BY_LINES, BY_CLIENT, UNREAD, UNSAMPLED = (f"{number:016x}" for number in range(17, 22))
LINES: Final = LINES_LEAST
"""So many of one request that the gateway works them by columns."""
BOOKED: Final = 1 + LINES + 3


def traceparent(span_id: str, *, flags: str = "01") -> str:
    return f"00-{span_id}{span_id}-{span_id}-{flags}"


@dataclass
class Process:
    """A process that runs, and its log."""

    child: subprocess.Popen[str]
    log: Path

    def url(self) -> str:
        """Wait until it listens and return where."""
        assert self.child.stdout is not None
        return self.child.stdout.readline().strip()

    def lines(self) -> list[dict[str, Any]]:
        return lines_of(self.log.read_text("utf-8"))


@dataclass
class Seen:
    """What was seen of the pipeline when all of its processes had ended."""

    spans: list[Told]
    lines: dict[str, list[dict[str, Any]]]
    statuses: dict[str, int]
    said: str


@pytest.fixture(scope="module")
def seen(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("observed")
    settings = BrokerSettings(bootstrap=broker, prefix=PREFIX)
    asyncio.run(_prepare(settings))
    (folder / "senders.toml").write_text(SENDERS)
    with ExitStack() as parts:
        store = parts.enter_context(clickhouse_server.start(folder / "store"))
        collector = parts.enter_context(collecting())
        environ = environment(
            CARBONFLOW_BOOTSTRAP=broker,
            CARBONFLOW_PREFIX=PREFIX,
            CARBONFLOW_CLICKHOUSE_URL=store,
            CARBONFLOW_CLICKHOUSE_USER="default",
            CARBONFLOW_CLICKHOUSE_PASSWORD=SECRETS[0],
            CARBONFLOW_INSTANCE="worker-7",
            CARBONFLOW_DATA_DIR=str(folder / "worker"),
            CARBONFLOW_GATEWAY_SENDERS_FILE=str(folder / "senders.toml"),
            **dict.fromkeys(
                (
                    "CARBONFLOW_GATEWAY_PORT",
                    "CARBONFLOW_GATEWAY_METRICS_PORT",
                    "CARBONFLOW_API_PORT",
                    "CARBONFLOW_API_METRICS_PORT",
                ),
                "0",
            ),
            CARBONFLOW_OTLP_ENDPOINT=collector.endpoint,
            OTEL_EXPORTER_OTLP_HEADERS=f"authorization={SECRETS[1]}",
            OTEL_BSP_SCHEDULE_DELAY="100",
        )
        with connect(StoreSettings(clickhouse_url=store)) as client:
            migrate(client)
        running = {
            name: _started(parts, name, folder, environ | more)
            for name, more in (
                ("worker", {"CARBONFLOW_LOG_LEVEL": "DEBUG"}),
                ("sink", {"CARBONFLOW_LOG_LEVEL": "DEBUG"}),
                ("gateway", {}),
                ("api", {}),
            )
        }
        _send(settings, running["gateway"].url())
        collector.until(_is_whole)
        asked = running["api"].url()
        answer = httpx.get(f"{asked}/v1/accounts/{ACCOUNT}/statement", timeout=ANSWER_S_MAX)
        assert answer.status_code == 200, answer.text
        statuses = {}
        for name, one in running.items():
            one.child.send_signal(signal.SIGTERM)
            statuses[name] = one.child.wait(STOP_S_MAX)
        yield Seen(
            list(collector.spans),
            {name: one.lines() for name, one in running.items()},
            statuses,
            "".join(one.log.read_text("utf-8") for one in running.values()),
        )


async def _prepare(settings: BrokerSettings) -> None:
    await ensure_topics(settings, partitions=2)
    async with CarbonflowProducer(settings) as producer:
        await producer.publish_factors(shipped_factors().factors)


def _started(parts: ExitStack, name: str, folder: Path, environ: dict[str, str]) -> Process:
    log = folder / f"{name}.log"
    child = parts.enter_context(
        subprocess.Popen(
            [CARBONFLOW, name],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=parts.enter_context(log.open("wb")),
            text=True,
        )
    )
    parts.callback(child.kill)
    return Process(child, log)


def _send(settings: BrokerSettings, gateway: str) -> None:
    sent_in = {TRACEPARENT: traceparent(BY_GATEWAY)}
    one = session(account_id=ACCOUNT, session_id="by-gateway")
    answer = httpx.post(
        f"{gateway}/v1/charging-sessions", json=one, headers=sent_in, timeout=ANSWER_S_MAX
    )
    assert answer.status_code == 202, answer.text
    many = [session(account_id=ACCOUNT, session_id=f"line-{number}") for number in range(LINES)]
    answer = httpx.post(
        f"{gateway}/v1/charging-sessions",
        content="\n".join(json.dumps(each) for each in many),
        headers={
            TRACEPARENT: traceparent(BY_LINES),
            "content-type": "application/x-ndjson",
        },
        timeout=ANSWER_S_MAX,
    )
    assert answer.json()["accepted"] == LINES, answer.text
    spans = iter([traceparent(BY_CLIENT), traceparent(UNSAMPLED, flags="00"), None])
    with Client(ClientSettings(broker=settings), traceparent=lambda: next(spans)) as client:
        for number in range(3):
            client.send(_session(f"by-client-{number}"))
    asyncio.run(_send_raw(settings))


def _session(number: str) -> ChargingSession:
    known: dict[str, Any] = session(account_id=ACCOUNT, session_id=number)
    return ChargingSession(**{name: known[name] for name in ChargingSession._fields})


async def _send_raw(settings: BrokerSettings) -> None:
    value = event(session(account_id=ACCOUNT)).value
    assert value is not None
    async with AIOKafkaProducer(**settings.client_options()) as producer:
        await producer.send_and_wait(
            settings.topic(SESSIONS),
            key=ACCOUNT.encode(),
            value=value[:-9],
            headers=[("other", b"x"), (TRACEPARENT, traceparent(UNREAD).encode())],
        )


WAYS: Final = {
    BY_GATEWAY: (
        "gateway POST /v1/charging-sessions",
        "worker process charging-sessions",
        "sink insert transfers",
    ),
    BY_LINES: (
        "gateway POST /v1/charging-sessions",
        "worker process charging-sessions",
        "sink insert transfers",
    ),
    BY_CLIENT: ("worker process charging-sessions", "sink insert transfers"),
    UNREAD: ("worker process charging-sessions", "sink insert refusals"),
}


def _steps(spans: list[Told], sender: str) -> set[str]:
    return {
        f"{span.service.removeprefix('carbonflow-')} {span.name}"
        for span in following(spans, sender)
    }


def _is_whole(spans: list[Told]) -> bool:
    return all(set(way) <= _steps(spans, sender) for sender, way in WAYS.items())


@pytest.mark.parametrize("sender", WAYS)
def test_the_span_of_a_sender_leads_to_the_store(seen: Seen, sender: str) -> None:
    assert set(WAYS[sender]) <= _steps(seen.spans, sender)


def test_spans_of_one_trace_are_within_each_other_and_the_others_are_linked(seen: Seen) -> None:
    requests = {span.parent_id: span for span in seen.spans if span.service == "carbonflow-gateway"}
    assert requests.keys() == {BY_GATEWAY, BY_LINES}
    assert all(span.trace_id == parent * 2 for parent, span in requests.items())
    slices = [span for span in seen.spans if span.name == "process charging-sessions"]
    sent_in = {span.span_id for span in requests.values()} | {BY_CLIENT, UNREAD}
    assert {link for span in slices for link in span.links} == sent_in
    for one in slices:
        assert one.parent_id == ""
        stages = [span for span in seen.spans if span.parent_id == one.span_id]
        assert [span.name for span in sorted(stages, key=lambda span: span.began_ns)] == [
            *("read", "step", "deliver", "apply")
        ]
        assert all(one.began_ns <= span.began_ns <= span.ended_ns for span in stages)
        assert max(span.ended_ns for span in stages) <= one.ended_ns


def test_a_span_that_is_not_recorded_is_linked_to_by_none(seen: Seen) -> None:
    assert UNSAMPLED not in {link for span in seen.spans for link in span.links}


def test_a_slice_says_which_it_is_and_an_insert_which_rows(seen: Seen) -> None:
    slices = [span for span in seen.spans if span.name == "process charging-sessions"]
    worked = [line for line in seen.lines["worker"] if line["event"] == "slice_worked"]
    told = sorted(
        (
            int(str(span.attributes["messaging.destination.partition.id"])),
            span.attributes["carbonflow.first_offset"],
            span.attributes["carbonflow.last_offset"],
            span.attributes["messaging.batch.message_count"],
            span.attributes["carbonflow.refused"],
        )
        for span in slices
    )
    names = ("partition", "first_offset", "last_offset", "records", "refused")
    assert told == sorted(tuple(line[name] for name in names) for line in worked)
    assert sum(span.attributes["carbonflow.transfers"] for span in slices) == 2 * BOOKED  # type: ignore[misc]
    inserts = [span for span in seen.spans if span.name == "insert transfers"]
    assert sum(span.attributes["db.operation.batch.size"] for span in inserts) == 2 * BOOKED  # type: ignore[misc]
    assert all(span.attributes["carbonflow.offsets"] for span in inserts)


def test_processes_that_are_asked_to_end_say_so(seen: Seen) -> None:
    assert seen.statuses == dict.fromkeys(seen.lines, 0)
    for lines in seen.lines.values():
        last = lines[-1]
        assert (last["event"], last["reason"], last["status"]) == ("process_stopped", "asked to", 0)


@pytest.mark.parametrize(
    ("process", "events"),
    [
        (
            "worker",
            "kernels_ready partitions_assigned factors_loaded recovery_began recovery_ended "
            "slice_worked partitions_revoked",
        ),
        ("sink", "partitions_assigned rows_inserted records_skipped partitions_revoked"),
        ("gateway", "listening"),
        ("api", "listening balances_ready"),
    ],
)
def test_a_process_says_what_it_does(seen: Seen, process: str, events: str) -> None:
    said = [line["event"] for line in seen.lines[process]]
    assert said[0] == "process_started"
    assert ("tracing_on" in said) == (process != "api")
    assert set(events.split()) <= set(said)


def test_every_line_has_its_time_its_speaker_and_fields_of_their_types(seen: Seen) -> None:
    for process, lines in seen.lines.items():
        assert lines
        for line in lines:
            assert line["time"].endswith("Z")
            assert len(line["time"]) == len("2026-01-01T00:00:00.000Z")
            age = datetime.now(UTC) - datetime.fromisoformat(line["time"])
            assert timedelta(0) <= age < timedelta(hours=1)
            assert line["process"] == process
            assert line["instance"] == ("worker-7" if process == "worker" else line["instance"])
            assert type(line["pid"]) is int
            if line["event"] == LIBRARY:
                continue
            about = LOG_EVENTS[line["event"]]
            assert line["level"] in ("debug", "info", "warning", "error", "critical")
            own = {name: line[name] for name in about.fields}
            for name, kind in about.fields.items():
                assert own[name] is None or type(own[name]) is kind, (line["event"], name)
            assert own.keys() == line.keys() - {
                *("time", "level", "logger", "event", "message", "process", "instance", "pid")
            }


def test_a_slice_in_the_log_has_its_coordinates(seen: Seen) -> None:
    worked = [line for line in seen.lines["worker"] if line["event"] == "slice_worked"]
    assert sum(line["records"] for line in worked) == BOOKED + 1
    for line in worked:
        assert line["topic"] == SESSIONS
        assert line["last_offset"] - line["first_offset"] + 1 == line["records"]
        assert COORDINATES.keys() <= line.keys()


def test_no_secret_and_no_account_shows(seen: Seen) -> None:
    assert "process_started" in seen.said
    for hidden in (*SECRETS, ACCOUNT):
        assert hidden not in seen.said


def test_the_settings_that_were_given_are_told(seen: Seen) -> None:
    settings = seen.lines["sink"][0]["settings"]
    assert settings["prefix"] == PREFIX
    assert settings["clickhouse_user"] == "default"
    assert "clickhouse_password" not in settings
