"""What is delivered for a slice fits through a broker, whatever the slice holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from random import Random
from typing import Any, Final

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from carbon.limits import FOREVER_MS, TEXT_BYTES_MAX
from schemas.batches import BATCH_BYTES_MAX
from schemas.catalogue import LATE_OF
from schemas.packing import SNAPPY
from schemas.partition import partition_of
from schemas.traceparents import TRACEPARENT
from streams.accounts import Accounts
from streams.delivery import (
    Message,
    composed,
    messages_astray,
    messages_late,
    messages_of_refusals,
    packed,
)
from streams.read import VALUE_BYTES_MAX
from streams.slice import NotOurs, Slice
from tests.streams.scene import (
    DAY_MS,
    NOW_MS,
    SESSIONS,
    Event,
    event,
    part_of,
    refused,
    rules,
    session,
    work,
)
from tests.wire import fetched_from

MESSAGE_BYTES_MAX: Final = 1_048_588
"""What a broker takes unless it is told otherwise (`message.max.bytes`)."""
SPAN: Final = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def noise(size: int) -> bytes:
    """Return bytes that cannot be made smaller."""
    return Random(size).randbytes(size)


def text(size: int) -> str:
    return noise(size // 2).hex()


def batches(messages: Iterable[Message]) -> list[Any]:
    def create() -> BatchBuilder:
        return BatchBuilder(BATCH_BYTES_MAX, SNAPPY, is_transactional=True)

    return list(packed(create, messages))


def records_in(made: list[Any]) -> list[Any]:
    return [one for each in made for one in DefaultRecordBatch(bytes(each._builder.build()))]


@pytest.mark.parametrize("name", ["session_id", "source", "account_id"])
def test_a_text_that_would_not_fit_into_a_transfer_is_refused(name: str) -> None:
    long = event(session(**{name: text(VALUE_BYTES_MAX - 1_000)}))
    outcome = work(Accounts(), part_of([long, event(session())]))
    assert refused(outcome) == [(0, "identity_too_long")]
    assert outcome.booked == 1


@pytest.mark.parametrize("name", ["session_id", "source", "account_id"])
def test_the_longest_texts_are_booked_and_fit(name: str) -> None:
    longest, longer = text(TEXT_BYTES_MAX), text(TEXT_BYTES_MAX) + "x"
    events = [event(session(**{name: longest})), event(session(**{name: longer}))]
    outcome = work(Accounts(), part_of(events))
    assert refused(outcome) == [(1, "identity_too_long")]
    transfers, balances = composed(outcome)
    assert max(batch.size() for batch in (*transfers, *balances)) < MESSAGE_BYTES_MAX


def test_the_length_that_counts_is_that_in_bytes() -> None:
    outcome = work(Accounts(), part_of([event(session(account_id="é" * TEXT_BYTES_MAX))]))
    assert refused(outcome) == [(0, "identity_too_long")]


def test_a_refusal_fits_however_large_key_and_value_are() -> None:
    part = part_of([Event(noise(2_000_000), key=noise(2_000_000))])
    (made,) = batches(messages_of_refusals(part, work(Accounts(), part)))
    assert made.size() < MESSAGE_BYTES_MAX
    (record,) = records_in([made])
    headers = {name: value.decode() for name, value in record.headers}
    assert headers["code"] == "too_large"
    assert (headers["bytes"], headers["key_bytes"]) == ("2000000", "2000000")
    assert noise(2_000_000).startswith(record.key)
    assert noise(2_000_000).startswith(record.value)


def test_a_refusal_of_usual_size_keeps_its_key_whole() -> None:
    part = part_of([Event(b"{}", key=noise(1_000))])
    (record,) = records_in(batches(messages_of_refusals(part, work(Accounts(), part))))
    assert (record.key, record.value) == (noise(1_000), b"{}")
    assert "key_bytes" not in dict(record.headers)


def test_the_largest_stray_fits_with_its_key() -> None:
    fields = session(account_id=text(TEXT_BYTES_MAX))
    key = str(fields["account_id"]).encode()
    room = VALUE_BYTES_MAX - len(event(fields).value or b"") - 10
    stray = event({**fields, "operator_id": text(room)})
    astray_from = 1 - partition_of(key, 2)
    part = part_of([stray], partition=astray_from)
    outcome = work(Accounts(), part, rules(partitions=2))
    ((partition, messages),) = messages_astray(part, outcome, 2).items()
    (made,) = batches(messages)
    assert partition == 1 - astray_from
    assert made.size() < MESSAGE_BYTES_MAX


def forgetful() -> tuple[Accounts, int]:
    """Return accounts of which anna has forgotten something, and when she did."""
    accounts, later_ms = Accounts(), NOW_MS + 40 * DAY_MS
    work(accounts, part_of([event(session())]))
    fresh = session(session_id="S2", started_at=later_ms, ended_at=later_ms)
    assert work(accounts, part_of([event(fresh, later_ms)])).booked == 1
    return accounts, later_ms


def test_a_late_record_comes_back_as_it_was_and_says_where_it_lies() -> None:
    accounts, later_ms = forgetful()
    late = event(session(session_id="S3"), later_ms)
    events = [event(session(account_id="bert"), later_ms), late]
    part = part_of(events, first_offset=70)
    outcome = work(accounts, part, replace(rules(), late_lane=True))
    (made,) = batches(messages_late(part, outcome, now_ms=later_ms + 5))
    records = fetched_from(made._builder.build())
    back = Slice.of(LATE_OF[SESSIONS], 0, records)
    assert (list(back.values), list(back.keys)) == ([late.value], [late.key])
    # The broker keeps it by the time of today, the books have its own.
    assert records.timestamps_ms.tolist() == [later_ms + 5]
    assert back.timestamps_ms.tolist() == [later_ms]
    assert (back.source_topic, back.source_offsets.tolist()) == (SESSIONS, [71])
    with pytest.raises(NotOurs, match="late_from is b'0:71:"):
        Slice.of(LATE_OF[SESSIONS], 1, records)


def test_the_largest_late_record_fits_with_the_largest_key() -> None:
    accounts, later_ms = forgetful()
    fields = session(session_id="S3")
    room = VALUE_BYTES_MAX - len(event(fields).value or b"") - 10
    large = event({**fields, "operator_id": text(room)}, later_ms)
    part = part_of([replace(large, key=noise(2_000_000))])
    outcome = work(accounts, part, replace(rules(), late_lane=True))
    (made,) = batches(messages_late(part, outcome, now_ms=later_ms))
    assert made.size() < MESSAGE_BYTES_MAX


def sent_in(part: Slice, span: bytes) -> Slice:
    """Return a slice whose records were sent in a span."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 1 << 24)
    for at in range(len(part)):
        builder.append(at, 1, part.keys[at], part.values[at], [(TRACEPARENT, span)])
    records = fetched_from(builder.build())
    return replace(part, values=records.values, headers_at=records.headers_at)


@pytest.mark.parametrize(("span", "kept"), [(SPAN, [SPAN]), (b"x" * 2_000_000, [])])
def test_a_span_goes_with_a_record_wherever_it_goes(span: bytes, kept: list[bytes]) -> None:
    accounts, later_ms = forgetful()
    late = sent_in(part_of([event(session(session_id="S3"), later_ms)]), span)
    outcome = work(accounts, late, replace(rules(), late_lane=True))
    (message,) = messages_late(late, outcome, now_ms=later_ms)
    assert [value for name, value in message[3] if name == TRACEPARENT] == kept
    astray = sent_in(part_of([event(session())], partition=1 - partition_of(b"anna", 2)), span)
    outcome = work(Accounts(), astray, rules(partitions=2))
    (((*_, headers),),) = messages_astray(astray, outcome, 2).values()
    assert [value for name, value in headers if name == TRACEPARENT] == kept


def test_the_first_of_each_kind_says_in_which_span_the_slice_was_worked() -> None:
    events = [event(session(account_id=f"a{number}")) for number in range(20_000)]
    part = part_of([*events, Event(b"{}"), Event(b"{}")])
    outcome = work(Accounts(), part)
    refusals = batches(messages_of_refusals(part, outcome, SPAN.decode()))
    for made, plain in zip(
        (*composed(outcome, SPAN.decode()), refusals),
        (*composed(outcome), batches(messages_of_refusals(part, outcome))),
        strict=True,
    ):
        first, *others = records_in(made)
        assert dict(first.headers)[TRACEPARENT] == SPAN
        assert TRACEPARENT not in {name for one in others for name, _ in one.headers}
        told = [(one.offset, one.timestamp, one.key, one.value) for one in (first, *others)]
        assert told == [
            (one.offset, one.timestamp, one.key, one.value) for one in records_in(plain)
        ]


@pytest.mark.parametrize("timestamp_ms", [-1, -(2**63), 2**63 - 1, FOREVER_MS])
def test_a_refusal_of_an_impossible_time_has_a_possible_one(timestamp_ms: int) -> None:
    part = part_of([Event(b"{}"), Event(b"{}", timestamp_ms), Event(b"{}")])
    records = records_in(batches(messages_of_refusals(part, work(Accounts(), part))))
    assert [0 <= one.timestamp < FOREVER_MS for one in records] == [True] * 3
    assert (records[0].timestamp, records[2].timestamp) == (NOW_MS, NOW_MS)
    assert dict(records[1].headers)["timestamp"] == str(timestamp_ms).encode()
