"""`python -m benchmarks.state`: what a million accounts cost a worker, in memory and on disk.

Fills brokers with accounts that exist already (`existing`), few and many, and lets real workers
with the settings of production work sessions for them. The brokers are Apache Kafka, if Java is
there to run it: the embedded one answers a fetch with all it has, whatever was asked for, and that
takes more memory than the accounts do. Measured are

* recovery: all books opened at once, against reading the same topic with aiokafka and nothing else;
* a warm restart with RocksDB, from the start of the process to its first slice, the second time
  after kill -9;
* the memory of the worker: the most that it ever occupied, while restoring and working;
* the processor time of an event with many accounts against few. The worker stands still while the
  sessions are sent, so that it finds all of them at once. Both begin with accounts that remember
  some ten events.

Prints them and writes them to `benchmarks/RESULTS.md` and `benchmarks/results.json`. Exit status 1
where a bar is missed. `--quick` takes few accounts and only shows: nothing is written and no bar
holds.
"""

import asyncio
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Final

import click
import psutil  # type: ignore[import-untyped] # It ships no type information.
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from rich.console import Console

from benchmarks.brokers import Running, apache, embedded
from benchmarks.existing import (
    PARTITIONS,
    Existing,
    found,
    send_sessions,
    send_to_each,
)
from benchmarks.measure import BenchmarkError, Look, Measured, cpu_s
from benchmarks.one_worker import OneWorker, one_worker
from benchmarks.report import merge_results, write_section
from benchmarks.state_report import SEEN, STORES, Run, State, Store, results, section, table, told
from schemas.settings import BrokerSettings
from tests.kafka.server import KafkaNodeError, missing

MANY: Final = 1_000_000
FEW: Final = 10_000
EVENTS: Final = 150_000
ROUNDS: Final = 3
QUICK: Final = 50
"""Accounts and events are divided by it."""

SESSION_TIMEOUT_S: Final = "60"
"""A worker may stand still for so long without losing its partitions."""

SLICE_MS_MAX: Final = "10000"
"""Slices get no smaller where they take longer, or few and many accounts would not be compared."""
FETCH_BYTES: Final = 4 << 20
QUIET_SHARE: Final = 0.1
QUIET_LOOK_S: Final = 0.5
QUIET_S_MAX: Final = 60.0

BROKERS: Final = {"kafka": apache, "embedded": embedded}


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the measurement is: accounts where they are many and few, events of a run, runs."""

    accounts: int
    few: int
    events: int
    rounds: int


@dataclass(slots=True, kw_only=True)
class Place:
    """Topics on a broker in which accounts exist, and the sessions sent to them so far."""

    bootstrap: str
    existing: Existing
    folder: Path
    prefix: str
    sent: int = 0
    runs: dict[Store, list[Run]] = field(default_factory=lambda: {store: [] for store in STORES})

    @property
    def settings(self) -> BrokerSettings:
        """The broker and the prefix."""
        return BrokerSettings(bootstrap=self.bootstrap, prefix=self.prefix)

    def send(self, count: int) -> None:
        """Send sessions that were not sent before."""
        asyncio.run(send_sessions(self.settings, self.existing, self.sent, count))
        self.sent += count

    def send_to_each(self) -> int:
        """Send one session to each partition."""
        sent = asyncio.run(send_to_each(self.settings, self.existing, self.sent))
        self.sent += 50 * PARTITIONS
        return sent

    @contextmanager
    def worker(self, store: Store) -> Iterator[OneWorker]:
        """Run a worker of these topics."""
        environ = {
            "CARBONFLOW_BOOTSTRAP": self.settings.bootstrap,
            "CARBONFLOW_PREFIX": self.prefix,
            "CARBONFLOW_STORE": store,
            "CARBONFLOW_SESSION_TIMEOUT_S": SESSION_TIMEOUT_S,
            "CARBONFLOW_SLICE_MS_MAX": SLICE_MS_MAX,
        }
        with one_worker(self.folder / f"{self.prefix}{store}", environ) as worker:
            yield worker


@click.command(help="Measure what accounts cost: recovery, memory, time of an event.")
@click.option("--accounts", default=MANY, show_default=True, help="Accounts where they are many.")
@click.option("--events", default=EVENTS, show_default=True, help="Events of one run.")
@click.option("--rounds", default=ROUNDS, show_default=True, help="Runs of each.")
@click.option("--broker", type=click.Choice(list(BROKERS)), help="Apache Kafka if it can run.")
@click.option("--quick", is_flag=True, help="A fiftieth of it once, without a bar: does it run?")
def main(accounts: int, events: int, rounds: int, broker: str | None, quick: bool) -> None:
    size = Size(accounts=accounts, few=FEW, events=events, rounds=rounds)
    if quick:
        size = Size(accounts=accounts // QUICK, few=FEW // QUICK, events=events // QUICK, rounds=1)
    if broker is None:
        broker = "embedded" if quick or missing() else "kafka"
    console = Console()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-state-") as folder:
            state = measure(BROKERS[broker], Path(folder), size, console)
    except (BenchmarkError, KafkaNodeError) as error:
        raise click.ClickException(str(error)) from None
    console.print(table(state.bars()), highlight=False, markup=False)
    if quick:
        return
    merge_results({"state": results(state)})
    write_section("state", section(state))
    if misses := state.misses():
        raise click.ClickException("; ".join(misses))


def measure(
    broker: Callable[[Path], AbstractContextManager[Running]],
    folder: Path,
    size: Size,
    console: Console,
) -> State:
    """Run everything, in turns.

    Raises:
        BenchmarkError: A worker failed.
    """
    now_ms = int(time.time() * 1000)
    with broker(folder / "large") as (large, name), broker(folder / "small") as (small, _):
        existing = Existing(accounts=size.accounts, now_ms=now_ms, seen=SEEN)
        many = Place(bootstrap=large, existing=existing, folder=folder, prefix="many-")
        asyncio.run(found(many.settings, existing))
        state = State(broker=name, events=size.events, many=many.runs)
        # Whoever is few is busy, and remembers more at the end than at the begin.
        seen = max(1, SEEN - size.events // size.few // 2)
        for number, store in itertools.product(range(size.rounds), STORES):
            busy = Place(
                bootstrap=small,
                existing=Existing(accounts=size.few, now_ms=now_ms, seen=seen),
                folder=folder,
                prefix=f"few-{number}-{store}-",
            )
            asyncio.run(found(busy.settings, busy.existing))
            state.few[store].append(run(busy, store, size.events))
            if store == "memory":
                quiet()
                state.read_s.append(asyncio.run(read_alone(many.settings)))
            many.runs[store].append(run(many, store, size.events))
            for place, done in (("few", state.few[store][-1]), ("many", many.runs[store][-1])):
                console.print(f"round {number + 1}, {place}, {store}: {told(done)}")
        with many.worker("rocksdb") as worker:
            many.send(size.events)
            worker.until(lambda: worker.events() >= size.events)
            worker.kill()
        state.killed.append(run(many, "rocksdb", 0))
        console.print(f"after kill -9: {told(state.killed[0])}")
    return state


def run(place: Place, store: Store, events: int) -> Run:
    """Start a worker, let it restore, let it work, and stop it."""
    each = place.send_to_each()
    quiet()
    with place.worker(store) as worker:
        first_slice_s = worker.until(lambda: worker.events() > 0)
        worker.until(lambda: worker.events() >= each)
        opened = worker.opened()
        measured = work(place, worker, events) if events else None
        return Run(
            accounts=sum(book.accounts for book in opened),
            restored_s=max(book.at_s for book in opened)
            - min(book.at_s - book.took_s for book in opened),
            first_slice_s=first_slice_s,
            measured=measured,
            rss_bytes_max=worker.rss_bytes_max(),
        )


def work(place: Place, worker: OneWorker, events: int) -> Measured:
    """Let a worker find sessions that came while it stood still, and work them."""
    count = worker.events()
    with worker.paused():
        place.send(events)
        quiet()
        first = Look(time.monotonic(), count, cpu_s(worker.child.pid))
    return worker.measured(first, count + events)


async def read_alone(settings: BrokerSettings) -> float:
    """Return how long aiokafka takes to read all balances when nothing is done with them [s]."""
    places = [TopicPartition(settings.topic("account-balances"), n) for n in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(
        **settings.client_options(),
        group_id=None,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=FETCH_BYTES,
    )
    async with consumer:
        began_s = time.monotonic()
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        while [at for at in places if await consumer.position(at) < ends[at]]:
            await consumer.getmany(timeout_ms=500)
        return time.monotonic() - began_s


def quiet() -> None:
    """Wait until the brokers have nothing to do: they save what they were given, which takes time.

    They and workers that stand still are the processes that this one has started.
    """
    deadline_s, last_s = time.monotonic() + QUIET_S_MAX, -QUIET_LOOK_S
    while time.monotonic() < deadline_s:
        now_s = sum(cpu_s(child.pid) for child in psutil.Process().children())
        if now_s - last_s < QUIET_SHARE * QUIET_LOOK_S:
            return
        last_s = now_s
        Event().wait(QUIET_LOOK_S)


if __name__ == "__main__":
    main()
