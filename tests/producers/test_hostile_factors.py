"""Sources of factors that are broken: an error that names the place, and never a wrong factor."""

from __future__ import annotations

import warnings
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.factors import Factor
from carbon.limits import FACTOR_MG_MAX, FOREVER_MS
from producers.factors.errors import FactorFileError, FactorGap, FactorSourceError
from producers.factors.spec import load_factors

ELECTRICITY_MAPS: Final = (
    "Datetime (UTC),Country,Zone name,Zone id,Carbon intensity gCO₂eq/kWh (direct),"
    "Carbon intensity gCO₂eq/kWh (Life cycle),Data source,Data estimated,Data estimation method\n"
    + "".join(
        f"2021-01-01 {hour:02}:00:00,USA,CAISO,US-CAL-CISO,2{hour}.5,3{hour}.25,x,false,\n"
        for hour in range(6)
    )
)
UNITS: Final = {"kwh", "l", "kg", "tkm"}


def table() -> str:
    release = files("producers.factors").joinpath("releases", "2026.1", "factors.csv")
    return "".join(release.read_text("utf-8").splitlines(keepends=True)[:8])


def load(kind: str, path: Path, content: str | bytes) -> list[Factor]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FactorGap)
        return load_factors(f"{kind}:{path}")


@pytest.mark.parametrize("kind", ["csv", "electricity-maps"])
@pytest.mark.parametrize("name", ["\0", "a\0b", "\ud800", "/", "a" * 5_000, "/proc/self/mem"])
def test_a_name_that_no_file_can_have_is_told(kind: str, name: str) -> None:
    with pytest.raises(FactorFileError):
        load_factors(f"{kind}:{name}")


@given(st.text() | st.sampled_from(["csv", "release"]).flatmap(lambda a: st.just(a + ":\0")))
def test_any_words_are_a_source_or_say_that_they_are_none(words: str) -> None:
    with pytest.raises(FactorSourceError):
        load_factors(words)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        # A number with a comma moves what stands behind it: 1,234.5 would be read as 1.
        ("2021-01-01 06:00:00,USA,CAISO,US-CAL-CISO,1,234.5,9.5,x,false,", "cells"),
        ("2021-01-01 06:00:00,USA,CAISO,US-CAL-CISO,23", "cells"),
        ("2021-01-01 06:00:00,USA,CAISO,US-CAL-CISO,-1,2,x,false,", "not a number"),
        ("2021-01-01 06:00:00,USA,CAISO,US-CAL-CISO,nan,2,x,false,", "not a number"),
        ("2021-01-01 06:00:00,USA,CAISO,US-CAL-CISO,1e3,2,x,false,", "not a number"),
        ("2021-01-01 06:00:00,USA,CAISO,US-CAL-CISO,٣,2,x,false,", "not a number"),
        ("2021-01-01 06:00:00,USA,CAISO,US-CAL-CISO,99999999,2,x,false,", "above the limit"),
        ("2021-01-01 06:30:00,USA,CAISO,US-CAL-CISO,1,2,x,false,", "start of an hour"),
        ("2021-01-01 05:00:00,USA,CAISO,US-CAL-CISO,1,2,x,false,", "again"),
        ("2021-01-01 06:00:00,USA,CAISO,US-OTHER,1,2,x,false,", "in a file of zone"),
    ],
)
def test_a_wrong_line_of_electricity_maps_is_named_and_no_factor_comes_of_it(
    tmp_path: Path, row: str, reason: str
) -> None:
    with pytest.raises(FactorFileError, match=reason) as told:
        load("electricity-maps", tmp_path / "f.csv", f"{ELECTRICITY_MAPS}{row}\n")
    assert [line for line, _ in told.value.lines] == [8]


@pytest.mark.parametrize("zone", ["US CAL", "US\tCAL", " US-CAL", ""])
def test_a_zone_that_is_no_region_is_refused(tmp_path: Path, zone: str) -> None:
    with pytest.raises(FactorFileError, match="is no region"):
        load("electricity-maps", tmp_path / "f.csv", ELECTRICITY_MAPS.replace("US-CAL-CISO", zone))


def test_a_column_named_twice_is_refused(tmp_path: Path) -> None:
    twice = "Carbon intensity gCO₂eq/kWh (direct)"
    with pytest.raises(FactorFileError, match="a column twice"):
        load("electricity-maps", tmp_path / "f.csv", ELECTRICITY_MAPS.replace("Data source", twice))


@pytest.mark.parametrize("kind", ["csv", "electricity-maps"])
def test_mutated_files_give_factors_in_range_or_an_error_with_a_line(
    tmp_path: Path, kind: str
) -> None:
    whole = (table() if kind == "csv" else ELECTRICITY_MAPS).encode()
    random, wrong = Random(kind), 0
    for _ in range(1_500):
        try:
            factors = load(kind, tmp_path / "f.csv", _mutated(random, bytearray(whole)))
        except FactorFileError as error:
            wrong += 1
            lines = [line for line, _ in error.lines]
            # Only a file as a whole, such as one without hours, has no line.
            if not all(lines):
                assert lines == [0]
            continue
        for one in factors:
            assert 0 <= one.value_mg <= FACTOR_MG_MAX
            assert 0 <= one.valid_from < one.valid_to <= FOREVER_MS
            assert one.unit in UNITS
            assert one.region == one.region.strip()
            assert one.region
    assert 200 < wrong < 1_500


def _mutated(random: Random, spoilt: bytearray) -> bytes:
    for _ in range(random.choice((1, 2, 5))):
        at = random.randrange(len(spoilt))
        match random.randrange(5):
            case 0:
                spoilt[at] = random.randrange(256)
            case 1:
                words = (b'"', b",", b"\n", b"\0", b"-", b"e9", b"nan", b"\xff", b"\xd9\xa3", b" ")
                spoilt[at:at] = random.choice((*words, b"99999999999999"))
            case 2 if len(spoilt) > 99:
                del spoilt[at : at + random.choice((1, 3, 30))]
            case 3:
                spoilt[at:at] = spoilt[at : at + random.choice((5, 50))]
            case _ if at > 99:
                del spoilt[at:]
            case _:
                spoilt[at] ^= 1
    return bytes(spoilt)
