"""The frame is Confluent's, and says which record it holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.catalogue import shipped
from schemas.framing import WireError, frame, schema_id_in, writer_of


@given(st.integers(0, 2**32 - 1), st.binary(max_size=5))
def test_the_id_comes_back(schema_id: int, payload: bytes) -> None:
    assert schema_id_in(frame(schema_id) + payload) == schema_id


def test_the_frame_is_a_zero_and_the_id_big_endian() -> None:
    assert frame(0x01020304) == b"\0\1\2\3\4"


@pytest.mark.parametrize("value", [None, b"", b"\0", b"\0\0\0\0", b"\1\0\0\0\1", b"{}"])
def test_what_has_no_frame_is_refused(value: bytes | None) -> None:
    with pytest.raises(WireError, match="not_framed"):
        schema_id_in(value)


def test_an_unknown_id_is_refused() -> None:
    with pytest.raises(WireError, match="unknown_schema: the catalogue has no schema 77"):
        writer_of(frame(77), shipped())


def test_another_record_is_refused_by_name() -> None:
    with pytest.raises(WireError, match="wrong_record: it is a transfer, not a freight_trip"):
        writer_of(frame(4), shipped(), record="freight_trip")
