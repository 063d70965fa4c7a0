"""Electricity Maps: every hour exact, every gap said."""

import csv
import hashlib
import warnings
from decimal import Decimal
from pathlib import Path

import pytest

from producers.factors.electricity_maps import HOUR_MS, read_electricity_maps, read_hours
from producers.factors.errors import FactorFileError, FactorGap

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
CAISO = DATA / "ef-electricitymaps-hourly" / "US-CAL-CISO_2021_hourly.csv"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="needs the shared data beside the checkout"
)
FROM_2021, TO_2022 = 1_609_459_200_000, 1_640_995_200_000

HEADER = (
    "Datetime (UTC),Country,Zone Name,Zone Id,Carbon Intensity gCO₂eq/kWh (direct),"
    "Carbon Intensity gCO₂eq/kWh (LCA),Low Carbon Percentage,Renewable Percentage,"
    "Data Source,Data Estimated,Data Estimation Method\n"
)


def _line(hour: str, direct: str, lca: str, zone: str = "NO", estimated: str = "false,") -> str:
    return f"2021-01-01 {hour},Norway,Norway,{zone},{direct},{lca},99,98,entsoe.eu,{estimated}\n"


def _file(tmp_path: Path, *lines: str, header: str = HEADER) -> Path:
    path = tmp_path / "NO_2021_hourly.csv"
    path.write_text(header + "".join(lines), encoding="utf-8")
    return path


@needs_data
def test_2021_in_california_has_every_hour_twice_and_no_gap() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        factors = read_electricity_maps(CAISO)
    assert len(factors) == 8_760 * 2
    for boundary in ("ttw", "wtw"):
        hours = [factor for factor in factors if factor.boundary == boundary]
        assert [f.valid_from for f in hours] == list(range(FROM_2021, TO_2022, HOUR_MS))
        assert all(factor.valid_to == factor.valid_from + HOUR_MS for factor in hours)


@needs_data
def test_every_value_is_its_cell_times_a_thousand() -> None:
    factors = read_electricity_maps(CAISO)
    with CAISO.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for name, boundary in (("direct", "ttw"), ("LCA", "wtw")):
        cells = [Decimal(row[f"Carbon Intensity gCO₂eq/kWh ({name})"]) for row in rows]
        values = [factor.value_mg for factor in factors if factor.boundary == boundary]
        assert values == [cell * 1000 for cell in cells]


@needs_data
def test_a_factor_says_where_it_comes_from() -> None:
    factor = read_electricity_maps(CAISO)[1]
    digest = hashlib.sha256(CAISO.read_bytes()).hexdigest()[:12]
    assert factor.factor_id == "electricity-maps:US-CAL-CISO:wtw:2021-01-01T00"
    assert factor.release == f"electricity-maps:US-CAL-CISO_2021_hourly:{digest}"
    assert (factor.kind, factor.region, factor.gas) == ("grid_hourly", "US-CAL-CISO", "co2e")
    assert (factor.value_mg, factor.unit) == (317_410, "kwh")
    assert (factor.publisher, factor.licence) == ("Electricity Maps", "ODbL-1.0")


@needs_data
def test_estimated_hours_say_so() -> None:
    estimated = [f for f in read_electricity_maps(CAISO) if "estimated" in f.publication]
    assert len(estimated) == 5 * 2
    assert {factor.evidence for factor in estimated} == {"user"}
    assert "ESTIMATED_TIME_SLICER_AVERAGE" in estimated[0].publication


def test_an_empty_cell_gets_no_factor_and_is_named(tmp_path: Path) -> None:
    path = _file(
        tmp_path,
        _line("00:00:00", "20", "30"),
        _line("01:00:00", "", "31"),
        _line("02:00:00", "22", "32"),
    )
    with pytest.warns(FactorGap, match=r"no factor for ttw:2021-01-01T01$"):
        factors = read_electricity_maps(path)
    assert [(f.boundary, f.value_mg) for f in factors] == [
        ("ttw", 20_000),
        ("wtw", 30_000),
        ("wtw", 31_000),
        ("ttw", 22_000),
        ("wtw", 32_000),
    ]


def test_an_absent_hour_is_a_gap_too(tmp_path: Path) -> None:
    path = _file(tmp_path, _line("00:00:00", "20", "30"), _line("02:00:00", "22", "32"))
    hourly = read_hours(path)
    assert hourly.missing == ("ttw:2021-01-01T01", "wtw:2021-01-01T01")
    assert len(hourly.factors) == 4


def test_the_newer_headers_are_known(tmp_path: Path) -> None:
    header = HEADER.replace("Carbon Intensity", "Carbon intensity").replace("(LCA)", "(Life cycle)")
    header = header.replace("Zone Id", "Zone id").replace("Data Estimated", "Data estimated")
    path = _file(tmp_path, _line("00:00:00", "20", "30"), header=header)
    assert [factor.value_mg for factor in read_electricity_maps(path)] == [20_000, 30_000]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([], "it has no hours"),
        (
            [_line("00:00:00", "20", "30"), _line("00:00:00", "20", "30")],
            "line 3: the hour of line 2",
        ),
        ([_line("00:30:00", "20", "30")], "line 2: .* is not the start of an hour"),
        ([_line("00:00:00", "20", "30"), _line("12:00:00", "20", "30")], "not an hourly file"),
        ([_line("00:00:00", "20", "30"), _line("01:00:00", "20", "30", "SE")], "line 3: zone 'SE'"),
        ([_line("00:00:00", "about 20", "30")], r"line 2: .*direct\): 'about 20' is not a number"),
        ([_line("00:00:00", "20.00001", "30")], "line 2: .* finer than a milligram"),
        ([_line("00:00:00", "-1", "30")], "line 2: .* is not a number"),
        (["2021-01-01 00:00:00,Norway\n"], "line 2: it has another number of cells"),
    ],
)
def test_a_file_that_is_not_hourly_and_exact_is_refused(
    tmp_path: Path, lines: list[str], reason: str
) -> None:
    with pytest.raises(FactorFileError, match=reason):
        read_electricity_maps(_file(tmp_path, *lines))


def test_another_file_is_not_taken_for_one(tmp_path: Path) -> None:
    with pytest.raises(FactorFileError, match="not an Electricity Maps file"):
        read_electricity_maps(_file(tmp_path, "1,2\n", header="a,b\n"))
