"""Nothing that was called accepted is lost when the gateway is killed with -9, again and again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx

from schemas.settings import BrokerSettings
from schemas.singles import decode_one
from tests.api.gateway.ocpi_session import ENDED, SESSION, place
from tests.api.gateway.served import files_in
from tests.end_to_end.command import environment
from tests.producers.client.sent import arrived, await_that
from tests.streams.scene import session

SENDERS = 4
ACCEPTED_AT_LEAST = 60
ROUNDS = 4


@contextmanager
def process(topics: BrokerSettings, folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `carbonflow gateway`, and kill it at the end if nobody has."""
    environ = environment(
        CARBONFLOW_BOOTSTRAP=topics.bootstrap,
        CARBONFLOW_PREFIX=topics.prefix,
        CARBONFLOW_GATEWAY_PORT="0",
        CARBONFLOW_GATEWAY_METRICS_PORT="0",
        CARBONFLOW_GATEWAY_SENDERS_FILE=str(folder / "senders.toml"),
        CARBONFLOW_GATEWAY_TOKENS_FILE=str(folder / "tokens.toml"),
        CARBONFLOW_GATEWAY_SESSIONS=str(folder / "sessions"),
        CARBONFLOW_GATEWAY_RATE_PER_S="100000",
        CARBONFLOW_GATEWAY_BURST="100000",
    )
    argv = (sys.executable, "-m", "cli.main", "gateway")
    with subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            url = child.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url), url
            yield child, url
        finally:
            if child.poll() is None:
                child.kill()


class Sender(threading.Thread):
    """Sends sessions, singly and in batches, until the gateway is gone."""

    def __init__(self, url: str, token: str, name: str) -> None:
        super().__init__()
        self.url, self.token, self.prefix = url, token, name
        self.sent: set[str] = set()
        self.accepted: set[str] = set()

    def run(self) -> None:
        headers = {"Authorization": f"Bearer {self.token}"}
        with httpx.Client(headers=headers, timeout=30) as client:
            number = 0
            while True:
                ids = [f"{self.prefix}-{number + at}" for at in range(1 + number % 3)]
                number += len(ids)
                records = [session(session_id=one, account_id=one[-2:]) for one in ids]
                self.sent.update(ids)
                try:
                    answer = client.post(f"{self.url}/v1/charging-sessions", json=records)
                except httpx.TransportError:
                    return  # It was killed: what it had not answered may be there or not.
                assert answer.status_code == 202, answer.text
                self.accepted.update(ids)


def have_enough(senders: list[Sender]) -> bool:
    """Return whether enough was accepted to be worth a kill."""
    return sum(len(sender.accepted) for sender in senders) >= ACCEPTED_AT_LEAST


def test_what_was_accepted_is_on_the_topic_after_every_kill(
    topics: BrokerSettings, tmp_path: Path
) -> None:
    token = files_in(tmp_path)["acme"]
    accepted, sent = set[str](), set[str]()
    for round_number in range(ROUNDS):
        with process(topics, tmp_path) as (child, url):
            senders = [Sender(url, token, f"{round_number}-{at}") for at in range(SENDERS)]
            for sender in senders:
                sender.start()
            await_that(partial(have_enough, senders), "the first answers")
            os.kill(child.pid, signal.SIGKILL)
            for sender in senders:
                sender.join()
                accepted |= sender.accepted
                sent |= sender.sent
            assert child.wait() == -signal.SIGKILL
    found = [
        decode_one(message.value)[1]["session_id"]
        for message in arrived(topics, "charging-sessions")
    ]
    assert len(accepted) >= ROUNDS * ACCEPTED_AT_LEAST
    assert accepted <= set(found) <= sent
    assert len(found) == len(set(found))


def test_a_session_that_was_taken_in_parts_survives_a_kill(
    topics: BrokerSettings, tmp_path: Path
) -> None:
    token = files_in(tmp_path)["live"]
    headers = {"Authorization": f"Token {token}"}
    with process(topics, tmp_path) as (child, url):
        answer = httpx.put(url + place(), headers=headers, json=SESSION)
        assert answer.json()["status_code"] == 1000, answer.text
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    with process(topics, tmp_path) as (child, url):
        answer = httpx.patch(url + place(), headers=headers, json=ENDED)
        assert (answer.status_code, answer.json()["status_code"]) == (200, 1000), answer.text
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0
    (message,) = arrived(topics, "charging-sessions")
    record = decode_one(message.value)[1]
    assert (record["session_id"], record["energy_wh"]) == ("BE*BEC*session*101", 41_120)
