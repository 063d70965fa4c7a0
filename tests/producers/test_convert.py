from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.convert import UNITS, ConversionError, instant_reader, integer

DECIMALS = st.decimals(min_value=-(10**12), max_value=10**12, places=6)


def test_6_31_kwh_are_exactly_6310_wh() -> None:
    assert integer("6.31", factor=UNITS["kWh"].small) == 6310


@given(DECIMALS)
def test_a_decimal_is_converted_as_decimal_arithmetic_does(value: Decimal) -> None:
    with localcontext(prec=60):
        exact = (value * 1000).quantize(Decimal(1), ROUND_HALF_EVEN)
    assert integer(str(value), factor=UNITS["km"].small) == int(exact)


@given(st.integers(-(10**15), 10**15), st.sampled_from(sorted(UNITS)))
def test_a_whole_number_of_small_units_survives_any_unit(small: int, unit: str) -> None:
    factor = UNITS[unit].small
    value = Fraction(small) / factor
    assert round(value * factor) == small


@given(st.integers(-(10**9), 10**9))
def test_a_half_goes_to_the_even_neighbour(whole: int) -> None:
    assert integer(f"{whole}.5", factor=Fraction(1)) % 2 == 0


@pytest.mark.parametrize("text", ["", "1/3", "1_000", "0x10", "nan", "inf", "1e999", "٣", "1 2"])
def test_what_is_no_decimal_number_is_refused(text: str) -> None:
    with pytest.raises(ConversionError, match="is not a number"):
        integer(text, factor=Fraction(1))


def test_a_number_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConversionError, match="64 bits"):
        integer(str(2**63), factor=Fraction(1))


def test_a_comma_can_be_the_decimal_separator() -> None:
    assert integer("1.234,5", factor=Fraction(1000), decimal=",", thousands=".") == 1_234_500


def test_a_point_is_no_number_where_the_separator_is_a_comma() -> None:
    with pytest.raises(ConversionError):
        integer("6.31", factor=Fraction(1000), decimal=",")


@pytest.mark.parametrize(
    ("text", "formats", "zone"),
    [
        ("2020-08-05T02:00:00Z", ("iso",), "Asia/Kolkata"),
        ("2020-08-05 07:30:00", ("iso",), "Asia/Kolkata"),
        ("2020-08-05T07:30:00+05:30", ("iso",), "UTC"),
        ("05.08.2020 04:00", ("iso", "%d.%m.%Y %H:%M"), "Europe/Berlin"),
        ("1596592800", ("unix",), "UTC"),
        ("1596592800000", ("unix_ms",), "UTC"),
    ],
)
def test_one_instant_written_in_many_ways_is_one_number(
    text: str, formats: tuple[str, ...], zone: str
) -> None:
    zones = UTC if zone == "UTC" else ZoneInfo(zone)
    read = instant_reader(formats=formats, zone=zones, null_dates=frozenset())
    assert read(text) == int(datetime(2020, 8, 5, 2, tzinfo=UTC).timestamp()) * 1000


def test_what_lies_below_a_millisecond_is_cut_off() -> None:
    read = instant_reader(formats=("iso",), zone=UTC, null_dates=frozenset())
    assert read("1970-01-01T00:00:00.001999") == 1
    assert read("1969-12-31T23:59:59.998001") == -2


def test_a_null_date_is_no_value() -> None:
    nulls = frozenset({date(1899, 12, 30)})
    read = instant_reader(formats=("iso",), zone=ZoneInfo("Asia/Kolkata"), null_dates=nulls)
    assert read("1899-12-30 00:00:00.000") is None


def test_a_time_the_clock_skips_is_refused() -> None:
    zone = ZoneInfo("America/New_York")
    read = instant_reader(formats=("iso",), zone=zone, null_dates=frozenset())
    with pytest.raises(ConversionError, match="the clock skips it"):
        read("2023-03-12 02:30:00")


def test_of_a_time_the_clock_shows_twice_the_earlier_is_meant() -> None:
    zone = ZoneInfo("America/New_York")
    read = instant_reader(formats=("iso",), zone=zone, null_dates=frozenset())
    assert read("2023-11-05 01:30:00") == read("2023-11-05T01:30:00-04:00")


@pytest.mark.parametrize("text", ["yesterday", "2020-13-01", "", "9999-12-31T23:59:59-14:00"])
def test_what_is_no_instant_is_refused(text: str) -> None:
    read = instant_reader(formats=("iso", "unix"), zone=UTC, null_dates=frozenset())
    with pytest.raises(ConversionError):
        read(text)
