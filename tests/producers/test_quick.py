"""What is read at once is what the rules read, text by text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from producers.mapping import parse_mapping
from producers.parse import pattern_of
from producers.quick import quick_of
from producers.rows import RowMapper, Rows
from producers.rules import FileMapping, MappedField, UnmappableError, field_reader

MAPPING = """
record = "charging_session"
zone = "{zone}"
{more}
[fields]
session_id = "A"
source = {{ value = "s" }}
account_id = "A"
programme = {{ value = "p" }}
vehicle_class = {{ value = "car" }}
grid_region = {{ value = "CN" }}
started_at = "A"
ended_at = "A"
energy_wh = {{ column = "A", unit = "{unit}" }}
meter_side = {{ value = "grid" }}
current = {{ value = "ac" }}
operator_id = {{ value = "" }}
evse_id = {{ value = "" }}
"""


def mapping(more: str = "", zone: str = "UTC", unit: str = "kWh") -> FileMapping:
    return parse_mapping(MAPPING.format(more=more, zone=zone, unit=unit), origin="m.toml")


def field_of(using: FileMapping, name: str) -> MappedField:
    (field,) = (f for f in using.fields if f.target.name == name)
    return field


def check(name: str, texts: list[str | None], using: FileMapping) -> int:
    """Compare what is read at once with the rules; return how many texts were."""
    field = field_of(using, name)
    quick = quick_of(field, using)
    assert quick is not None
    values, good = quick.texts(pa.array(texts, pa.string()))
    read = field_reader(field, using)
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64())
    for text, value, is_read in zip(texts, values.to_pylist(), good.tolist(), strict=True):
        if is_read:
            assert read({"A": text}) == value, repr(text)
    return int(good.sum())


NUMBERS = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers().map(str),
    st.from_regex(r"[ +-]?[0-9.,' ]{0,22}[0-9e]?", fullmatch=True),
    st.text(max_size=6),
    st.none(),
)


@given(st.lists(NUMBERS), st.sampled_from(["Wh", "kWh", "MWh", "MJ"]))
@example(["0.0025", "0.0035", "-0.0025", "0.5", "1.5"], "Wh")
@example(["9223372036854775807", "9223372036854775.807", "-9223372036854775808"], "Wh")
def test_numbers_are_those_of_the_rules(texts: list[str | None], unit: str) -> None:
    check("energy_wh", texts, mapping(unit=unit))


@given(st.lists(NUMBERS))
@example(["1.234,5", "1234,5", "1,5", "1.5", "-1.000,25", ",5", "1,", "."])
def test_numbers_of_other_countries_are_those_of_the_rules(texts: list[str | None]) -> None:
    check("energy_wh", texts, mapping('decimal = ","\nthousands = "."'))


@given(st.lists(NUMBERS | st.sampled_from(["-1", " -1 ", "0", "NA", "-1.0"])))
def test_words_for_no_value_are_none(texts: list[str | None]) -> None:
    check("energy_wh", texts, mapping('null = ["", "-1", "0", "NA"]'))


def test_what_a_meter_writes_is_read_at_once() -> None:
    texts: list[str | None] = ["6.31", "21.399999999999999", "0", "1038.05", "+7.", " 3 "]
    assert check("energy_wh", texts, mapping()) == len(texts)


def _moments(low: int = 1900, high: int = 2199) -> st.SearchStrategy[datetime]:
    return st.datetimes(datetime(low, 1, 1), datetime(high, 12, 31))  # noqa: DTZ001


ISO = st.one_of(
    st.tuples(
        _moments().map(lambda moment: moment.isoformat()),
        st.sampled_from(["", "Z", "+08:00", "-05:30", "+00:00", " ", "+0800", "+24:00", "x"]),
    ).map("".join),
    _moments().map(lambda moment: moment.isoformat(" ", "minutes")),
    _moments().map(lambda moment: moment.isoformat(" ", "milliseconds")),
    _moments(1, 9999).map(lambda moment: moment.date().isoformat()),
    st.from_regex(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?", fullmatch=True),
    st.text(max_size=8),
)
ZONES = st.sampled_from(
    ["UTC", "Asia/Shanghai", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"]
)


@given(st.lists(ISO), ZONES)
@example(["2023-03-26T02:30", "2023-03-26T01:59", "2023-03-26T03:00"], "Europe/Berlin")
@example(["2023-10-29T02:30", "2023-10-29T03:00", "2023-10-29T01:59:59.999"], "Europe/Berlin")
@example(["2023-10-01T02:10", "2023-04-02T01:45"], "Australia/Lord_Howe")
def test_times_in_iso_8601_are_those_of_the_rules(texts: list[str | None], zone: str) -> None:
    using = mapping(zone=zone)
    field, read = field_of(using, "started_at"), field_reader(field_of(using, "started_at"), using)
    quick = quick_of(field, using)
    assert quick is not None
    values, good = quick.texts(pa.array(texts, pa.string()))
    for text, value, is_read in zip(texts, values.cast(pa.int64()), good.tolist(), strict=True):
        if is_read:
            assert read({"A": text}) == value.as_py(), repr(text)


@given(st.lists(ISO))
def test_null_dates_are_none(texts: list[str | None]) -> None:
    using = mapping('null_dates = ["1899-12-30", "2000-01-01"]', zone="Asia/Shanghai")
    check("started_at", [*texts, "2000-01-01 03:00", "2000-01-01T03:00Z"], using)


@given(
    st.lists(
        _moments().map(lambda moment: f"{moment:%d.%m.%Y %H:%M}")
        | st.from_regex(r"[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4} [0-9]{2}:[0-9]{2}", fullmatch=True)
    )
)
def test_times_of_another_format_are_those_of_the_rules(texts: list[str | None]) -> None:
    more = 'format = ["%d.%m.%Y %H:%M", "iso"]'
    check("started_at", texts, mapping(more, zone="Europe/Berlin"))


@pytest.mark.parametrize("form", ["unix", "%y-%m-%d", "%d %B %Y", "%H:%M", "%Y-%Y-%m-%d", "%Y%%"])
def test_formats_that_are_no_fixed_row_of_digits_are_left_to_the_rules(form: str) -> None:
    assert pattern_of(form) is None


def test_an_hour_in_which_the_clock_changes_is_left_to_the_rules() -> None:
    texts: list[str | None] = ["2023-03-26T02:30", "2023-03-26T03:30"]
    using = mapping(zone="Europe/Berlin")
    quick = quick_of(field_of(using, "started_at"), using)
    assert quick is not None
    assert quick.texts(pa.array(texts))[1].tolist() == [False, True]


TEXTS = st.text(max_size=12) | st.sampled_from(["张三", " a", "a\u00a0", "\u3000a", "NULL", "é "])


@given(st.lists(TEXTS | st.none()))
def test_texts_are_those_of_the_rules(texts: list[str | None]) -> None:
    check("session_id", texts, mapping('null = ["", "NULL"]'))


def rows_of(column: Any) -> Rows:
    return Rows({"A": column}, range(1, len(column) + 1), lambda _: b"")


@given(
    st.lists(st.datetimes(datetime(1950, 1, 1), datetime(2150, 1, 1)) | st.none()),  # noqa: DTZ001
    st.sampled_from(["s", "ms", "us"]),
    st.sampled_from([None, "UTC", "Asia/Shanghai"]),
    ZONES,
)
def test_timestamps_are_what_their_texts_are(
    moments: list[datetime | None], unit: str, tz: str | None, zone: str
) -> None:
    given_ms = [
        None if moment is None else (moment - datetime(1970, 1, 1)) // timedelta(milliseconds=1)  # noqa: DTZ001
        for moment in moments
    ]
    stamps = pa.array(given_ms, pa.timestamp("ms")).cast(pa.timestamp(unit), safe=False)
    stamps = stamps.cast(pa.int64()).cast(pa.timestamp(unit, tz))
    using = mapping(zone=zone)
    field = field_of(using, "started_at")
    quick, read = quick_of(field, using), field_reader(field, using)
    assert quick is not None
    assert quick.timestamps is not None
    values, good = quick.timestamps(stamps)
    texts = stamps.cast(pa.string()).to_pylist()
    for text, value, is_read in zip(texts, values.cast(pa.int64()), good.tolist(), strict=True):
        if is_read:
            assert read({"A": text}) == value.as_py(), text
        else:
            try:
                left = read({"A": text})
            except UnmappableError:
                continue
            assert text is None or left is not None


CELLS = st.sampled_from(
    ["1", "2.5", "x", "", "NA", "2020-01-01", "2020-01-01T10:00Z", "1e3", "张", " 7 ", "0.0005"]
)


@given(st.lists(CELLS, max_size=30))
def test_a_row_does_not_depend_on_the_rows_around_it(cells: list[str]) -> None:
    using = mapping('null = ["", "NA"]', zone="Asia/Shanghai")
    whole, refused = RowMapper(using).batch(rows_of(pa.array(cells, pa.string())), file="f")
    alone: list[dict[str, object]] = []
    problems = []
    for line, cell in enumerate(cells, start=1):
        batch, wrong = RowMapper(using).batch(rows_of(pa.array([cell])), file="f")
        alone += batch.to_pylist()
        problems += [(line, row.code, row.reason) for row in wrong]
    assert whole.to_pylist() == alone
    assert [(row.line, row.code, row.reason) for row in refused] == problems


@given(st.lists(CELLS, max_size=30))
def test_words_as_codes_are_the_same_rows(cells: list[str]) -> None:
    using = mapping(zone="Asia/Shanghai")
    column = pa.array(cells, pa.string())
    plain, refused = RowMapper(using).batch(rows_of(column), file="f")
    coded, same = RowMapper(using, coded=True).batch(rows_of(column.dictionary_encode()), file="f")
    assert coded.to_pylist() == plain.to_pylist()
    assert same == refused


def test_the_year_of_a_leap_day_is_one() -> None:
    texts: list[str | None] = ["2000-02-29", "1900-02-29", "2024-02-29", "2023-02-29", "2100-02-29"]
    using = mapping()
    quick = quick_of(field_of(using, "started_at"), using)
    assert quick is not None
    values, good = quick.texts(pa.array(texts))
    assert good.tolist() == [True, False, True, False, False]
    assert values[0].as_py() == datetime(2000, 2, 29, tzinfo=UTC).replace(tzinfo=None)
