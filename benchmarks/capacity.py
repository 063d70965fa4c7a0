"""`python -m benchmarks.capacity`: what a deployment needs, from what was measured.

Takes the cost of an event from `results.json` (the benchmarks `breakdown` and `sink` put it
there), measures here how many bytes a record takes on the broker and in the store, applies the
formulas of docs/capacity.md to three deployments and puts the table there.
"""

import json
import math
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import pyarrow as pa
from rich.console import Console

from benchmarks.breakdown import rules_of_release, slices_of
from benchmarks.contestants import ROOT
from benchmarks.generate import Load, messages
from benchmarks.report import RESULTS, with_section
from embedded.store import Store
from schemas.batches import ColumnBatch, column_batches
from schemas.columns import decode, encode
from schemas.raw import Raw
from sinks.latest import LatestBalances
from sinks.migrate import migrate
from streams.accounts import Accounts
from streams.read import read
from streams.step import step

PAGE: Final = ROOT / "docs" / "capacity.md"
DAY_S: Final = 86_400
DEDUPE_DAYS: Final = 35
PEAK: Final = 4
"""The busiest minute has so many times the events of an average one."""

BUSY: Final = 0.5
"""Share of a core that is planned for: the rest is for catching up after a fault."""

REPLICAS: Final = 3
KEPT_DAYS: Final = 7
"""How long the activity topics are kept."""

SINK_ROWS: Final = 4
"""Rows that an event leads to: itself, two transfers, and its account's balance."""

SEEN_BYTES: Final = 12
SEEN_ROOM: Final = 1.25
BROKER_BYTES_PER_S: Final = 50_000_000
"""What one broker is planned to take in, copies included."""

EVENTS: Final = 400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What was measured: of an event unless it says otherwise."""

    worker_us: float
    sink_us_per_row: float
    account_bytes: float
    """Memory of an account that remembers nothing yet."""
    at_hand_bytes: float
    """Memory of a balance in an API process."""
    source_bytes: float
    transfers_bytes: float
    balance_bytes: float
    """A balance record of an account that remembers 20 events."""
    store_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A deployment to plan for."""

    name: str
    accounts: int
    events_per_day: int


DEPLOYMENTS: Final = (
    Deployment(name="1 million drivers", accounts=1_000_000, events_per_day=2_000_000),
    Deployment(name="100 million users", accounts=100_000_000, events_per_day=50_000_000),
    Deployment(name="1 billion events a day", accounts=100_000_000, events_per_day=1_000_000_000),
)


@click.command(help="Show what deployments need, from what was measured.")
@click.option("--quick", is_flag=True, help="Measure little, and write nothing.")
def main(quick: bool) -> None:
    results = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    costs = measured(results, EVENTS // 10 if quick else EVENTS)
    table = _markdown(
        [
            ["", *(each.name for each in DEPLOYMENTS)],
            *([name, *values] for name, *values in rows(costs)),
        ]
    )
    console = Console(width=120)
    console.print(table, markup=False, highlight=False)
    if not quick:
        page = with_section(PAGE.read_text("utf-8"), "measured", _costs(costs))
        PAGE.write_text(with_section(page, "deployments", table), "utf-8")


def rows(costs: Costs) -> Iterable[list[str]]:
    """Yield the lines of the table: a name, then a value for each deployment."""
    plans = [plan(each, costs) for each in DEPLOYMENTS]
    for name in plans[0]:
        yield [name, *(each[name] for each in plans)]


def plan(on: Deployment, costs: Costs) -> dict[str, str]:
    """Return what a deployment needs; the formulas are those of docs/capacity.md."""
    peak_per_s = on.events_per_day * PEAK / DAY_S
    remembered = on.events_per_day * DEDUPE_DAYS / on.accounts
    worker_cores = peak_per_s * costs.worker_us / 1e6 / BUSY
    sink_cores = peak_per_s * SINK_ROWS * costs.sink_us_per_row / 1e6 / BUSY
    account = costs.account_bytes + remembered * SEEN_BYTES * SEEN_ROOM
    memory = on.accounts * account
    workers = max(1, math.ceil(worker_cores), math.ceil(memory / 8e9))
    balance = costs.balance_bytes * max(1.0, remembered / 20)
    written = costs.source_bytes + costs.transfers_bytes + balance
    brokers_bytes_per_s = peak_per_s * written * REPLICAS
    day_bytes = on.events_per_day * REPLICAS
    return {
        "accounts": f"{on.accounts:,}",
        "events a second, on average and at the peak": (
            f"{on.events_per_day / DAY_S:,.0f}, {peak_per_s:,.0f}"
        ),
        "worker cores": f"{worker_cores:.2f}",
        "sink cores": f"{sink_cores:.2f}",
        "events an account remembers": f"{remembered:,.1f}",
        "memory of all accounts": _size(memory),
        "memory of an API process, with all balances at hand": _size(
            on.accounts * costs.at_hand_bytes
        ),
        "workers (processes of a core, at most 8 GB each)": f"{workers}",
        "partitions (twice the workers, at least 4)": f"{max(4, 2 * workers)}",
        f"broker disk: activities of {KEPT_DAYS} days": _size(
            day_bytes * costs.source_bytes * KEPT_DAYS
        ),
        "broker disk: transfers of a year": _size(day_bytes * costs.transfers_bytes * 365),
        "broker disk: balances, compacted": _size(2 * on.accounts * balance * REPLICAS),
        "brokers write at the peak, copies included": f"{brokers_bytes_per_s / 1e6:,.1f} MB/s",
        "brokers": f"{max(REPLICAS, math.ceil(brokers_bytes_per_s / BROKER_BYTES_PER_S))}",
        "store disk a year, one copy": _size(on.events_per_day * costs.store_bytes * 365),
    }


def measured(results: Mapping[str, Any], events: int) -> Costs:
    """Return the costs: times from earlier results, bytes measured now.

    Raises:
        ClickException: A benchmark whose result is needed has not been run.
    """
    try:
        sink = results["sink"]["rows_per_cpu_s"]["chdb"]
        worker_us = float(results["breakdown"]["worker_us"])
    except KeyError as missing:
        raise click.ClickException(
            f"results.json has no {missing}: run benchmarks.breakdown and benchmarks.sink first"
        ) from None
    load = Load(events=events, accounts=events // 20)
    slices = slices_of([message for chunk in messages(load) for message in chunk])
    rules, accounts = rules_of_release(), {part.partition: Accounts() for part in slices}
    at_hand = LatestBalances()
    source = transfers = 0.0
    balances: list[float] = []
    stored: list[tuple[str, pa.Table]] = []
    for part in slices:
        outcome = step(read(part), accounts[part.partition], rules)
        accounts[part.partition].apply(outcome.change)
        source += float(part.values.sizes.sum() + part.keys.sizes.sum()) + 12 * len(part)
        transfers += _bytes(
            column_batches(
                "transfer",
                outcome.transfers,
                key="account_id",
                timestamp="recorded_at",
                transactional=True,
            )
        )
        rows_of_balances = outcome.change.balances()
        at_hand.take(Raw.of(encode("account_balance", rows_of_balances)))
        size = _bytes(
            column_batches(
                "account_balance",
                rows_of_balances,
                key="account_id",
                timestamp="updated_at",
                transactional=True,
                pack=False,
            )
        )
        balances.append(size / max(1, len(outcome.change)))
        sessions = decode("charging_session", part.values).batch
        stored += [
            ("charging_sessions", _table(sessions)),
            ("transfers", _table(outcome.transfers)),
        ]
    return Costs(
        worker_us=worker_us,
        sink_us_per_row=1e6 / float(np.median(sink)),
        account_bytes=_account_bytes(accounts[0]),
        at_hand_bytes=at_hand.nbytes / len(at_hand),
        source_bytes=source / events,
        transfers_bytes=transfers / events,
        balance_bytes=balances[-1],
        store_bytes=_stored_bytes(stored) / events,
    )


def _account_bytes(accounts: Accounts) -> float:
    """Return the memory of an account without what it remembers: that comes on top."""
    arrays = {name: each for name, each in vars(accounts).items() if isinstance(each, np.ndarray)}
    room = sum(each.nbytes for name, each in arrays.items() if name not in {"_seen", "_seen_days"})
    return float(room + accounts._names.nbytes) / len(accounts)


def _bytes(batches: Iterable[ColumnBatch]) -> int:
    return sum(batch.size() for batch in batches)


def _table(batch: pa.RecordBatch) -> pa.Table:
    """Return rows as the sink inserts them, strings spelt out."""
    columns = [
        column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        for column in batch.columns
    ]
    table = pa.table(columns, names=batch.schema.names)
    n = batch.num_rows
    return (
        table.append_column("_partition", pa.array(np.zeros(n, dtype=np.int32)))
        .append_column("_offset", pa.array(np.arange(n)))
        .append_column("_timestamp", pa.array(np.full(n, 1_690_000_000_000), pa.timestamp("ms")))
    )


def _stored_bytes(stored: Iterable[tuple[str, pa.Table]]) -> int:
    """Return the bytes that the store keeps of some rows."""
    by_table: dict[str, list[pa.Table]] = {}
    for name, table in stored:
        by_table.setdefault(name, []).append(table)
    with (
        tempfile.TemporaryDirectory(prefix="capacity-") as folder,
        Store.open(Path(folder) / "store") as store,
    ):
        migrate(store.writer, database="carbonflow")
        for name, tables in by_table.items():
            store.writer.insert_arrow(name, pa.concat_tables(tables), database="carbonflow")
        (size,) = store.writer.query(
            "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'carbonflow'"
        ).result_rows[0]
        return int(size)


def _costs(costs: Costs) -> str:
    return _markdown(
        [
            ["measured", "", "printed by"],
            ["worker", f"{costs.worker_us:.2f} µs of a core per event", "`benchmarks.breakdown`"],
            ["sink", f"{costs.sink_us_per_row:.2f} µs of a core per row", "`benchmarks.sink`"],
            ["account, in memory", f"{costs.account_bytes:,.0f} bytes", "`benchmarks.capacity`"],
            ["balance at hand, in memory", f"{costs.at_hand_bytes:,.0f} bytes", ""],
            ["event remembered", f"{SEEN_BYTES} bytes, {SEEN_ROOM:g} times that with room", ""],
            ["activity record", f"{costs.source_bytes:,.0f} bytes", ""],
            ["transfers of an event", f"{costs.transfers_bytes:,.0f} bytes, compressed", ""],
            [
                "balance record",
                f"{costs.balance_bytes:,.0f} bytes, compressed, with 20 events remembered",
                "",
            ],
            ["store", f"{costs.store_bytes:,.0f} bytes per event, compressed", ""],
        ]
    )


def _size(size: float) -> str:
    for unit, bytes_of_unit in (("TB", 1e12), ("GB", 1e9)):
        if size >= bytes_of_unit:
            return f"{size / bytes_of_unit:,.1f} {unit}"
    return f"{size / 1e6:,.0f} MB"


def _markdown(table: list[list[str]]) -> str:
    head, *body = table
    rule = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *body))


if __name__ == "__main__":
    main()
