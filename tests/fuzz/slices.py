"""Slices of mutants through the path a worker's slices take, and what is checked of each.

read -> step -> compose -> apply, as `streams.book` has it; what is composed is read back from the
bytes that would go to the broker. A second book gets the good records alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
from aiokafka.producer.message_accumulator import BatchBuilder

from carbon.refusal import REFUSALS
from schemas.batches import BATCH_BYTES_MAX, SNAPPY, ColumnBatch
from schemas.columns import decode
from schemas.partition import partition_of
from schemas.raw import Raw
from schemas.records import RecordColumns
from streams.accounts import Accounts
from streams.delivery import composed, messages_astray, messages_of_refusals, packed
from streams.read import VALUE_BYTES_MAX, ReadSlice, read
from streams.slice import Slice
from streams.step import Outcome, Rules, step
from tests.fuzz.mutants import Case, case
from tests.fuzz.oracle import Oracle
from tests.fuzz.wire import RECORD_OF
from tests.fuzz.wire import read as read_one
from tests.streams.scene import DAY_MS, SESSIONS, rules

MESSAGE_BYTES_MAX: Final = 1_048_588
"""What a broker takes unless it is told otherwise (`message.max.bytes`)."""
SECONDS_MAX: Final = 5.0
"""Of a slice on a machine that does other things, too; a usual one takes a tenth."""
REASON_MAX: Final = 500
Identity = tuple[str, str, str, int]


@dataclass(frozen=True, slots=True)
class Failure:
    """What was wrong with a record of a slice, or with all of it."""

    number: int
    position: int | None
    what: str


@dataclass(slots=True)
class Books:
    """Accounts that mutants are booked in, and what is known of them."""

    partitions: int
    accounts: Accounts = field(default_factory=Accounts)
    alone: Accounts = field(default_factory=Accounts)
    booked: set[Identity] = field(default_factory=set)
    programmes: dict[str, str] = field(default_factory=dict)
    days: dict[str, tuple[int, int]] = field(default_factory=dict)
    """First and last day on which something of an account was recorded."""
    worked: int = 0
    """Records that were put in."""

    def forgets(self, account: str) -> bool:
        """Return whether so much time lies between an account's events that it may forget some."""
        first, last = self.days.get(account, (0, 0))
        return last - first > self.rules.dedupe_days

    @property
    def rules(self) -> Rules:
        return rules(partitions=self.partitions)


@dataclass(frozen=True, slots=True)
class Delivered:
    """What would go to the broker for a slice."""

    outcome: Outcome
    transfers: pa.RecordBatch
    balances: pa.RecordBatch
    messages: int
    bytes_max: int


@cache
def oracle() -> Oracle:
    """Return the oracle of the shipped rules."""
    return Oracle(rules().programmes, rules().factors.factors)


def part_of(of: Case, first_offset: int, only: list[int] | None = None) -> Slice:
    """Return the slice of a case, or of some of its records at their own offsets."""
    kept = range(len(of.events)) if only is None else only
    events = [of.events[at] for at in kept]
    return Slice(
        topic=of.topic,
        partition=0,
        values=Raw.of([one.value for one in events]),
        keys=Raw.of([one.key for one in events]),
        offsets=first_offset + np.array(list(kept), dtype=np.int64),
        timestamps_ms=np.array([one.timestamp_ms for one in events], dtype=np.int64),
    )


def worked(part: Slice, accounts: Accounts, by: Rules) -> tuple[ReadSlice, Delivered]:
    """Work a slice as a book does, but for the broker."""
    taken = read(part)
    outcome = step(taken, accounts, by)
    transfers, balances = composed(outcome)
    others = list(packed(_builder, messages_of_refusals(part, outcome)))
    for messages in messages_astray(part, outcome, by.partitions).values():
        others += packed(_builder, messages)
    sizes = [one.size() for one in (*transfers, *balances, *others)]
    delivered = Delivered(
        outcome,
        _read_back("transfer", transfers),
        _read_back("account_balance", balances),
        sum(one.record_count() for one in others),
        max(sizes, default=0),
    )
    accounts.apply(outcome.change)
    return taken, delivered


def failures_of(
    number: int, seed: int, books: Books, size: int | None = None, *, first: int | None = None
) -> Iterator[Failure]:
    """Work the slice of a number, or the first records of it, and yield what is wrong with it."""
    made = case(seed, number, partitions=books.partitions, size=size).cut(first)
    part = part_of(made, number * 100_000)
    good = made.good()
    books.worked += len(part)
    began = time.monotonic()
    try:
        taken, delivered = worked(part, books.accounts, books.rules)
    except Exception as error:  # noqa: BLE001 (whatever it is, it is what we look for)
        yield Failure(number, None, f"{type(error).__name__}: {error}")
        return
    seconds = time.monotonic() - began
    if seconds > SECONDS_MAX:
        yield Failure(number, None, f"it took {seconds:.1f} s")
    if delivered.bytes_max > MESSAGE_BYTES_MAX:
        yield Failure(number, None, f"a batch of {delivered.bytes_max} bytes: no broker takes it")
    yield from (Failure(number, None, what) for what in _counts(len(part), delivered))
    yield from (
        Failure(number, at, what) for at, what in _records(made, part, taken, delivered, books)
    )
    if good:
        _, alone = worked(part_of(made, number * 100_000, good), books.alone, books.rules)
        yield from (Failure(number, None, what) for what in _beside(delivered, alone))


def _builder() -> BatchBuilder:
    return BatchBuilder(BATCH_BYTES_MAX, SNAPPY, is_transactional=True)


def _read_back(record: str, batches: list[ColumnBatch]) -> pa.RecordBatch:
    """Return the records of composed batches, from their bytes."""
    values: list[bytes | None] = []
    for batch in batches:
        parts = RecordColumns(
            bytes(batch._builder.build()),
            fetch_offset=0,
            aborted=(),
            read_committed=False,
            check_crcs=True,
            records_max=lambda: 1 << 20,
        )
        for records in parts:
            values += records.values
    found = decode(record, values)
    assert not found.refused, f"we wrote a {record} that cannot be read: {found.refused[0]}"
    return found.batch


def _records(
    made: Case, part: Slice, taken: ReadSlice, delivered: Delivered, books: Books
) -> Iterator[tuple[int, str]]:
    """Yield what is wrong with single records."""
    outcome = delivered.outcome
    refused = {bad.position: bad.code for bad in outcome.refused}
    astray = set(outcome.astray.tolist())
    booked = _booked(delivered.transfers, int(part.offsets[0]))
    row_of = {at: row for row, at in enumerate(taken.positions.tolist())}
    rows = _rows(taken)
    for at, one in enumerate(made.events):
        values, code = read_one(RECORD_OF[made.topic], one.value)
        if one.value is not None and len(one.value) > VALUE_BYTES_MAX:
            values, code = None, "too_large"
        found = refused.get(at) or ("booked" if at in booked else "known")
        found = "astray" if at in astray else found
        if (values is None) == (at in row_of):
            yield at, f"kernels and fastavro disagree: {code or 'fastavro reads it'}, {found}"
        elif values is None:
            if found != code:
                yield at, f"{found} instead of {code}"
        else:
            if wrong := _unlike(made.topic, values, rows, row_of[at]):
                yield at, wrong
            expected = _expected(made.topic, values, one.timestamp_ms, books)
            if found not in expected:
                yield at, f"{found} instead of {' or '.join(sorted(expected))}"
            elif found == "booked":
                yield from ((at, wrong) for wrong in _amounts(made.topic, values, booked[at]))
                _note(made.topic, values, one.timestamp_ms, books)


def _counts(size: int, delivered: Delivered) -> Iterator[str]:
    """Yield what is wrong with a slice as a whole: each record has one outcome, with a reason."""
    outcome = delivered.outcome
    refused = {bad.position for bad in outcome.refused}
    if len(refused) != len(outcome.refused):
        yield "a record is refused twice"
    if size != outcome.booked + outcome.duplicates + len(refused) + len(outcome.astray):
        yield "the counts do not add up"
    if delivered.messages != len(refused) + len(outcome.astray):
        yield "not every refusal or stray is a message"
    if unknown := {bad.code for bad in outcome.refused} - REFUSALS.keys():
        yield f"unknown codes: {unknown}"
    if max((len(bad.reason) for bad in outcome.refused), default=0) > REASON_MAX:
        yield "a reason is longer than anybody reads"
    # An id says nothing of the account: a source that gives two accounts one session makes two
    # transfers of one id, which `carbonflow verify` reports.
    names = [delivered.transfers.column(name).to_pylist() for name in ("account_id", "transfer_id")]
    if len(set(zip(*names, strict=True))) != len(delivered.transfers):
        yield "a transfer is made twice"


def _expected(topic: str, values: Mapping[str, Any], timestamp_ms: int, books: Books) -> set[str]:
    """Return what may become of a record that can be read."""
    said = oracle()
    if codes := said.identity_refusals(topic, values, timestamp_ms):
        return codes
    account = values["account_id"]
    if partition_of(account.encode(), books.partitions) != 0:
        return {"astray"}
    late = {"late_beyond_memory"} if books.forgets(account) else set()
    if _identity(topic, values) in books.booked:
        # What is forgotten may be refused, for any reason that fits; it is never booked again.
        return {"known"} | late | (said.refusals(topic, values, timestamp_ms) if late else set())
    if codes := said.refusals(topic, values, timestamp_ms):
        return codes
    if books.programmes.get(account, values["programme"]) != values["programme"]:
        return {"account_in_other_programme"}
    return {"booked"} | late


def _note(topic: str, values: Mapping[str, Any], timestamp_ms: int, books: Books) -> None:
    account, day = values["account_id"], timestamp_ms // DAY_MS
    books.booked.add(_identity(topic, values))
    books.programmes.setdefault(account, values["programme"])
    first, last = books.days.get(account, (day, day))
    books.days[account] = min(first, day), max(last, day)


def _identity(topic: str, values: Mapping[str, Any]) -> Identity:
    kind, name = ("c", "session_id") if topic == SESSIONS else ("f", "trip_id")
    return kind + values["account_id"], values["source"], values[name], values["revision"]


def _rows(taken: ReadSlice) -> dict[str, list[Any]]:
    """Return what the kernels read, as Python values by field."""
    of, columns = taken.activities, taken.activities.columns
    found: dict[str, list[Any]] = {
        "source": of.source.to_pylist(),
        "account_id": of.account.to_pylist(),
        "revision": of.revision.to_pylist(),
        "session_id": of.activity_id.to_pylist(),
        "trip_id": of.activity_id.to_pylist(),
        "programme": _words(of.programme),
        "vehicle_class": _words(of.vehicle_class),
        "grid_region": _words(of.region),
        "origin_region": _words(of.region),
    }
    numbers = ("energy_wh", "started_at", "ended_at", "departed_at", "arrived_at")
    for name in (*numbers, "distance_m", "cargo_kg", "empty_distance_m"):
        if hasattr(columns, name):
            found[name] = getattr(columns, name).tolist()
    return found


def _words(words: Any) -> list[str]:
    return [words.vocabulary[code] for code in words.codes.tolist()]


def _unlike(
    topic: str, values: Mapping[str, Any], rows: Mapping[str, list[Any]], row: int
) -> str | None:
    skipped = {"trip_id", "origin_region"} if topic == SESSIONS else {"session_id", "grid_region"}
    for name in rows.keys() - skipped:
        if rows[name][row] != values[name]:
            return f"{name} was read as {rows[name][row]!r:.80}, and is {values[name]!r:.80}"
    return None


def _booked(transfers: pa.RecordBatch, first_offset: int) -> dict[int, dict[str, dict[str, Any]]]:
    """Return transfers by position and quantity."""
    names = (
        *("source_offset", "quantity", "amount_mg", "credit_account", "debit_account"),
        *("account_id", "programme", "emissions_mg", "baseline_mg", "transport_kg_km"),
    )
    columns = [transfers.column(name).to_pylist() for name in names]
    booked: dict[int, dict[str, dict[str, Any]]] = {}
    for row in zip(*columns, strict=True):
        one = dict(zip(names, row, strict=True))
        booked.setdefault(one["source_offset"] - first_offset, {})[one["quantity"]] = one
    return booked


def _amounts(
    topic: str, values: Mapping[str, Any], booked: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """Yield how the transfers of an activity differ from what the oracle says."""
    expected = oracle().amounts(topic, values)
    signed = {}
    for quantity, one in booked.items():
        credit = one["credit_account"] == values["account_id"]
        system = "issuance" if quantity == "reduction" else "emission"
        sides = {one["credit_account"], one["debit_account"]}
        if one["amount_mg"] < 0 or sides != {
            values["account_id"],
            f"{values['programme']}:{system}",
        }:
            yield f"the {quantity} moves {one['amount_mg']} between {sides}"
        signed[quantity] = one["amount_mg"] if credit else -one["amount_mg"]
        beside = (one["emissions_mg"], one["baseline_mg"], one["transport_kg_km"])
        if beside != (expected.emissions_mg, expected.baseline_mg, expected.transport_kg_km):
            yield f"{beside} beside the {quantity} instead of {expected}"
    wanted = {"emission": expected.emissions_mg}
    if expected.reduction_mg is not None:
        wanted["reduction"] = expected.reduction_mg
    if signed != wanted:
        yield f"{signed} instead of {wanted}"


def _beside(all_of_it: Delivered, alone: Delivered) -> Iterator[str]:
    """Yield how good records are booked otherwise than without the mutants."""
    for name in ("transfers", "balances"):
        whole, expected = getattr(all_of_it, name), getattr(alone, name)
        good = np.array(
            [text.startswith("good-") for text in whole.column("account_id").to_pylist()],
            dtype=np.bool_,
        )
        if not whole.filter(pa.array(good)).equals(expected):
            yield f"the {name} of good records are others beside mutants"
