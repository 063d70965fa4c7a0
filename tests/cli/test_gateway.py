"""`gateway` and `pull` as they are run: they start, stop, and say in one line why they cannot."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from producers.topics import ensure_topics
from schemas.settings import BrokerSettings
from tests.api.gateway.served import files_in
from tests.end_to_end.command import environment
from tests.logs import why_failed
from tests.producers.client.sent import arrived
from tests.streams.scene import session

STOP_S_MAX = 30
ONE = '[[senders]]\nname = "acme"\nprogramme = "cn-charging"\nsource = "test"\n'


@pytest.fixture
def topics(broker: str) -> BrokerSettings:
    """The broker, with topics under a prefix that nobody else has."""
    settings = BrokerSettings(bootstrap=broker, prefix="cli-gateway.")
    asyncio.run(ensure_topics(settings))
    return settings


def variables(topics: BrokerSettings, folder: Path, **more: str) -> dict[str, str]:
    """Return the environment of a gateway of one sender."""
    files_in(folder, ONE)
    return environment(
        CARBONFLOW_BOOTSTRAP=topics.bootstrap,
        CARBONFLOW_PREFIX=topics.prefix,
        CARBONFLOW_GATEWAY_PORT="0",
        CARBONFLOW_GATEWAY_METRICS_PORT="0",
        CARBONFLOW_GATEWAY_SENDERS_FILE=str(folder / "senders.toml"),
        **more,
    )


def ended(command: str, *words: str, environ: dict[str, str]) -> tuple[int, str]:
    """Run a command to its end; return its status and what it said on standard error."""
    done = subprocess.run(
        (sys.executable, "-m", "cli.main", command, *words),
        env=environ,
        capture_output=True,
        text=True,
        timeout=STOP_S_MAX,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_gateway_takes_records_until_it_is_asked_to_stop(
    topics: BrokerSettings, tmp_path: Path, how: signal.Signals
) -> None:
    environ = variables(topics, tmp_path)
    argv = (sys.executable, "-m", "cli.main", "gateway")
    with subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        url = child.stdout.readline().strip()
        service = child.stdout.readline().strip().removesuffix("/metrics")
        answer = httpx.post(f"{url}/v1/charging-sessions", json=session(session_id=how.name))
        assert answer.status_code == 202, answer.text
        assert httpx.get(f"{service}/readyz").json() == {"status": "ready"}
        child.send_signal(how)
        assert child.wait(STOP_S_MAX) == 0
    assert how.name in str([message.value for message in arrived(topics, "charging-sessions")])


def test_a_gateway_without_senders_or_broker_or_topics_says_so(
    topics: BrokerSettings, tmp_path: Path
) -> None:
    environ = variables(topics, tmp_path)
    for changes, why in (
        ({"CARBONFLOW_GATEWAY_SENDERS_FILE": ""}, "says not who may send"),
        ({"CARBONFLOW_BOOTSTRAP": "127.0.0.1:1"}, "the broker does not answer"),
        (
            {"CARBONFLOW_PREFIX": "nowhere."},
            "the broker has no topic nowhere.charging-sessions, nowhere.freight-trips",
        ),
        ({"CARBONFLOW_GATEWAY_TOKENS_FILE": str(tmp_path / "none")}, "No such file"),
    ):
        status, said = ended("gateway", environ=environ | changes)
        assert (status, why in why_failed(said)) == (1, True), said


def test_two_senders_need_tokens(topics: BrokerSettings, tmp_path: Path) -> None:
    environ = variables(topics, tmp_path)
    (tmp_path / "senders.toml").write_text(
        ONE + '[[senders]]\nname = "b"\nprogramme = "p"\nocpi = "sessions"\n'
    )
    status, said = ended("gateway", environ=environ)
    assert status == 1
    assert "nobody can tell who sends" in said
    environ["CARBONFLOW_GATEWAY_TOKENS_FILE"] = str(tmp_path / "tokens.toml")
    status, said = ended("gateway", environ=environ)
    assert status == 1
    assert "CARBONFLOW_GATEWAY_SESSIONS" in said


def test_only_a_sender_that_says_where_is_pulled_from(
    topics: BrokerSettings, tmp_path: Path
) -> None:
    environ = variables(topics, tmp_path)
    for name, why in (("acme", "says not where"), ("nobody", "is no sender")):
        status, said = ended("pull", name, environ=environ)
        assert (status, why in said) == (1, True), said
    pull = '[senders.pull]\nfrom = "ocpi"\nurl = "http://127.0.0.1:1"\nsecret_file = "secret"\n'
    (tmp_path / "senders.toml").write_text(ONE + 'ocpi = "cdrs"\n' + pull)
    status, said = ended("pull", "acme", environ=environ)
    assert (status, "secret: No such file" in said) == (1, True), said
