"""Slices of mutants through the path a worker's slices take, and what is checked of each.

read -> step -> check -> compose -> apply, as `streams.book` has it; what is composed is read back
from the bytes that would go to the broker. A second book gets the good records alone.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
from aiokafka.producer.message_accumulator import BatchBuilder

from carbon.refusal import REFUSALS
from schemas.batches import BATCH_BYTES_MAX, ColumnBatch
from schemas.catalogue import LATE_OF
from schemas.columns import decode
from schemas.packing import SNAPPY
from schemas.partition import partition_of
from schemas.raw import Raw
from schemas.records import RecordColumns
from streams.accounts import Accounts
from streams.delivery import (
    composed,
    messages_astray,
    messages_late,
    messages_of_refusals,
    packed,
)
from streams.read import VALUE_BYTES_MAX, ReadSlice, read
from streams.slice import Slice
from streams.step import Outcome, Rules, step
from tests.fuzz.held import Held
from tests.fuzz.kernels import rows_of, unlike
from tests.fuzz.mutants import Case, case
from tests.fuzz.oracle import Oracle
from tests.fuzz.wire import RECORD_OF
from tests.fuzz.wire import read as read_one
from tests.streams.scene import DAY_MS, NOW_MS, SESSIONS, rules

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
    """Accounts that mutants are booked in, and what is known of them.

    With a late lane what is late goes there, and comes back at once with what is booked.
    """

    partitions: int
    late_lane: bool = False
    accounts: Accounts = field(default_factory=Accounts)
    alone: Accounts = field(default_factory=Accounts)
    held: Held = field(default_factory=Held)
    held_alone: Held = field(default_factory=Held)
    booked: set[Identity] = field(default_factory=set)
    programmes: dict[str, str] = field(default_factory=dict)
    days: dict[str, tuple[int, int]] = field(default_factory=dict)
    """First and last day on which something of an account was recorded."""
    worked: int = 0
    """Records that were put in."""
    late: int = 0
    """Records that came back from the lane."""

    def forgets(self, account: str) -> bool:
        """Return whether so much time lies between an account's events that it may forget some."""
        first, last = self.days.get(account, (0, 0))
        return last - first > self.rules.dedupe_days

    @property
    def rules(self) -> Rules:
        return replace(rules(partitions=self.partitions), late_lane=self.late_lane)


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


def back_from_lane(of: Case, part: Slice, late: list[int], booked: set[Identity]) -> Slice:
    """Return the slice of late records as it comes from its lane, knowing what is booked."""
    back = part_of(of, int(part.offsets[0]), late)
    readable = [read_one(RECORD_OF[of.topic], of.events[at].value)[0] or {} for at in late]
    return replace(
        back,
        topic=LATE_OF[of.topic],
        offsets=np.arange(len(late), dtype=np.int64),
        late_from=back.offsets,
        stored=np.array([_identity(of.topic, one) in booked for one in readable], dtype=np.bool_),
    )


def worked(part: Slice, accounts: Accounts, by: Rules, held: Held) -> tuple[ReadSlice, Delivered]:
    """Work a slice as a book does, but for the broker."""
    taken = read(part)
    outcome = step(taken, accounts, by)
    held.check(taken, outcome)
    transfers, balances = composed(outcome)
    others = list(packed(_builder, messages_of_refusals(part, outcome)))
    others += packed(_builder, messages_late(part, outcome, now_ms=NOW_MS))
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
    books.worked += len(part)
    try:
        taken, delivered = yield from _in_time(number, part, books)
        yield from _wrong(number, made, part, taken, delivered, books)
        if good := made.good():
            alone = part_of(made, number * 100_000, good)
            _, beside = worked(alone, books.alone, books.rules, books.held_alone)
            yield from (Failure(number, None, what) for what in _beside(delivered, beside))
        if late := delivered.outcome.late.tolist():
            books.late += len(late)
            back = back_from_lane(made, part, late, books.booked)
            taken, delivered = yield from _in_time(number, back, books)
            if len(delivered.outcome.late):
                yield Failure(number, None, "late again, with what the store has said")
            of = Case(made.topic, [made.events[at] for at in late], [made.how[at] for at in late])
            for one in _wrong(number, of, back, taken, delivered, books):
                position = None if one.position is None else late[one.position]
                yield replace(one, position=position, what=f"back from the lane: {one.what}")
    except Exception as error:  # noqa: BLE001 (whatever it is, it is what we look for)
        yield Failure(number, None, f"{type(error).__name__}: {error}")


def _in_time(
    number: int, part: Slice, books: Books
) -> Generator[Failure, None, tuple[ReadSlice, Delivered]]:
    """Work a slice, and yield that it took too long."""
    began = time.monotonic()
    done = worked(part, books.accounts, books.rules, books.held)
    seconds = time.monotonic() - began
    if seconds > SECONDS_MAX:
        yield Failure(number, None, f"it took {seconds:.1f} s")
    return done


def _wrong(
    number: int, made: Case, part: Slice, taken: ReadSlice, delivered: Delivered, books: Books
) -> Iterator[Failure]:
    """Yield what is wrong with a slice that was worked."""
    if delivered.bytes_max > MESSAGE_BYTES_MAX:
        yield Failure(number, None, f"a batch of {delivered.bytes_max} bytes: no broker takes it")
    yield from (Failure(number, None, what) for what in _counts(len(part), delivered))
    yield from (Failure(number, None, what) for what in books.held.wrong())
    for at, what in _records(made, part, taken, delivered, books):
        yield Failure(number, at, what)


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
    late = set(outcome.late.tolist())
    booked = _booked(delivered.transfers, part)
    row_of = {at: row for row, at in enumerate(taken.positions.tolist())}
    rows = rows_of(taken)
    for at, one in enumerate(made.events):
        values, code = read_one(RECORD_OF[made.topic], one.value)
        if one.value is not None and len(one.value) > VALUE_BYTES_MAX:
            values, code = None, "too_large"
        found = refused.get(at) or ("booked" if at in booked else "known")
        found = "astray" if at in astray else "late" if at in late else found
        if (values is None) == (at in row_of):
            yield at, f"kernels and fastavro disagree: {code or 'fastavro reads it'}, {found}"
        elif values is None:
            if found != code:
                yield at, f"{found} instead of {code}"
        else:
            if wrong := unlike(made.topic, values, rows, row_of[at]):
                yield at, wrong
            is_back = part.late_from is not None
            expected = _expected(made.topic, values, one.timestamp_ms, books, is_back=is_back)
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
    moved = len(outcome.astray) + len(outcome.late)
    if size != outcome.booked + outcome.duplicates + len(refused) + moved:
        yield "the counts do not add up"
    if delivered.messages != len(refused) + moved:
        yield "not every refusal, stray or late record is a message"
    if unknown := {bad.code for bad in outcome.refused} - REFUSALS.keys():
        yield f"unknown codes: {unknown}"
    if max((len(bad.reason) for bad in outcome.refused), default=0) > REASON_MAX:
        yield "a reason is longer than anybody reads"
    # An id says nothing of the account: a source that gives two accounts one session makes two
    # transfers of one id, which `carbonflow verify` reports.
    names = [delivered.transfers.column(name).to_pylist() for name in ("account_id", "transfer_id")]
    if len(set(zip(*names, strict=True))) != len(delivered.transfers):
        yield "a transfer is made twice"


def _expected(
    topic: str, values: Mapping[str, Any], timestamp_ms: int, books: Books, *, is_back: bool
) -> set[str]:
    """Return what may become of a record that can be read; of one from the lane all is known."""
    said = oracle()
    if codes := said.identity_refusals(topic, values, timestamp_ms):
        return codes
    account = values["account_id"]
    if partition_of(account.encode(), books.partitions) != 0:
        return {"astray"}
    late = {"late" if books.late_lane else "late_beyond_memory"}
    if is_back or not books.forgets(account):
        late = set()
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


def _booked(transfers: pa.RecordBatch, part: Slice) -> dict[int, dict[str, dict[str, Any]]]:
    """Return transfers by position and quantity."""
    position_of = {offset: at for at, offset in enumerate(part.source_offsets.tolist())}
    names = (
        *("source_offset", "quantity", "amount_mg", "credit_account", "debit_account"),
        *("account_id", "programme", "emissions_mg", "baseline_mg", "transport_kg_km"),
    )
    columns = [transfers.column(name).to_pylist() for name in names]
    booked: dict[int, dict[str, dict[str, Any]]] = {}
    for row in zip(*columns, strict=True):
        one = dict(zip(names, row, strict=True))
        booked.setdefault(position_of[one["source_offset"]], {})[one["quantity"]] = one
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
