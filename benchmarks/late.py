"""`python -m benchmarks.late`: three years of history sent to accounts that have forgotten.

A stack of its own on one machine books half of the events. Then every account gets one of today
and forgets the others. Now the whole history comes, the half that is booked once more and a half
that is new, and all of it is late: it goes through the late lanes, slice by slice, each asked about
in one query once the store holds what was booked before. The clock runs from the first of these
events until all of them are worked and stored; the count of repeats and `verify` say whether each
was told apart.

Prints events per second and writes them to `benchmarks/RESULTS.md` and `benchmarks/results.json`.
Exit status 1 where one was not told apart. `--quick` takes fewer events and writes nothing.
"""

import asyncio
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import click
import numpy as np
import pyarrow as pa
from aiokafka import AIOKafkaProducer
from rich.console import Console

from benchmarks.report import merge_results, write_section
from benchmarks.surroundings import machine
from carbon.exact import Int64Array
from embedded.stack import Stack, StackSettings, running
from producers.client.columns import CarbonflowProducer
from producers.factors.spec import load_factors
from schemas.columns import arrow_schema, encode
from schemas.partition import partitions_of
from sinks.records import Counts
from sinks.verify import Verdict

EVENTS: Final = 200_000
QUICK_EVENTS: Final = 20_000
ACCOUNTS: Final = 2_000
TOPIC: Final = "charging-sessions"
DAY_MS: Final = 86_400_000
HISTORY_MS: Final = 1_609_459_200_000  # 2021
HISTORY_DAYS: Final = 3 * 365
PACKAGES: Final = ("noida-db", "chdb", "aiokafka")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What came of the history.

    Attributes:
        events: How many were sent.
        seconds: From the first until all were worked and stored.
        repeats: How many of them were told to be booked already.
        booked: How many of them were booked.
        verdict: Whether source, ledger and balances agree.
    """

    events: int
    seconds: float
    repeats: int
    booked: int
    verdict: Verdict

    @property
    def events_per_s(self) -> float:
        """Events by the clock on the wall."""
        return self.events / self.seconds

    @property
    def is_right(self) -> bool:
        """Whether each event was told apart."""
        return self.verdict.ok and self.repeats == self.booked == self.events // 2


@click.command(help="Send history to accounts that have forgotten it.")
@click.option("--events", default=EVENTS, show_default=True, help="How many, half of them booked.")
@click.option("--quick", is_flag=True, help="Twenty thousand, and nothing is written.")
def main(events: int, quick: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-late-") as folder:
        run = measure(Path(folder), min(events, QUICK_EVENTS) if quick else events)
    text = told(run)
    Console().print(text, highlight=False)
    if not quick:
        merge_results({"late": results(run)})
        write_section("late", f"## History for accounts that have forgotten\n\n{text}")
    if not run.is_right:
        raise click.ClickException(f"not all events were told apart: {run}")


def measure(folder: Path, events: int) -> Run:
    """Book half of the events, let the accounts forget, and work all of them as late ones."""
    settings = StackSettings(
        data_dir=folder / "data",
        what="benchmarks.late",
        sample=True,
        worker_environ={"CARBONFLOW_DEDUPE_DAYS": "1"},
    )
    now_ms = int(time.time() * 1000)
    with running(settings, tell=print) as stack:
        stack.run(_publish(stack), lambda _: None)
        stack.start_workers()
        numbers = np.arange(events)
        known = sessions(numbers[::2], ended_at=history_ms(numbers[::2], events))
        _work(stack, known, now_ms - 3 * DAY_MS)
        today = np.arange(events, events + ACCOUNTS)
        _work(stack, sessions(today, ended_at=np.full(ACCOUNTS, now_ms)), now_ms)
        before = stack.queries.counts()
        history = sessions(numbers, ended_at=history_ms(numbers, events))
        seconds = _work(stack, history, now_ms)
        return _run(events, seconds, before, stack.queries.counts(), stack.verify())


def _run(events: int, seconds: float, before: Counts, after: Counts, verdict: Verdict) -> Run:
    return Run(
        events=events,
        seconds=seconds,
        repeats=after.duplicates - before.duplicates,
        booked=after.activities - before.activities,
        verdict=verdict,
    )


def history_ms(numbers: Int64Array, events: int) -> Int64Array:
    """Return when sessions of the history ended [ms]: over three years, each account in order."""
    return HISTORY_MS + numbers * (HISTORY_DAYS * DAY_MS // events)


def sessions(numbers: Int64Array, *, ended_at: Int64Array) -> pa.RecordBatch:
    """Return sessions of 20 kWh in Beijing, those next to each other of different accounts."""
    same = {
        "source": "history",
        "programme": "cn-charging",
        "vehicle_class": "car",
        "grid_region": "CN-BJ",
        "meter_side": "grid",
        "current": "ac",
        "operator_id": "cpo",
        "evse_id": "evse",
    }
    n, schema = len(numbers), arrow_schema("charging_session")
    columns: dict[str, pa.Array] = {
        name: pa.array([word] * n, pa.string()) for name, word in same.items()
    }
    columns |= {
        "session_id": pa.array([f"S-{number}" for number in numbers.tolist()]),
        "account_id": pa.array([f"driver-{n % ACCOUNTS:05}" for n in numbers.tolist()]),
        "started_at": pa.array(ended_at - 3_600_000),
        "ended_at": pa.array(ended_at),
        "energy_wh": pa.array(np.full(n, 20_000)),
        "reversal_of": pa.nulls(n, pa.string()),
        "revision": pa.array(np.zeros(n, dtype=np.int32)),
    }
    return pa.RecordBatch.from_arrays(
        [columns[field.name].cast(field.type) for field in schema], schema=schema
    )


def _work(stack: Stack, batch: pa.RecordBatch, timestamp_ms: int) -> float:
    """Send events, wait until they are worked and stored, and return how long it took [s]."""
    values = encode("charging_session", batch)
    begun = time.perf_counter()
    stack.run(_send(stack, batch, values, timestamp_ms), lambda _: None)
    stack.settle(lambda _: None)
    return time.perf_counter() - begun


async def _send(
    stack: Stack, batch: pa.RecordBatch, values: list[bytes], timestamp_ms: int
) -> None:
    """Send events that were recorded at a given time."""
    keys = batch["account_id"].cast(pa.binary()).to_pylist()
    settings, sent = stack.broker_settings, []
    async with AIOKafkaProducer(**settings.client_options(), acks="all") as producer:
        topic = settings.topic(TOPIC)
        count = len(await producer.partitions_for(topic))
        home = partitions_of(batch["account_id"], count)
        for partition in range(count):
            made = producer.create_batch()
            for at in np.flatnonzero(home == partition).tolist():
                one = {"key": keys[at], "value": values[at], "timestamp": timestamp_ms}
                if made.append(**one) is None:
                    sent.append(await producer.send_batch(made, topic, partition=partition))
                    made = producer.create_batch()
                    made.append(**one)
            if made.record_count():
                sent.append(await producer.send_batch(made, topic, partition=partition))
        await asyncio.gather(*sent)


async def _publish(stack: Stack) -> None:
    async with CarbonflowProducer(stack.broker_settings) as producer:
        await producer.publish_factors(load_factors("release:2026.1"))


def told(run: Run) -> str:
    """Return what was measured, for people."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{run.events:,} sessions of three years, sent to {ACCOUNTS:,} accounts that have "
        f"forgotten them, worked and stored in {run.seconds:.1f} s by one worker: "
        f"**{run.events_per_s:,.0f} late events/s**.\n\n"
        f"{run.repeats:,} were repeats, {run.booked:,} were booked, and verify "
        f"{'agrees' if run.verdict.ok else 'disagrees'}.\n\n{machine()}, {versions}"
    )


def results(run: Run) -> dict[str, object]:
    """Return what was measured, for programs."""
    return {
        "events": run.events,
        "events_per_s": round(run.events_per_s),
        "machine": machine(),
        "versions": {name: version(name) for name in PACKAGES},
    }


if __name__ == "__main__":
    main()
