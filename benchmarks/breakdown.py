"""`python -m benchmarks.breakdown`: where a worker's time goes, for each event.

First a worker under load: processor time by thread and by user and system, from outside. Then what
it computes for each slice, stage by stage, in this process: the same functions over the same load,
a clock around each. What the second leaves of the first is the broker's client: requests, sockets,
waiting for the interpreter's lock.
"""

import asyncio
import gc
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from typing import Any, Final

import click
import numpy as np
import psutil  # type: ignore[import-untyped] # It ships no type information.
from rich.console import Console
from rich.table import Table

from benchmarks.contestants import OURS
from benchmarks.generate import Load, Message, messages
from benchmarks.ground import Ground, fill
from benchmarks.measure import begun, metrics, total
from benchmarks.report import merge_results, write_section
from benchmarks.surroundings import surroundings
from carbon.factors import FactorTable
from embedded.broker import Broker, free_port
from embedded.children import end, spawn
from producers.factors.release import load_release
from producers.programmes.load import load_programmes
from schemas.batches import column_batches
from schemas.catalogue import TOPICS
from schemas.partition import partition_of
from schemas.raw import Raw
from streams import memory, read, step
from streams.accounts import Accounts
from streams.settings import WorkerSettings
from streams.slice import Slice
from streams.step import Rules
from streams.transfers import FactorNames

LOOK_S: Final = 0.02
NOW_MS: Final = 1_690_000_000_000
PARTITIONS: Final = TOPICS["charging-sessions"].partitions
STAGES: Final[Sequence[tuple[Any, str, str]]] = (
    (read, "decode", "decode: Avro to columns"),
    (read, "activities_of", "take apart: words, instants"),
    (read, "event_hashes", "hash identities"),
    (read, "refusals_of", "refuse broken identities"),
    (step, "partitions_of", "check partitions"),
    (Accounts, "read", "read accounts"),
    (memory.Memory, "remembers", "recognise repeats"),
    (step, "rate_by_programme", "match factors, calculate"),
    (step, "_at_home", "check programmes and memory"),
    (step, "_first_of_each", "repeats within the slice"),
    (step, "fold", "fold into accounts"),
    (step, "transfers_of", "compose transfers"),
)

Rows = list[tuple[str, float]]
"""What, and microseconds for each event."""


@click.command(help="Show where a worker's time goes, for each event.")
@click.option("--events", default=400_000, show_default=True, help="Records of the load.")
@click.option(
    "--accounts", default=50_000, show_default=True, help="Accounts they are spread over."
)
@click.option("--quick", is_flag=True, help="A small load; nothing is written.")
def main(events: int, accounts: int, quick: bool) -> None:
    load = Load(events=min(events, 60_000) if quick else events, accounts=accounts)
    records = [message for chunk in messages(load) for message in chunk]
    tables = {
        "A worker under load, processor time": under_load(records),
        "What it computes, by stage": computed(records),
    }
    console = Console()
    for title, rows in tables.items():
        table = Table("", "µs per event", title=title)
        for what, micros in rows:
            table.add_row(what, f"{micros:.2f}")
        console.print(table)
    if not quick:
        title = f"## Where a worker's time goes\n\n{events:,} events, {accounts:,} accounts."
        parts = [_markdown(name, rows) for name, rows in tables.items()]
        user, system, *_ = (micros for _, micros in next(iter(tables.values())))
        merge_results({"breakdown": {"worker_us": round(user + system, 2)}})
        write_section("breakdown", "\n\n".join([title, *parts, surroundings()]))


def under_load(records: Sequence[Message]) -> Rows:
    """Return the processor time that a worker takes for each event."""
    with (
        tempfile.TemporaryDirectory(prefix="breakdown-") as name,
        Broker.start(Path(name) / "broker") as broker,
    ):
        ground = Ground(
            bootstrap=broker.bootstrap, prefix="breakdown-", folder=Path(name), environ=os.environ
        )
        asyncio.run(fill(ground, records))
        port = free_port()
        child = spawn(
            OURS.command,
            log_path=Path(name) / "worker.log",
            death_signal=signal.SIGKILL,
            environ={**ground.environ, **OURS.environ(ground, port)},
        )
        try:
            return _watched(psutil.Process(child.pid), port, len(records))
        finally:
            end(child, term_s=20.0)


def _watched(process: psutil.Process, port: int, events: int) -> Rows:
    first: tuple[int, Any, list[Any]] | None = None
    while True:
        # As in the comparison: by the first slice that is counted, much else has been worked.
        lines = metrics(port)
        count = total(lines, OURS.counter)
        if first is None and begun(OURS, lines, count, events):
            first = count, process.cpu_times(), process.threads()
        if first is not None and count >= events:
            break
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            raise click.ClickException("the worker ended")
        Event().wait(LOOK_S)
    if count == first[0]:
        raise click.ClickException("the load was done at the first look: use more events")
    done, times, threads = count - first[0], process.cpu_times(), process.threads()
    before = {thread.id: thread.user_time + thread.system_time for thread in first[2]}
    spent = Counter(
        {
            thread.id: thread.user_time + thread.system_time - before.get(thread.id, 0.0)
            for thread in threads
        }
    )
    rows = [
        ("in all, user", times.user - first[1].user),
        ("in all, system", times.system - first[1].system),
        *((f"thread {n}", seconds) for n, (_, seconds) in enumerate(spent.most_common(3), 1)),
    ]
    return [(what, seconds / done * 1e6) for what, seconds in rows]


def computed(records: Sequence[Message]) -> Rows:
    """Return the time of each stage of a slice, for each event."""
    slices, rules = slices_of(records), rules_of_release()
    spent: dict[str, float] = {}
    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in STAGES]
    _work(slices, rules, {})  # Kernels are loaded, caches filled.
    try:
        for owner, name, what in STAGES:
            setattr(owner, name, _timed(getattr(owner, name), what, spent))
        _work(slices, rules, spent)
    finally:
        for owner, name, function in originals:
            setattr(owner, name, function)
    inside = sum(spent[what] for _, _, what in STAGES)
    rest = spent.pop("step") - inside
    rows = [(what, spent.pop(what)) for _, _, what in STAGES]
    rows += [("rest of reading and the step", rest), *spent.items()]
    rows.append(("in all", sum(seconds for _, seconds in rows)))
    return [(what, seconds / len(records) * 1e6) for what, seconds in rows]


def slices_of(records: Sequence[Message]) -> list[Slice]:
    """Return the records as slices of their partitions, as large as a worker's become."""
    size = WorkerSettings().slice_records_max
    by_partition: list[list[Message]] = [[] for _ in range(PARTITIONS)]
    for key, value in records:
        by_partition[partition_of(key, PARTITIONS)].append((key, value))
    slices = []
    for partition, mine in enumerate(by_partition):
        for start in range(0, len(mine), size):
            keys, values = zip(*mine[start : start + size], strict=True)
            offsets = np.arange(start, start + len(keys))
            slices.append(
                Slice(
                    topic="charging-sessions",
                    partition=partition,
                    values=Raw.of(values),
                    keys=Raw.of(keys),
                    offsets=offsets,
                    timestamps_ms=np.full(len(keys), NOW_MS),
                )
            )
    return sorted(slices, key=lambda part: int(part.offsets[0]))


def rules_of_release() -> Rules:
    """Return the shipped rules."""
    factors = FactorTable.of(load_release().factors)
    return Rules(load_programmes(), factors, FactorNames.of(factors), PARTITIONS, 35)


def _work(slices: Sequence[Slice], rules: Rules, spent: dict[str, float]) -> None:
    books = [Accounts() for _ in range(PARTITIONS)]
    run = _timed(lambda part, *by: step.step(read.read(part), *by), "step", spent)
    write = _timed(lambda *args, **options: list(column_batches(*args, **options)), "", spent)
    gc.disable()
    for part in slices:
        outcome = run(part, books[part.partition], rules)
        made = []
        for what, record, rows, key, time_field in (
            (
                "write, compress transfers",
                "transfer",
                outcome.transfers,
                "account_id",
                "recorded_at",
            ),
            (
                "write balances",
                "account_balance",
                outcome.change.balances(),
                "account_id",
                "updated_at",
            ),
        ):
            began = time.perf_counter()
            made += write(
                record,
                rows,
                key=key,
                timestamp=time_field,
                transactional=True,
                pack=record == "transfer",
            )
            spent[what] = spent.get(what, 0.0) + time.perf_counter() - began
        _timed(_packed, "header, checksum", spent)(made)
        _timed(books[part.partition].apply, "take over", spent)(outcome.change)
        gc.collect(0)
    gc.enable()
    spent.pop("", None)


def _packed(batches: Sequence[Any]) -> None:
    for batch in batches:
        batch._set_producer_state(1, 1, 0)
        batch._build()


def _timed(function: Callable[..., Any], what: str, spent: dict[str, float]) -> Callable[..., Any]:
    def timed(*args: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*args, **options)
        finally:
            spent[what] = spent.get(what, 0.0) + time.perf_counter() - began

    return timed


def _markdown(title: str, rows: Rows) -> str:
    lines = [f"| {what} | {micros:.2f} |" for what, micros in rows]
    return "\n".join([f"| {title} | µs per event |", "| --- | --: |", *lines])


if __name__ == "__main__":
    sys.exit(main())
