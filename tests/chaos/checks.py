"""Checks: what Kafka and the store hold at the end, against what the oracle says.

Each compares everything, and gives what differs; nothing is rounded or sampled.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from schemas.settings import BrokerSettings
from schemas.singles import decode_one
from sinks.connect import StoreSettings, connect
from tests.chaos.oracle import Balance, Oracle

SHOWN_MAX: Final = 5
PARTS: Final = 16
"""In how many parts the ledger is read, so that no answer is large."""
READ_S_MAX: Final = 1_800.0
VERIFY_S_MAX: Final = 600.0
BALANCE: Final = tuple(Balance.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be so.

    Attributes:
        name: What.
        wrong: In what it is not so; empty where it is.
    """

    name: str
    wrong: tuple[str, ...] = ()


def each_once(name: str, found: Iterable[tuple[str, int]], amounts: Mapping[str, int]) -> Check:
    """Check that every transfer is found exactly once, with its amount."""
    left, wrong = dict(amounts), Counter[str]()
    first: dict[str, str] = {}
    for transfer_id, amount in found:
        expected = left.pop(transfer_id, None)
        if expected is None:
            what = "found twice" if transfer_id in amounts else "unknown"
        elif expected != amount:
            what = "of another amount"
        else:
            continue
        wrong[what] += 1
        first.setdefault(what, transfer_id)
    if left:
        wrong["missing"] = len(left)
        first["missing"] = next(iter(left))
    return Check(name, tuple(f"{count} {what}: {first[what]}" for what, count in wrong.items()))


def same(name: str, found: Mapping[str, Any], expected: Mapping[str, Any]) -> Check:
    """Check that two mappings are equal."""
    keys = sorted(found.keys() | expected.keys())
    differ = [key for key in keys if found.get(key) != expected.get(key)]
    told = [
        f"{key}: expected {expected.get(key)}, found {found.get(key)}"
        for key in islice(differ, SHOWN_MAX)
    ]
    return Check(name, (f"{len(differ)} differ", *told) if differ else ())


async def checks_of_kafka(
    settings: BrokerSettings, partitions: int, oracle: Oracle
) -> AsyncIterator[Check]:
    """Yield what `transfers`, `account-balances` and `refusals` come to."""
    transfers: list[tuple[str, int]] = []
    given, taken = Counter[str](), Counter[str]()
    async for message in _read(settings, "transfers", partitions):
        transfer: dict[str, Any] = decode_one(message.value)[1]
        transfers.append((transfer["transfer_id"], _signed(transfer)))
        given[transfer["debit_account"]] += transfer["amount_mg"]
        taken[transfer["credit_account"]] += transfer["amount_mg"]
    yield each_once("each transfer is in Kafka exactly once", transfers, oracle.amounts)
    latest: dict[str, dict[str, Any]] = {}
    async for message in _read(settings, "account-balances", partitions):
        balance: dict[str, Any] = decode_one(message.value)[1]
        latest[balance["account_id"]] = {name: balance[name] for name in BALANCE}
    yield same("the latest balances in Kafka are the oracle's", latest, _balances(oracle))
    # What accounts hold by their balances against what left the system accounts by the transfers.
    left = Counter[str]()
    for account in {*given, *taken} - {*latest}:
        left[account] = given[account] - taken[account]
    hold = Counter[str]()
    for balance in latest.values():
        hold[f"{balance['programme']}:emission"] += balance["emissions_mg"]
        hold[f"{balance['programme']}:issuance"] += balance["reduction_mg"]
    yield same("debits equal credits", left, hold)
    refused, places = Counter[str](), Counter[tuple[bytes, ...]]()
    async for message in _read(settings, "refusals", partitions):
        headers = dict(message.headers)
        refused[headers["code"].decode()] += 1
        places[headers["topic"], headers["partition"], headers["offset"]] += 1
    yield same("refusals in Kafka are the oracle's", refused, oracle.refused)
    twice = [str(place) for place, times in places.items() if times > 1]
    yield Check("no record is refused twice", tuple(twice[:SHOWN_MAX]))


def checks_of_store(url: str, oracle: Oracle) -> Iterable[Check]:
    """Yield what the store holds."""
    client = connect(StoreSettings(clickhouse_url=url))
    try:
        yield each_once(
            "each transfer is in the store exactly once",
            (
                (str(transfer_id), int(amount))
                for part in range(PARTS)
                for transfer_id, amount in client.query(
                    "SELECT transfer_id, if(credit_account = account_id, amount_mg, -amount_mg) "
                    f"FROM carbonflow.ledger WHERE cityHash64(transfer_id) % {PARTS} = {part}"
                ).result_rows
            ),
            oracle.amounts,
        )
        fields = ", ".join(BALANCE[:-1])
        rows = client.query(
            f"SELECT account_id, {fields}, toUnixTimestamp64Milli(last_booked_at) "
            "FROM carbonflow.accounts"
        ).result_rows
        found = {row[0]: dict(zip(BALANCE, row[1:], strict=True)) for row in rows}
        yield same("balances in the store are the oracle's", found, _balances(oracle))
        rows = client.query("SELECT code FROM carbonflow.refused").result_rows
        refused = Counter(code for (code,) in rows)
        yield same("refusals in the store are the oracle's", refused, oracle.refused)
    finally:
        client.close()


async def check_verify(settings: BrokerSettings, store_url: str) -> Check:
    """Check that `carbonflow verify` says ok."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli.main", "verify"),
        *("--clickhouse", store_url, "--bootstrap", settings.bootstrap),
        env={**os.environ, "CARBONFLOW_PREFIX": settings.prefix},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(child.communicate(), VERIFY_S_MAX)
    is_ok = child.returncode == 0 and said.decode().strip() == "verify: ok"
    return Check("carbonflow verify says ok", () if is_ok else (said.decode(),))


async def _read(settings: BrokerSettings, name: str, partitions: int) -> AsyncIterator[Any]:
    """Yield the committed records of a topic; those of a partition in order."""
    places = [TopicPartition(settings.topic(name), number) for number in range(partitions)]
    consumer = AIOKafkaConsumer(
        **settings.client_options(),
        group_id=None,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        consumer.assign(places)
        async with asyncio.timeout(READ_S_MAX):
            for place, last in (await consumer.end_offsets(places)).items():
                while await consumer.position(place) < last:
                    for records in (await consumer.getmany(timeout_ms=200)).values():
                        for record in records:
                            yield record
    finally:
        await consumer.stop()


def _balances(oracle: Oracle) -> dict[str, dict[str, Any]]:
    return {account: asdict(balance) for account, balance in oracle.balances.items()}


def _signed(transfer: Mapping[str, Any]) -> int:
    """Return what a transfer adds to its account [mg]."""
    toward = transfer["credit_account"] == transfer["account_id"]
    return int(transfer["amount_mg"] if toward else -transfer["amount_mg"])
