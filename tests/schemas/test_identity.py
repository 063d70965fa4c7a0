"""The hash of an event is stable for as long as there are balances that hold it."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.identity import event_hash, event_hashes

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)


def test_a_hash_never_changes() -> None:
    assert event_hash("acn", "session-1", 0) == 7763455420604292702
    assert event_hash("acn", "session-1", 1) == -8557006615849371311


@given(st.lists(st.tuples(words, words, st.integers(-(2**31), 2**31 - 1))))
def test_a_column_of_hashes_is_the_hash_of_each(events: list[tuple[str, str, int]]) -> None:
    source, identity, revision = ([event[at] for event in events] for at in range(3))
    hashes = event_hashes(
        pa.array(source, pa.string()),
        pa.array(identity, pa.string()),
        pa.array(revision, pa.int32()),
    )
    assert hashes.tolist() == [event_hash(*event) for event in events]


def test_an_event_without_identity_has_no_hash() -> None:
    with pytest.raises(ValueError, match="null"):
        event_hashes(pa.array(["a"]), pa.array([None], pa.string()), pa.array([0]))
