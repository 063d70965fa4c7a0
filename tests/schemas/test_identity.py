"""The hash of an event is stable for as long as there are balances that hold it."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.identity import event_hash, event_hashes, joined

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)


def test_a_hash_never_changes() -> None:
    assert event_hash("charging", "anna", "acn", "session-1", 0) == 5412285794691149530
    assert event_hash("charging", "anna", "acn", "session-1", 1) == -6308653177147254149


def test_kind_and_account_belong_to_the_identity() -> None:
    hashes = {
        event_hash(kind, account, "acn", "1", 0)
        for kind in ("charging", "freight")
        for account in ("anna", "bo")
    }
    assert len(hashes) == 4


@given(st.lists(st.tuples(words, words, words, st.integers(-(2**31), 2**31 - 1))))
def test_a_column_of_hashes_is_the_hash_of_each(events: list[tuple[str, str, str, int]]) -> None:
    account, source, identity, revision = ([event[at] for event in events] for at in range(4))
    hashes = event_hashes(
        "freight",
        pa.array(account, pa.string()),
        pa.array(source, pa.string()),
        pa.array(identity, pa.string()),
        pa.array(revision, pa.int32()),
    )
    assert hashes.tolist() == [event_hash("freight", *event) for event in events]


@given(st.lists(st.tuples(words, words)), words, st.lists(words, min_size=1, max_size=3))
def test_texts_are_joined_as_python_joins_them(
    rows: list[tuple[str, str]], first: str, lasts: list[str]
) -> None:
    columns = [pa.array([row[at] for row in rows], pa.string()) for at in range(2)]
    made = joined(first, columns, lasts)
    made.validate(full=True)
    assert made.to_pylist() == [":".join((first, *row, last)) for last in lasts for row in rows]


def test_a_null_is_no_identity() -> None:
    text = pa.array(["a"])
    with pytest.raises(ValueError, match="no identity"):
        event_hashes("charging", text, text, pa.array([None], pa.string()), pa.array([0]))
