"""The embedded broker keeps what it acknowledged and never outlives its owner."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from embedded.broker import Broker, BrokerError, free_port

TOPIC = "kept"

# Starts a broker, produces, says what it did, and waits to be killed.
OWNER = """
import sys, threading
from pathlib import Path
sys.path.insert(0, {tests!r})
from embedded.broker import Broker
from test_broker import produce
broker = Broker.start(Path({folder!r}))
produce(broker.bootstrap, 500)
print(broker.pid, flush=True)
threading.Event().wait()
"""


def produce(bootstrap: str, count: int) -> None:
    """Return once the broker has acknowledged `count` records."""

    async def send() -> None:
        async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
            sent = [await producer.send(TOPIC, b"%d" % number) for number in range(count)]
            await asyncio.gather(*sent)

    asyncio.run(send())


def consume(bootstrap: str) -> list[int]:
    """Return all numbers on the topic."""

    async def read() -> list[int]:
        partition = TopicPartition(TOPIC, 0)
        async with AIOKafkaConsumer(
            bootstrap_servers=bootstrap, auto_offset_reset="earliest"
        ) as consumer:
            consumer.assign([partition])
            end = (await consumer.end_offsets([partition]))[partition]
            numbers: list[int] = []
            while len(numbers) < end:
                fetched = await consumer.getmany(partition, timeout_ms=1000)
                numbers += [int(record.value) for record in fetched.get(partition, [])]
            return numbers

    return asyncio.run(asyncio.wait_for(read(), 30))


def is_running(pid: int) -> bool:
    """Return whether a process exists and is no zombie."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_until(true: Callable[[], bool], *, s_max: float = 20.0) -> None:
    """Wait for a condition, or fail."""
    deadline = time.monotonic() + s_max
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_it_answers_and_ends(tmp_path: Path) -> None:
    with Broker.start(tmp_path / "data") as broker:
        produce(broker.bootstrap, 10)
        broker.check()
        pid = broker.pid
    assert not is_running(pid)


def test_its_saving_takes_what_others_leave(tmp_path: Path) -> None:
    with Broker.start(tmp_path / "data", niceness=3) as broker:
        threads = {}
        for thread in Path(f"/proc/{broker.pid}/task").glob("*"):
            with suppress(FileNotFoundError, ProcessLookupError):  # One may end meanwhile.
                name = (thread / "comm").read_text().strip()
                threads[name] = os.getpriority(os.PRIO_PROCESS, int(thread.name))
    assert threads["autosave"] == 19
    assert threads["noida-db"] == min(os.getpriority(os.PRIO_PROCESS, 0) + 3, 19)


def test_an_orderly_stop_keeps_everything(tmp_path: Path) -> None:
    with Broker.start(tmp_path / "data") as broker:
        produce(broker.bootstrap, 1000)
    with Broker.start(tmp_path / "data") as broker:
        assert consume(broker.bootstrap) == list(range(1000))


def test_killing_its_owner_with_9_ends_it_and_keeps_everything(tmp_path: Path) -> None:
    program = OWNER.format(folder=str(tmp_path / "data"), tests=str(Path(__file__).parent))
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner.stdout:
        pid = int(owner.stdout.readline())
    owner.kill()
    owner.wait()
    with Broker.start(tmp_path / "data") as broker:
        assert not is_running(pid)
        assert consume(broker.bootstrap) == list(range(500))


def test_killing_it_with_9_keeps_what_was_saved(tmp_path: Path) -> None:
    with Broker.start(tmp_path / "data") as broker:
        produce(broker.bootstrap, 100)
        saved = tmp_path / "data" / "kafka.json"
        wait_until(saved.exists)
        os.kill(broker.pid, signal.SIGKILL)
    with Broker.start(tmp_path / "data") as broker:
        numbers = consume(broker.bootstrap)
    assert numbers == list(range(len(numbers)))


def test_a_dead_broker_is_explained(tmp_path: Path) -> None:
    with Broker.start(tmp_path / "data") as broker:
        os.kill(broker.pid, signal.SIGKILL)
        broker.child.wait()
        with pytest.raises(
            BrokerError, match="the broker ended with status -9: it left no message"
        ):
            broker.check()


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    with (
        Broker.start(tmp_path / "data"),
        pytest.raises(BrokerError, match=f"in use by a carbonflow broker, process {os.getpid()}"),
    ):
        Broker.start(tmp_path / "data")


def test_a_taken_port_is_refused(tmp_path: Path) -> None:
    with (
        Broker.start(tmp_path / "one") as broker,
        pytest.raises(BrokerError, match=f"port {broker.port} of 127.0.0.1 is taken"),
    ):
        Broker.start(tmp_path / "two", port=broker.port)


def test_broken_data_is_explained(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "kafka.json").write_text("{")
    with pytest.raises(BrokerError, match="failed to parse kafka snapshot"):
        Broker.start(tmp_path / "data", port=free_port())


def test_the_notice_about_glibc_reaches_nobody(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with Broker.start(tmp_path / "data"):
        pass
    assert capfd.readouterr() == ("", "")
