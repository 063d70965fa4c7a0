"""What is delivered for a slice fits through a broker, whatever the slice holds."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any, Final

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder

from schemas.batches import BATCH_BYTES_MAX, SNAPPY
from schemas.partition import partition_of
from streams.accounts import Accounts
from streams.delivery import Message, composed, messages_astray, packed
from streams.read import TEXT_BYTES_MAX, VALUE_BYTES_MAX
from tests.streams.scene import event, part_of, refused, rules, session, work

MESSAGE_BYTES_MAX: Final = 1_048_588
"""What a broker takes unless it is told otherwise (`message.max.bytes`)."""


def noise(size: int) -> bytes:
    """Return bytes that cannot be made smaller."""
    return Random(size).randbytes(size)


def text(size: int) -> str:
    return noise(size // 2).hex()


def batches(messages: Iterable[Message]) -> list[Any]:
    def create() -> BatchBuilder:
        return BatchBuilder(BATCH_BYTES_MAX, SNAPPY, is_transactional=True)

    return list(packed(create, messages))


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
