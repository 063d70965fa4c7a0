"""Keys go where the Java client puts them."""

import pyarrow as pa
import pytest
from aiokafka.partitioner import murmur2 as aiokafka_murmur2
from hypothesis import given
from hypothesis import strategies as st

from schemas.partition import murmur2, partition_of, partitions_of

# Apache Kafka, clients/src/test/java/org/apache/kafka/common/utils/UtilsTest.java, testMurmur2.
GOLDEN = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "expected"), GOLDEN.items())
def test_the_hash_is_the_java_clients(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected % 2**32


@given(st.binary(max_size=70), st.integers(1, 1000))
def test_aiokafka_sends_a_key_to_the_same_partition(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == (aiokafka_murmur2(key) & 0x7FFFFFFF) % partitions


@given(st.lists(st.binary(max_size=40)), st.integers(1, 100), st.integers(0, 3))
def test_a_column_of_keys_goes_where_each_key_goes(
    keys: list[bytes], partitions: int, skipped: int
) -> None:
    column = pa.array(keys, pa.binary()).slice(skipped)
    each = [partition_of(key, partitions) for key in keys[skipped:]]
    assert partitions_of(column, partitions).tolist() == each


def test_strings_go_where_their_utf8_goes() -> None:
    column = pa.chunked_array([["司机-1", "driver-2"], [""]], pa.string())
    each = [partition_of(key.encode(), 7) for key in ("司机-1", "driver-2", "")]
    assert partitions_of(column, 7).tolist() == each


def test_a_null_key_has_no_partition() -> None:
    with pytest.raises(ValueError, match="null"):
        partitions_of(pa.array(["a", None]), 4)
