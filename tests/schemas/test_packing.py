"""What we compress, others read: aiokafka's snappy, which is another implementation."""

from __future__ import annotations

import pytest
from aiokafka.codec import snappy_decode, snappy_encode
from hypothesis import given
from hypothesis import strategies as st

from schemas.packing import BLOCK_BYTES, SNAPPY, packed, unpacked


@given(st.binary(min_size=1, max_size=1000), st.integers(1, 300))
def test_others_read_what_we_pack_and_we_what_they_pack(piece: bytes, times: int) -> None:
    records = piece * times
    assert snappy_decode(packed(memoryview(records))) == records
    for ours in (packed(memoryview(records)), snappy_encode(records)):
        assert unpacked(SNAPPY, ours).tobytes() == records


@pytest.mark.parametrize("size", [1, BLOCK_BYTES - 1, BLOCK_BYTES, 3 * BLOCK_BYTES + 1])
def test_records_are_cut_into_blocks_and_put_together_again(size: int) -> None:
    records = (b"a record, " * (size // 10 + 1))[:size]
    ours = packed(memoryview(records))
    assert snappy_decode(ours) == records
    assert unpacked(SNAPPY, ours).tobytes() == records
