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
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from threading import Event
from typing import Any, Final, Literal

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
from benchmarks.surroundings import machine
from schemas.settings import BrokerSettings
from tests.kafka.server import KafkaNodeError, missing

MANY: Final = 1_000_000
FEW: Final = 10_000
EVENTS: Final = 150_000
ROUNDS: Final = 3
QUICK: Final = 50
"""Accounts and events are divided by it."""

SEEN: Final = 10
SESSION_TIMEOUT_S: Final = "60"
"""A worker may stand still for so long without losing its partitions."""

SLICE_MS_MAX: Final = "10000"
"""Slices get no smaller where they take longer, or few and many accounts would not be compared."""
FETCH_BYTES: Final = 4 << 20
QUIET_SHARE: Final = 0.1
QUIET_LOOK_S: Final = 0.5
QUIET_S_MAX: Final = 60.0
RECOVERY_MAX: Final = 3.0
WARM_S: Final = 5.0
RSS_MB_MAX: Final = {"memory": 1200.0, "rocksdb": 400.0}
COST_MAX: Final[dict[str, float | None]] = {"memory": 1.3, "rocksdb": None}
PACKAGES: Final = ("noida-db", "aiokafka", "rocksdict", "pyarrow", "numpy", "numba")
MB: Final = 1_000_000

BROKERS: Final = {"kafka": apache, "embedded": embedded}

Store = Literal["memory", "rocksdb"]
STORES: Final[tuple[Store, ...]] = ("memory", "rocksdb")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the measurement is: accounts where they are many and few, events of a run, runs."""

    accounts: int
    few: int
    events: int
    rounds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one worker did.

    Attributes:
        accounts: That it restored.
        restored_s: From the begin of the first book's opening to the end of the last.
        first_slice_s: From the start of the process to its first slice.
        measured: The work after that; None if there was none.
        rss_bytes_max: The most memory it occupied.
    """

    accounts: int
    restored_s: float
    first_slice_s: float
    measured: Measured | None
    rss_bytes_max: int


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


@dataclass(frozen=True, slots=True)
class Bar:
    """A number, and the most that it may be; None where it is only told."""

    name: str
    unit: str
    number: float
    most: float | None = None

    @property
    def is_missed(self) -> bool:
        """Whether it is too much."""
        return self.most is not None and self.number > self.most


@dataclass(slots=True, kw_only=True)
class State:
    """All that was measured.

    Attributes:
        broker: Its name and version.
        events: Of one run.
        many: Runs with many accounts.
        few: Runs with few.
        read_s: How long reading all balances alone took, before each run in memory.
        killed: The run after kill -9.
    """

    broker: str
    events: int
    many: dict[Store, list[Run]]
    few: dict[Store, list[Run]] = field(default_factory=lambda: {store: [] for store in STORES})
    read_s: list[float] = field(default_factory=list)
    killed: list[Run] = field(default_factory=list)

    def bars(self) -> list[Bar]:
        """Return the numbers that have a bar, and those that explain them."""
        memory, disk = self.many["memory"], self.many["rocksdb"]
        ratios = [run.restored_s / read for run, read in zip(memory, self.read_s, strict=True)]
        rows = [
            Bar("reading the changelog alone", "s", median(self.read_s)),
            Bar("recovery in memory", "s", median(run.restored_s for run in memory)),
            Bar("recovery in memory / reading alone", "", median(ratios), RECOVERY_MAX),
            Bar("recovery of an empty RocksDB", "s", disk[0].restored_s),
            Bar("start to first slice, memory", "s", median(run.first_slice_s for run in memory)),
            *(
                Bar("start to first slice, RocksDB stopped before", "s", run.first_slice_s, WARM_S)
                for run in disk[1:2]
            ),
            *(
                Bar("start to first slice, RocksDB killed before", "s", run.first_slice_s, WARM_S)
                for run in self.killed
            ),
        ]
        for store in STORES:
            peak = max(run.rss_bytes_max for run in self.many[store]) / MB
            rows.append(Bar(f"memory of the worker, {store}", "MB", peak, RSS_MB_MAX[store]))
        for store in STORES:
            few, many = cost_us(self.few[store]), cost_us(self.many[store])
            rows += [
                Bar(f"processor time of an event, {store}, few accounts", "µs", few),
                Bar(f"processor time of an event, {store}, many accounts", "µs", many),
                Bar(f"processor time, {store}, many / few", "", many / few, COST_MAX[store]),
                Bar(
                    f"elapsed time, {store}, many / few",
                    "",
                    elapsed_s(self.many[store]) / elapsed_s(self.few[store]),
                    COST_MAX[store],
                ),
            ]
        return rows

    def misses(self) -> list[str]:
        """Return a sentence for every bar that is missed."""
        return [
            f"{bar.name}: {bar.number:.2f} {bar.unit} is above the bar of {bar.most:g}"
            for bar in self.bars()
            if bar.is_missed
        ]


def cost_us(runs: Sequence[Run]) -> float:
    """Return the processor time of an event [µs]."""
    measured = [run.measured for run in runs if run.measured is not None]
    return 1e6 * sum(one.cpu_s for one in measured) / sum(one.events for one in measured)


def elapsed_s(runs: Sequence[Run]) -> float:
    """Return how long a run took [s]."""
    return median(run.measured.elapsed_s for run in runs if run.measured is not None)


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


def table(bars: Sequence[Bar]) -> str:
    """Return the numbers as a table in Markdown."""
    lines = ["|  | measured | at most |", "| --- | --: | --: |"]
    for bar in bars:
        most = "" if bar.most is None else f"{bar.most:g} {bar.unit}".strip()
        lines.append(f"| {bar.name} | {f'{bar.number:,.2f} {bar.unit}'.strip()} | {most} |")
    return "\n".join(lines)


def section(state: State) -> str:
    """Return the section of RESULTS.md, in Markdown."""
    many, few = state.many["memory"][0].accounts, state.few["memory"][0].accounts
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return "\n\n".join(
        (
            f"## {many:,} accounts",
            f"One worker on {PARTITIONS} partitions of {state.broker}, with {many:,} accounts that "
            f"remember {SEEN} events each and with {few:,}; {state.events:,} events a run, "
            f"{len(state.read_s)} runs of each in turns. Memory is the most that the process ever "
            "occupied. The record of an account is written for every slice that touches it: with "
            "many accounts that is nearly one for every event.",
            table(state.bars()),
            f"{machine()}, {versions}",
        )
    )


def results(state: State) -> dict[str, Any]:
    """Return what was measured, for programs."""
    return {
        "numbers": {f"{bar.name} [{bar.unit}]": round(bar.number, 3) for bar in state.bars()},
        "accounts": state.many["memory"][0].accounts,
        "machine": machine(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def told(done: Run) -> str:
    """Return a run in a line."""
    rates = ""
    if done.measured is not None:
        rates = (
            f", {done.measured.events_per_s:,.0f} events/s, "
            f"{1e6 / done.measured.events_per_cpu_s:.2f} µs of processor an event"
        )
    return (
        f"{done.accounts:,} accounts in {done.restored_s:.2f} s, first slice after "
        f"{done.first_slice_s:.2f} s{rates}, {done.rss_bytes_max / MB:,.0f} MB"
    )


if __name__ == "__main__":
    main()
