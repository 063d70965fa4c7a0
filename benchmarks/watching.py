"""Watching probes come out: at the worker's end, and over the API.

A probe's latency counts from when it was due, not from when it could be sent, to when whoever
asked had the answer. All probes that are out are asked for in one request, so that the watcher
costs the stack the same however late they are.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Final

import aiohttp
import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.pacing import Float64s, Quantiles, quantiles
from benchmarks.probes import ProbeAccounts, is_probe, probe_of
from schemas.columns import decode
from schemas.pacing import pace

ASK_EVERY_S: Final = 0.01
RECORDS_MAX: Final = 4_000
GRACE_S: Final = 10.0


@dataclass(slots=True)
class Watch:
    """Probes and when each was seen [s]; not a number while it was not."""

    accounts: ProbeAccounts
    due_s: Float64s
    seen_s: Float64s = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is seen yet."""
        self.seen_s = np.full(len(self.due_s), np.nan)

    @property
    def deadline_s(self) -> float:
        """When nothing more is waited for."""
        return float(self.due_s[-1]) + GRACE_S

    def out(self, now_s: float) -> list[int]:
        """Return the probes that are due and not seen."""
        due = int(np.searchsorted(self.due_s, now_s, side="right"))
        return np.flatnonzero(np.isnan(self.seen_s[:due])).tolist()

    def saw(self, probe: int, now_s: float) -> None:
        """Note that a probe is seen; only the first time counts."""
        if np.isnan(self.seen_s[probe]):
            self.seen_s[probe] = now_s

    def is_done(self, now_s: float) -> bool:
        """Return whether all are seen, or no more is waited for."""
        return now_s > self.deadline_s or not np.isnan(self.seen_s).any()

    def latencies(self, *, warm_s: float) -> Quantiles:
        """Return the latencies of the probes due after the first `warm_s` seconds."""
        counted = self.due_s >= self.due_s[0] + warm_s
        lost = np.isnan(self.seen_s) & counted
        seen_s = np.where(np.isnan(self.seen_s), self.deadline_s, self.seen_s)
        return quantiles((seen_s - self.due_s)[counted], lost=int(lost.sum()))


async def watch_balances(api_url: str, watch: Watch) -> None:
    """Ask the API for the balances of the probes that are out, until all are seen."""
    async with aiohttp.ClientSession(api_url) as session:
        while not watch.is_done(time.monotonic()):
            out = watch.out(time.monotonic())
            if out:
                counts = await _session_counts(session, {watch.accounts.of(each) for each in out})
                now_s = time.monotonic()
                for probe in out:
                    if counts.get(watch.accounts.of(probe), 0) >= watch.accounts.ordinal(probe):
                        watch.saw(probe, now_s)
            await asyncio.sleep(ASK_EVERY_S)


async def _session_counts(session: aiohttp.ClientSession, accounts: set[str]) -> dict[str, int]:
    async with session.post("/v1/balances", json={"account_ids": sorted(accounts)}) as answer:
        answer.raise_for_status()
        balances = (await answer.json())["balances"]
    return {balance["account_id"]: balance["session_count"] for balance in balances}


async def watch_transfers(bootstrap: str, partitions: int, watch: Watch) -> None:
    """Read committed transfers from the first on, until those of all probes are seen."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    async with consumer:
        pace(consumer)
        consumer.assign([TopicPartition("transfers", number) for number in range(partitions)])
        while not watch.is_done(time.monotonic()):
            fetched = await consumer.getmany(timeout_ms=100, max_records=RECORDS_MAX)
            now_s = time.monotonic()
            values = [
                record.value
                for records in fetched.values()
                for record in records
                if is_probe(record.key)
            ]
            if values:
                for session in decode("transfer", values).batch["activity_id"].to_pylist():
                    watch.saw(probe_of(session), now_s)
