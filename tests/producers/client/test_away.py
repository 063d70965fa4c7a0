"""With a spool nothing is lost while the broker is away, or when the process is killed.

Each test has a broker of its own, stopped and started again over the same folder and port.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from embedded.broker import Broker, free_port
from producers.client.delivery import Report, State
from producers.client.sending import BufferFullError
from producers.client.settings import ClientSettings
from producers.client.spool import SpoolError
from producers.client.sync import Client
from producers.topics import ensure_topics
from schemas.settings import BrokerSettings
from tests.producers.client.sent import arrived, await_that, charging, firsts

ROOT = Path(__file__).resolve().parents[3]
ACCOUNTS = 5
FLUSH_S_MAX = 120.0


class OwnBroker:
    """A broker that can go away and come back."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.settings = BrokerSettings(bootstrap=f"127.0.0.1:{self.port}")
        self._running: Broker | None = None
        self.come()
        asyncio.run(ensure_topics(self.settings))

    def come(self) -> None:
        self._running = Broker.start(self.folder / "data", port=self.port)

    def go(self) -> None:
        if self._running is not None:
            self._running.stop()
            self._running = None


@pytest.fixture
def own(tmp_path: Path) -> Iterator[OwnBroker]:
    broker = OwnBroker(tmp_path)
    yield broker
    broker.go()


def spooling(own: OwnBroker, tmp_path: Path, **changes: object) -> ClientSettings:
    return ClientSettings(
        broker=own.settings,
        client_spool=tmp_path / "spool",
        client_close_s_max=0.0,
        **changes,  # type: ignore[arg-type]
    )


def send(client: Client, first: int, end: int) -> None:
    """Send sessions, each of which must be in the spool by then."""
    for number in range(first, end):
        delivery = client.send(
            charging(session_id=f"{number:06d}", account_id=f"{number % ACCOUNTS}")
        )
        assert delivery.report().state is State.SPOOLED
        assert delivery.report().number == number


def in_order(count: int) -> dict[str, list[str]]:
    """Return the sessions of each account in the order they were sent."""
    return {
        str(account): [f"{number:06d}" for number in range(account, count, ACCOUNTS)]
        for account in range(ACCOUNTS)
    }


def test_a_broker_that_goes_and_comes_back_gets_everything_in_order(
    own: OwnBroker, tmp_path: Path
) -> None:
    reports: list[Report] = []
    with Client(spooling(own, tmp_path), on_delivered=reports.append) as client:
        send(client, 0, 3_000)
        await_that(lambda: bool(reports), "the first report")
        own.go()
        send(client, 3_000, 6_000)
        assert client.waiting >= 3_000
        own.come()
        send(client, 6_000, 9_000)
        client.flush(FLUSH_S_MAX)
        assert client.waiting == 0
    assert firsts(arrived(own.settings, "charging-sessions")) == in_order(9_000)
    numbers = [report.number for report in reports]
    assert sorted(set(numbers)) == list(range(9_000))
    assert {report.state for report in reports} == {State.DELIVERED}


def test_what_a_client_left_in_the_spool_the_next_one_sends(own: OwnBroker, tmp_path: Path) -> None:
    own.go()
    with Client(spooling(own, tmp_path)) as client:
        send(client, 0, 1_000)
    own.come()
    assert arrived(own.settings, "charging-sessions") == []
    with Client(spooling(own, tmp_path)) as client:
        send(client, 1_000, 1_500)
        client.flush(FLUSH_S_MAX)
    messages = arrived(own.settings, "charging-sessions")
    assert len(messages) == 1_500
    assert firsts(messages) == in_order(1_500)


PRODUCER = """
import sys
from producers.client.sync import Client
from tests.producers.client.test_away import *

settings = ClientSettings(
    broker=BrokerSettings(bootstrap=sys.argv[1]), client_spool=Path(sys.argv[2])
)
with Client(settings) as client:
    number = int(sys.argv[3])
    while True:
        send(client, number, number + 1)
        print(number, flush=True)   # It is in the spool: from here on it must not be lost.
        number += 1
"""


def killed(own: OwnBroker, tmp_path: Path, first: int, count: int) -> int:
    """Run a producing process, kill it with -9, and return behind which number it was certain."""
    argv = [sys.executable, "-c", PRODUCER, own.settings.bootstrap]
    with subprocess.Popen(
        [*argv, str(tmp_path / "spool"), str(first)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as child:
        assert child.stdout is not None
        certain = first
        for line in child.stdout:
            certain = int(line) + 1
            if certain >= first + count:
                os.kill(child.pid, signal.SIGKILL)
                break
        # What it had said before it died, too; the last line may be cut off.
        for line in child.stdout:
            certain = int(line) + 1 if line.endswith("\n") else certain
        assert child.wait() == -signal.SIGKILL
    return certain


def test_a_producer_killed_again_and_again_loses_nothing_it_has_spooled(
    own: OwnBroker, tmp_path: Path
) -> None:
    end = 0
    for round_number, away in enumerate([False, True, True, False]):
        if away:
            own.go()
        certain = killed(own, tmp_path, first=end, count=700 + 13 * round_number)
        own.go()
        own.come()
        with Client(spooling(own, tmp_path)) as client:
            # One more may be in the spool than it came to say.
            end = client._sending.way._spool.end  # type: ignore[union-attr]
            assert certain <= end <= certain + 1
    with Client(spooling(own, tmp_path)) as client:
        client.flush(FLUSH_S_MAX)
    # On the wire a record may be twice; by its identity it is there once, and in order.
    assert firsts(arrived(own.settings, "charging-sessions")) == in_order(end)


def test_a_full_spool_makes_the_sender_wait_and_lets_it_go_on_once_the_broker_is_back(
    own: OwnBroker, tmp_path: Path
) -> None:
    own.go()
    settings = spooling(own, tmp_path, client_spool_bytes_max=2_000_000, client_block_s_max=0.1)
    sent = 0
    with Client(settings) as client:
        with suppress(BufferFullError):
            while sent < 100_000:
                send(client, sent, sent + 1)
                sent += 1
        assert 1_000 < sent < 20_000
        on_disk = sum(path.stat().st_size for path in (tmp_path / "spool").iterdir())
        assert on_disk <= 2_000_000 + 100
        own.come()
        client.flush(FLUSH_S_MAX)
        send(client, sent, sent + 1_000)
        client.flush(FLUSH_S_MAX)
    assert firsts(arrived(own.settings, "charging-sessions")) == in_order(sent + 1_000)


def test_a_spool_that_cannot_be_read_stops_the_sender_and_says_why(
    own: OwnBroker, tmp_path: Path
) -> None:
    settings = spooling(own, tmp_path, client_spool_bytes_max=2_000_000)
    own.go()
    with Client(settings) as client:
        send(client, 0, 10_000)
    first, *others = sorted((tmp_path / "spool").glob("*.spool"))
    assert others, "it takes a second segment: an unfinished end is no damage"
    damaged = bytearray(first.read_bytes())
    damaged[20] ^= 1
    first.write_bytes(damaged)

    def go_on() -> None:
        with Client(settings) as client:
            await_that(lambda: refuses(client), "the error")

    with pytest.raises(SpoolError, match=r"not emptied any more.*message 0 does not read"):
        go_on()


def refuses(client: Client) -> bool:
    """Return whether the client takes nothing because of what is in its spool."""
    try:
        client.send(charging())
    except SpoolError as error:
        return "message 0 does not read" in str(error)
    return False


def test_what_a_callback_raises_is_raised_to_who_sends(own: OwnBroker, tmp_path: Path) -> None:
    def failing(report: Report) -> None:
        raise ZeroDivisionError(f"report {report.number}")

    def go_on() -> None:
        with Client(spooling(own, tmp_path), on_delivered=failing) as client:
            send(client, 0, 10)
            client.flush(FLUSH_S_MAX)

    with pytest.raises(SpoolError, match="not emptied any more: report 0"):
        go_on()
    with Client(spooling(own, tmp_path)) as client:
        client.flush(FLUSH_S_MAX)
    assert firsts(arrived(own.settings, "charging-sessions")) == in_order(10)


def test_threads_that_send_at_once_lose_nothing(own: OwnBroker, tmp_path: Path) -> None:
    with Client(spooling(own, tmp_path)) as client:

        def sent(account: int) -> None:
            for number in range(account, 4_000, ACCOUNTS):
                client.send(charging(session_id=f"{number:06d}", account_id=f"{account}"))

        with ThreadPoolExecutor(ACCOUNTS) as pool:
            list(pool.map(sent, range(ACCOUNTS)))
        client.flush(FLUSH_S_MAX)
    assert firsts(arrived(own.settings, "charging-sessions")) == in_order(4_000)
