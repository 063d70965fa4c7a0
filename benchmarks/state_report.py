"""What `benchmarks.state` measured: runs, the bars they are held against, and how it is told."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from statistics import median
from typing import Any, Final, Literal

from benchmarks.existing import PARTITIONS
from benchmarks.measure import Measured
from benchmarks.surroundings import machine

SEEN: Final = 10
"""Events that accounts remember."""
RECOVERY_MAX: Final = 3.0
WARM_S: Final = 5.0
RSS_MB_MAX: Final = {"memory": 1200.0, "rocksdb": 400.0}
COST_MAX: Final[dict[str, float | None]] = {"memory": 1.3, "rocksdb": None}
PACKAGES: Final = ("noida-db", "aiokafka", "rocksdict", "pyarrow", "numpy", "numba")
MB: Final = 1_000_000

Store = Literal["memory", "rocksdb"]
STORES: Final[tuple[Store, ...]] = ("memory", "rocksdb")


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
