"""The page of the methods calculates what it says: its Python runs, its tables are the code's."""

from __future__ import annotations

import doctest
import re
from typing import Final

import numpy as np
import pytest

from carbon.factors import FactorTable
from carbon.programmes import Programme
from carbon.rate import Sessions, Words, rate_charging
from docsite.stage import ROOT
from producers.factors.spec import load_factors
from producers.programmes.load import load_programmes
from tests.pages import rows, section, words

PAGE: Final = (ROOT / "docs/methods.md").read_text("utf-8")
SAVED: Final = section(PAGE, "What it saved")
HOUR_MS: Final = 3_600_000


def saved(
    region: str, vehicle_class: str, year: int, programme: Programme, factors: FactorTable
) -> str:
    """Return what one kWh saves in the middle of a year, in kg with three digits."""
    at_ms = int(np.datetime64(f"{year}-07-01", "ms").astype(np.int64))
    zero = np.zeros(1, dtype=np.int32)
    session = Sessions(
        energy_wh=np.array([1_000]),
        started_at=np.array([at_ms]),
        ended_at=np.array([at_ms + HOUR_MS]),
        grid_region=Words(zero, (region,)),
        vehicle_class=Words(zero, (vehicle_class,)),
        dispenser=np.array([True]),
        dc=np.array([False]),
    )
    rated = rate_charging(session, programme, factors)
    assert (rated.refusal[0], rated.how[0]) == (0, 0)
    return f"{rated.reduction_mg[0] / 1_000_000:.3f}"


@pytest.fixture(scope="module")
def factors() -> FactorTable:
    return FactorTable.of(load_factors("release:2026.1"))


@pytest.fixture(scope="module")
def programme() -> Programme:
    return dict(load_programmes())["cn-charging"]


def test_the_python_of_the_page_gives_what_it_says() -> None:
    blocks = re.findall(r"(?ms)^```pycon\n(.*?)^```", PAGE)
    page = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "methods", "methods.md", 0)
    said: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(page, out=said.append)
    assert result.attempted > 20
    assert result.failed == 0, "".join(said)


def test_what_a_car_saves_by_region_and_year_is_calculated(
    programme: Programme, factors: FactorTable
) -> None:
    table = [row for row in rows(SAVED) if len(row) == 4]
    assert len(table) == 8
    for region, *said in table:
        (name,) = words(region)
        assert said == [saved(name, "car", year, programme, factors) for year in (2021, 2022, 2023)]


def test_what_a_class_saves_by_region_is_calculated(
    programme: Programme, factors: FactorTable
) -> None:
    (head,) = re.findall(r"(?m)^\| class \|.*$", SAVED)
    table = {words(row[0])[0]: row[1:] for row in rows(SAVED) if len(row) == 5}
    assert programme.charging is not None
    assert list(table) == list(programme.charging.classes)
    for vehicle_class, said in table.items():
        wanted = [saved(each, vehicle_class, 2023, programme, factors) for each in words(head)]
        assert said == wanted, vehicle_class
