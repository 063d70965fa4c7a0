"""Places lead to the regions that factor releases have, and every answer says how."""

import csv
from fractions import Fraction
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.regions import chain
from producers.places import Places
from producers.regions import NoRegionError, Place, Regions
from producers.registers import RegisterError
from producers.states import STATES, country_region, gb2260_region, state_region
from producers.stations import load_stations

GENT = (Fraction("51.047599"), Fraction("3.729944"))
SHENZHEN = (Fraction("22.5431"), Fraction("114.0579"))


@pytest.fixture(scope="module")
def geonames() -> Regions:
    """Regions that know towns; their data is read once."""
    limit = csv.field_size_limit()
    regions = Regions(places=Places())
    assert csv.field_size_limit() == limit, "what we refuse in files is not for a library to decide"
    return regions


def released() -> set[str]:
    """Return the regions of the grid averages that this release ships."""
    table = files("producers.factors").joinpath("releases/2026.1/factors.csv").read_text("utf-8")
    rows = csv.DictReader(table.splitlines())
    return {row["region"] for row in rows if row["kind"] == "grid_average"}


def test_every_region_of_china_and_india_leads_to_a_released_factor() -> None:
    # The islands are not connected to India's grid (carbon.regions); Macao has no factor.
    islands = {"IN-AN", "IN-LD", "MO"}
    for words in STATES.values():
        for region in set(words.values()) - islands:
            assert released().intersection(chain(region)), region


@pytest.mark.parametrize(
    ("code", "region"),
    [("110105", "CN-BJ"), ("440300", "CN-GD"), ("61", "CN-SN"), ("710000", "TW"), ("820000", "MO")],
)
def test_gb2260_begins_with_the_province(code: str, region: str) -> None:
    assert gb2260_region(code) == region
    found = Regions().of(Place(gb2260=code))
    assert (found.code, found.how) == (region, "gb2260")


@pytest.mark.parametrize("code", ["990000", "1", "110", "1101050", "ab", "", "١١"])
def test_what_is_no_code_of_gb2260_has_no_region(code: str) -> None:
    assert gb2260_region(code) is None


def test_shanxi_and_shaanxi_are_told_apart() -> None:
    assert state_region("CN", "Shanxi") == state_region("CN", "山西省") == gb2260_region("14")
    assert state_region("CN", "Shaanxi") == state_region("CN", "陕西省") == gb2260_region("61")


@pytest.mark.parametrize(
    ("word", "region"),
    [
        ("Inner Mongolia Autonomous Region", "CN-NM"),
        ("内蒙古自治区", "CN-NM"),
        ("Guangxi Zhuang Autonomous Region", "CN-GX"),
        ("CN-GD", "CN-GD"),
        ("gd", "CN-GD"),
        ("440000", "CN-GD"),
        ("Hong Kong", "HK"),
        ("Atlantis", None),
    ],
)
def test_states_are_codes_or_names(word: str, region: str | None) -> None:
    assert state_region("CN", word) == region


def test_countries_are_two_or_three_letters() -> None:
    assert country_region("BEL") == country_region("be") == "BE"
    assert country_region("Belgium") is None
    found = Regions().of(Place(country="BEL"))
    assert (found.code, found.how) == ("BE", "country")


def test_a_state_of_the_united_states_is_left_to_the_table() -> None:
    assert Regions().of(Place(country="USA", state="CA")).how == "country"


def test_an_unknown_state_is_told() -> None:
    found = Regions().of(Place(country="CN", state="Atlantis"))
    assert (found.code, found.how) == ("CN", "country")
    assert found.doubts == ("CN has no state 'Atlantis'",)


def test_no_place_has_no_region() -> None:
    with pytest.raises(NoRegionError, match="no station of the table; 'XX' is no country"):
        Regions().of(Place(stations=("unknown",), country="XX"))
    with pytest.raises(NoRegionError, match="no place is named"):
        Regions().of(Place())


def test_coordinates_give_the_province_within_the_country(geonames: Regions) -> None:
    found = geonames.of(Place(country="CHN", coordinates=SHENZHEN))
    assert (found.code, found.how) == ("CN-GD", "coordinates")
    alone = geonames.of(Place(coordinates=SHENZHEN))
    assert (alone.code, alone.how) == ("CN-GD", "coordinates")


def test_a_code_stands_above_coordinates(geonames: Regions) -> None:
    found = geonames.of(Place(country="CN", state="BJ", coordinates=SHENZHEN))
    assert (found.code, found.how) == ("CN-BJ", "state")


def test_the_swapped_gent_of_ocpi_is_put_aside_and_told(geonames: Regions) -> None:
    right = geonames.of(Place(country="BEL", coordinates=GENT))
    assert (right.code, right.how, right.doubts) == ("BE", "country", ())
    swapped = geonames.of(Place(country="BEL", coordinates=(GENT[1], GENT[0])))
    assert (swapped.code, swapped.how) == ("BE", "country")
    assert "latitude and longitude are swapped" in swapped.doubts
    with pytest.raises(NoRegionError, match="far from any town"):
        geonames.of(Place(coordinates=(GENT[1], GENT[0])))


def test_coordinates_of_another_country_are_put_aside_and_told(geonames: Regions) -> None:
    found = geonames.of(Place(country="IND", coordinates=SHENZHEN))
    assert (found.code, found.how) == ("IN", "country")
    assert "not in IN" in found.doubts[0]


def test_a_border_that_is_near_is_told(geonames: Regions) -> None:
    # Yanjiao in Hebei lies at the border with Beijing.
    found = geonames.of(Place(country="CN", coordinates=(Fraction("39.943"), Fraction("116.815"))))
    assert found.how == "coordinates"
    assert any("the border with" in doubt for doubt in found.doubts)


@given(st.fractions(-100, 100), st.fractions(-200, 200), st.sampled_from(["CN", "BEL", None]))
def test_any_point_has_a_region_or_none(
    geonames: Regions, latitude: Fraction, longitude: Fraction, country: str | None
) -> None:
    try:
        found = geonames.of(Place(country=country, coordinates=(latitude, longitude)))
    except NoRegionError:
        assert country is None
    else:
        assert found.how in ("country", "coordinates")


def test_the_table_of_stations_stands_above_all(tmp_path: Path) -> None:
    table = tmp_path / "stations.csv"
    table.write_text(
        "station_id,grid_region,country,state,gb2260,current\n"
        "be*bec*e1,US-CAL-CISO,,,,ac\nA,,,,440305,dc\nB,,IND,Karnataka,,\nC,,FRA,,,\n",
        "utf-8",
    )
    regions = Regions(load_stations(table))
    for station_id, region in (("BE*BEC*E1", "US-CAL-CISO"), ("A", "CN-GD"), ("b", "IN-KA")):
        found = regions.of(Place(stations=("unknown", station_id), country="BEL"))
        assert (found.code, found.how) == (region, "station_table")
    assert regions.of(Place(stations=("C",))).code == "FR"
    assert regions.station("A", "C") == regions.stations.by_id["A"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grid_region\nBE\n", ":1: the column station_id is missing"),
        ("station_id,colour\nA,red\n", ":1: nobody knows the column 'colour'"),
        ("station_id,current\nA,three\n", ":2: current is ac or dc"),
        ("station_id,gb2260\nA,99\n", ":2: '99' is no code of GB/T 2260"),
        ("station_id,country\nA,XX\n", ":2: 'XX' is no country"),
        ("station_id,country,state\nA,US,CA\n", ":2: US has no state 'CA'; write grid_region"),
        ("station_id,country\nA,BE\na,FR\n", ":3: an earlier line says something else"),
        ("station_id\n\nA,B\n", ":3: has more columns than the heading"),
        ("station_id,country\n,BE\n", ":2: station_id is empty"),
        ('station_id\n"A\n', ": unexpected end of data"),
    ],
)
def test_a_table_that_cannot_be_used_says_where(tmp_path: Path, text: str, message: str) -> None:
    table = tmp_path / "stations.csv"
    table.write_text(text, "utf-8")
    with pytest.raises(RegisterError) as wrong:
        load_stations(table)
    assert message in str(wrong.value)
