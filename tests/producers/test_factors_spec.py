"""Specs: one word names a source of factors."""

from pathlib import Path

import pytest

from producers.factors.errors import FactorFileError, FactorSpecError, ReleaseError
from producers.factors.release import load_release
from producers.factors.spec import load_factors

TABLE = (
    "factor_id,kind,region,subject,boundary,gas,value_mg,unit,publisher,licence\n"
    "acme:1,fuel,CN,hvo,ttw,co2e,39300,l,Acme,own\n"
)
HOURS = (
    "Datetime (UTC),Zone Id,Carbon Intensity gCO₂eq/kWh (direct),"
    "Carbon Intensity gCO₂eq/kWh (LCA),Data Estimated,Data Estimation Method\n"
    "2021-01-01 00:00:00,NO,20,30,false,\n"
)


def test_a_release_is_loaded_by_name() -> None:
    assert load_factors("release:2026.1") == list(load_release("2026.1").factors)


@pytest.mark.parametrize("form", ["csv:{}", "{}"])
def test_a_table_is_loaded_with_and_without_its_scheme(tmp_path: Path, form: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(TABLE, encoding="utf-8")
    (factor,) = load_factors(form.format(path))
    assert (factor.subject, factor.value_mg) == ("hvo", 39_300)


def test_hours_are_loaded_by_their_scheme(tmp_path: Path) -> None:
    path = tmp_path / "NO_2021_hourly.csv"
    path.write_text(HOURS, encoding="utf-8")
    factors = load_factors(f"electricity-maps:{path}")
    assert [factor.value_mg for factor in factors] == [20_000, 30_000]


@pytest.mark.parametrize(
    "spec", ["", "release", "release:", "csv:", "table.xls", "electricitymaps:a.csv"]
)
def test_an_unknown_form_lists_the_known_ones(spec: str) -> None:
    with pytest.raises(FactorSpecError, match="use release:NAME, electricity-maps:FILE, csv:FILE"):
        load_factors(spec)


def test_errors_of_the_source_come_through(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"no release '1999\.1'"):
        load_factors("release:1999.1")
    with pytest.raises(FactorFileError, match="No such file"):
        load_factors(str(tmp_path / "none.csv"))
