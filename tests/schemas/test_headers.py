"""Headers by columns are what reading them one by one finds; the spans in them are found once."""

from __future__ import annotations

import numpy as np
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from hypothesis import given
from hypothesis import strategies as st

from schemas.headers import header_values
from schemas.records import Records
from schemas.traceparents import TRACEPARENT
from schemas.tracing import LINKS_MAX, senders_of
from tests.wire import fetched_from

Headers = list[tuple[str, bytes | None]]


def fetched(headers: list[Headers]) -> Records:
    builder = _DefaultRecordBatchBuilderPy(2, 0, False, -1, -1, 0, 1 << 24)
    for offset, each in enumerate(headers):
        builder.append(offset, 1, b"key", b"value", each)
    return fetched_from(builder.build())


def span(number: int, *, flags: str = "01") -> bytes:
    return f"00-{number + 1:032x}-{number + 1:016x}-{flags}".encode()


names = st.sampled_from(["a", "ab", "b", "", "traceparent", "é"])
some_headers = st.lists(
    st.lists(st.tuples(names, st.none() | st.binary(max_size=70)), max_size=4),
    min_size=1,
    max_size=12,
)


@given(some_headers, names)
def test_values_of_a_name_are_those_of_the_headers_read_one_by_one(
    headers: list[Headers], name: str
) -> None:
    records = fetched(headers)
    found = header_values(records.values.data, records.headers_at, name)
    expected = [next((value for known, value in each if known == name), None) for each in headers]
    assert list(found) == expected


def test_a_span_is_found_once_in_the_order_of_the_records() -> None:
    order = [5, 5, 3, 5, 9, 3]
    records = fetched([[("other", b"x"), (TRACEPARENT, span(number))] for number in order])
    found = senders_of(records.values.data, records.headers_at)
    assert found.spans == [span(number).decode() for number in (5, 3, 9)]
    assert found.left_out == 0


def test_what_is_not_recorded_and_what_is_none_is_left_aside() -> None:
    others = [b"", b"x" * 55, span(1, flags="00"), span(1, flags="02"), b"0" * 54 + b"1"]
    headers: list[Headers] = [[(TRACEPARENT, value)] for value in others]
    records = fetched([[], *headers])
    assert senders_of(records.values.data, records.headers_at).spans == []
    recorded = fetched([[(TRACEPARENT, span(1, flags="03"))]])
    assert len(senders_of(recorded.values.data, recorded.headers_at).spans) == 1


def test_there_are_no_more_links_than_may_be() -> None:
    records = fetched([[(TRACEPARENT, span(number))] for number in range(LINKS_MAX + 7)])
    found = senders_of(records.values.data, records.headers_at)
    assert found.spans == [span(number).decode() for number in range(LINKS_MAX)]
    assert found.left_out == 7


def test_records_without_headers_have_no_senders() -> None:
    records = fetched([[], []])
    assert senders_of(records.values.data, records.headers_at).spans == []
    assert senders_of(np.zeros(1, np.uint8), None).spans == ()
