"""A programme is read completely or not at all, and any change of it changes its digest."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest

from carbon.programmes import ProgrammeError, parse_programme
from producers.programmes.load import load_programmes

TEXT = """
name = "p"
title = "t"
boundary = "ttw"
source = "s"
[fallback]
place = true
time = false
age_years_max = 3
[charging]
grid = "annual"
classes = ["car"]
dc_dispenser_efficiency = "0.923"
transmission_loss = "0.05"
[charging.reduction]
claim_share = "0.9"
[charging.reduction.baseline.car]
fuel_per_100 = "7.8"
energy_per_100 = "15.0"
fuel_mg_per_unit = 2370000
improvement = "0.99"
improvement_from_year = 2018
[freight]
classes = ["truck"]
[freight.reduction]
claim_share = "0.8"
baseline_mg_per_tkm = { truck = 57000 }
"""


def changed(old: str, new: str) -> str:
    assert TEXT.count(old) == 1, f"{old!r} stands {TEXT.count(old)} times in the text"
    return TEXT.replace(old, new)


def test_everything_that_is_written_is_read() -> None:
    programme = parse_programme(TEXT)
    assert (programme.name, programme.title, programme.boundary) == ("p", "t", "ttw")
    assert (programme.fallback.place, programme.fallback.time) == (True, False)
    assert programme.fallback.age_ms_max == 3 * 366 * 86_400_000
    assert programme.charging is not None
    assert programme.charging.gross_up(dc_dispenser=False) == Fraction(20, 19)
    assert programme.charging.gross_up(dc_dispenser=True) == Fraction(20, 19) / Fraction("0.923")
    assert programme.charging.baselines["car"].in_year(2018) == 1_232_400
    assert programme.charging.baselines["car"].in_year(2020) == 1_207_875
    assert programme.charging.baselines["car"].in_year(2010) == 1_232_400
    assert programme.freight is not None
    assert programme.freight.claim_share == Fraction(4, 5)


def test_what_may_be_left_out_has_its_documented_default() -> None:
    text = 'name="p"\ntitle="t"\nboundary="wtw"\nsource="s"\n[charging]\ngrid="hourly"\nclasses=[]'
    programme = parse_programme(text)
    assert programme.charging is not None
    assert programme.charging.gross_up(dc_dispenser=True) == 1
    assert programme.charging.claim_share is None
    assert programme.freight is None
    assert programme.fallback.age_ms_max == 4 * 366 * 86_400_000
    assert programme.fallback.place
    assert programme.fallback.time


BASELINE = "charging.reduction.baseline.car"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('name = "p"', "", "programme.name: expected str, found None"),
        ('name = "p"', "name = 7", "programme.name: expected str, found 7"),
        ('name = "p"', 'name = ""', "name: must not be empty"),
        ('name = "p"', 'name = "a:b"', "name: must not be empty or contain ':'"),
        ('name = "p"', 'name = "p"\ncolour = "red"', "programme: unknown key colour"),
        ('name = "p"', 'name = "p"\nissued = 2024-01-01', "programme: unknown key issued"),
        ('title = "t"', "", "programme.title"),
        ('source = "s"', "", "programme.source"),
        ('boundary = "ttw"', "", "programme.boundary"),
        ('boundary = "ttw"', 'boundary = "wtt"', "programme.boundary: expected one of ttw, wtw"),
        ("place = true", "place = 1", "fallback.place: expected bool, found 1"),
        ("time = false", 'time = "no"', "fallback.time"),
        ("age_years_max = 3", "age_years_max = 3.5", "fallback.age_years_max"),
        ("age_years_max = 3", "age_days_max = 3", "fallback: unknown key age_days_max"),
        ('grid = "annual"', 'grid = "daily"', "charging.grid: expected one of annual, hourly"),
        ('classes = ["car"]', 'classes = "car"', "charging.classes: expected list"),
        ('classes = ["car"]', "classes = [7]", "charging.classes: names, please"),
        ('classes = ["car"]', 'classes = ["car", "bus"]', "charging: .* differ in bus"),
        ("baseline.car]", "baseline.car-dc]", "charging: .* differ in car"),
        ('["truck"]', '["truck", "van"]', "freight: .* differ in van"),
        ("{ truck = 57000 }", "{ truck-dc = 57000 }", "freight: .* differ in truck"),
        ('"0.923"', '"0"', "charging: losses must leave some energy"),
        ('"0.923"', '"1.1"', "charging: losses must leave some energy"),
        ('"0.923"', "0.923", "charging.dc_dispenser_efficiency: expected str, found 0.923"),
        ('"0.05"', '"1"', "charging: losses must leave some energy"),
        ('"0.05"', '"-0.05"', "charging: losses must leave some energy"),
        ('"0.05"', '"5 %"', "charging.transmission_loss: '5 %' is not a number"),
        ('"0.05"', '"1/0"', "charging.transmission_loss: '1/0' is not a number"),
        ('"0.05"', '"0.0511111111111"', "charging: write losses and claim_share with fewer digits"),
        ('"0.9"', '"1.5"', "charging.reduction.claim_share: between 0 and 1"),
        ('"0.9"', '"-0.1"', "charging.reduction.claim_share: between 0 and 1"),
        ('"0.8"', '"0.8001"', "freight: write claim_share with at most three digits"),
        ('"0.8"', '"2"', "freight.reduction.claim_share: between 0 and 1"),
        (f"[{BASELINE}]", "[charging.reduction.baseline]\ncar = 5\n[x]", BASELINE),
        ('fuel_per_100 = "7.8"', "", f"{BASELINE}.fuel_per_100"),
        ('fuel_per_100 = "7.8"', 'fuel_per_100 = "-7.8"', f"{BASELINE}: out of range"),
        ('energy_per_100 = "15.0"', 'energy_per_100 = "0"', f"{BASELINE}: out of range"),
        ("2370000", "237000000000", f"{BASELINE}: out of range"),
        ("2370000", '"2370000"', f"{BASELINE}.fuel_mg_per_unit: expected int"),
        ('"0.99"', '"99"', f"{BASELINE}.improvement: above 0 and at most 1"),
        ('"0.99"', '"0"', f"{BASELINE}.improvement: above 0 and at most 1"),
        ("from_year = 2018", 'from_year = "2018"', f"{BASELINE}.improvement_from_year"),
        ("improvement_from_year", "improved_from", f"{BASELINE}: unknown key improved_from"),
        ("57000", "57000.5", "freight.reduction.baseline_mg_per_tkm"),
        ("57000", "-1", "freight.reduction.baseline_mg_per_tkm"),
        ("57000", "true", "freight.reduction.baseline_mg_per_tkm"),
    ],
)
def test_a_wrong_programme_is_refused_by_the_name_of_what_is_wrong(
    old: str, new: str, told: str
) -> None:
    with pytest.raises(ProgrammeError, match=told.replace(".reduction", r"\.reduction")):
        parse_programme(changed(old, new))


def test_what_is_not_toml_is_told() -> None:
    with pytest.raises(ProgrammeError, match="not TOML"):
        parse_programme("name = ")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "p"', 'name = "q"'),
        ('title = "t"', 'title = "u"'),
        ('boundary = "ttw"', 'boundary = "wtw"'),
        ('source = "s"', 'source = "another page"'),
        ("place = true", "place = false"),
        ("time = false", "time = true"),
        ("age_years_max = 3", "age_years_max = 4"),
        ('grid = "annual"', 'grid = "hourly"'),
        ('"0.923"', '"0.92"'),
        ('"0.05"', '"0.06"'),
        ('"0.9"', '"0.95"'),
        ('"7.8"', '"7.9"'),
        ('"15.0"', '"15.1"'),
        ("2370000", "2370001"),
        ('"0.99"', '"0.98"'),
        ("2018", "2019"),
        ('"0.8"', '"0.81"'),
        ("57000", "57001"),
    ],
)
def test_any_changed_parameter_changes_the_digest(old: str, new: str) -> None:
    assert parse_programme(changed(old, new)).digest != parse_programme(TEXT).digest


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda text: text.replace(" = ", "="),
        lambda text: "# a comment\n" + text,
        lambda text: text.replace('title = "t"\n', "").replace(
            "[fallback]", 'title = "t"\n[fallback]'
        ),
    ],
)
def test_layout_order_and_comments_do_not_change_the_digest(rewrite: Callable[[str], str]) -> None:
    assert parse_programme(rewrite(TEXT)).digest == parse_programme(TEXT).digest


def test_every_shipped_programme_is_one_under_its_own_name_and_no_two_are_the_same() -> None:
    programmes = load_programmes()
    assert {"cn-charging", "cn-freight", "us-fleet", "acn-data", "india-hcv"} <= set(programmes)
    assert all(name == programme.name for name, programme in programmes.items())
    assert len({programme.digest for programme in programmes.values()}) == len(programmes)
    assert all(programme.charging or programme.freight for programme in programmes.values())


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 5_000,
        "a = " + "9" * 5_000,
        "\0",
        changed('"7.8"', '"1e999999999"'),
        changed('"7.8"', '"1e-999999999"'),
        changed('"7.8"', f'"{"9" * 5_000}"'),
        changed('"7.8"', '"nan"'),
        changed('"7.8"', '"-7.8"'),
        changed("age_years_max = 3", "age_years_max = -1"),
        changed("age_years_max = 3", f"age_years_max = {2**70}"),
        changed("improvement_from_year = 2018", "improvement_from_year = -1000000000"),
        changed("2370000", f"{2**62}"),
        changed('classes = ["car"]', "classes = [[]]"),
        changed('name = "p"', f'name = "{"p" * 2_000}"'),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(text: str) -> None:
    with pytest.raises(ProgrammeError):
        parse_programme(text)
