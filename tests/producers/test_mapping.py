from fractions import Fraction
from pathlib import Path
from textwrap import dedent

import pytest

from producers import mapping
from producers.mapping import MappingError, load_mapping, parse_mapping
from producers.rules import FileMapping

COMPLETE = """
record = "charging_session"
zone = "UTC"
[fields]
session_id = "Id"
source = { value = "here" }
account_id = "User"
programme = { value = "p" }
vehicle_class = { value = "car" }
grid_region = { value = "CN" }
started_at = "Start"
ended_at = "End"
energy_wh = { column = "Energy", unit = "kWh" }
meter_side = { value = "grid" }
current = { value = "ac" }
operator_id = { value = "" }
evse_id = { template = "{Station}-{Plug}" }
"""


def parsed(old: str = "", new: str = "") -> FileMapping:
    assert old in COMPLETE
    return parse_mapping(COMPLETE.replace(old, new) if old else COMPLETE, origin="m.toml")


def test_the_example_of_the_docs_is_a_mapping() -> None:
    example = (mapping.__doc__ or "").split("::\n", 1)[1].split("\nA text goes")[0]
    assert parse_mapping(dedent(example), origin="docs").name == "my-chargers"


@pytest.mark.parametrize("name", ["acn-data", "india-hcv"])
def test_a_shipped_mapping_is_loaded_by_its_name(name: str) -> None:
    assert load_mapping(name).name == name


def test_a_mapping_is_loaded_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(COMPLETE)
    assert load_mapping(file).name == "mine"


def test_an_unknown_mapping_says_which_are_shipped() -> None:
    with pytest.raises(MappingError, match="acn-data, india-hcv"):
        load_mapping("acn")


def test_the_columns_are_those_the_fields_read() -> None:
    assert set(parsed().columns) == {"Id", "User", "Start", "End", "Energy", "Station", "Plug"}


def test_a_load_factor_is_the_decimal_that_is_written() -> None:
    (cargo,) = (f for f in load_mapping("india-hcv").fields if f.target.name == "cargo_kg")
    assert cargo.rules[0].factor == Fraction(600)


def test_the_columns_of_a_pseudonym_are_natural_ids() -> None:
    said = parsed(
        '"User"', '[{ column = ["User", "Card"], pseudonym = true }, { value = "nobody" }]'
    )
    assert said.natural_columns == {"User", "Card"}
    assert parsed().natural_columns == set()


def test_fields_with_a_default_in_the_record_may_be_left_out() -> None:
    assert "revision" not in [field.target.name for field in parsed().fields]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"charging_session"', '"session"', "record must be charging_session or freight_trip"),
        ('session_id = "Id"', "", "lacks session_id, which charging_session requires"),
        ('session_id = "Id"', 'sesion_id = "Id"', "5: sesion_id: .* did you mean 'session_id'"),
        ('column = "Energy"', 'colum = "Energy"', "13: energy_wh: unknown key 'colum'; did you"),
        (', unit = "kWh"', "", "energy_wh: the unit of the column is missing; one of Wh, kWh"),
        ('unit = "kWh"', 'unit = "kwh"', "unit 'kwh' is none of Wh, kWh, MWh, MJ; did you mean"),
        ('unit = "kWh"', 'unit = "km"', "unit 'km' is none of"),
        ('zone = "UTC"', "", "started_at: the zone is missing"),
        ('zone = "UTC"', 'zone = "Europe/Rom"', "'Europe/Rom' is not a time zone"),
        ('zone = "UTC"', 'zome = "UTC"', "m.toml: unknown key 'zome'; did you mean 'zone'"),
        ('{ value = "grid" }', '{ value = "roof" }', "one of grid, dispenser, not 'roof'"),
        ('{ value = "here" }', '{ value = "a:b" }', "source may not contain ':'"),
        ('{ value = "here" }', "{ value = 3 }", "a constant must be a string, not 3"),
        ('"{Station}-{Plug}"', '"Station"', "the template names no column"),
        ('current = { value = "ac" }', "current = { }", "write one of column, value and template"),
        ('"User"', '{ column = "User", regex = "(a)(b)" }', "more than one group"),
        ('"User"', '{ column = "User", regex = "(" }', "regex: "),
        ('"User"', '{ column = "User", unit = "km" }', "unit does not fit a field of type string"),
        ('"User"', '{ column = "User", lookup = "u" }', r"there is no look-up table \[lookup.u\]"),
        ('"User"', '[{ value = "a" }, "User"]', "nothing can follow a value or a default"),
        ('"User"', "[]", "the list of alternatives is empty"),
        ('"Start"', '{ column = "Start", format = "isoo" }', "neither iso, unix, unix_ms nor"),
        (
            '"Id"',
            '{ column = "Id", pseudonym = true }',
            "session_id: pseudonym is for account_id al",
        ),
        ('"User"', '{ value = "u", pseudonym = true }', "a value stands alone"),
        ('"User"', '{ column = "User", pseudonym = 1 }', "pseudonym must be true or false"),
        (
            '"User"',
            '[{ column = "User", pseudonym = true }, "Id"]',
            "every alternative must say pseudonym = true, or none",
        ),
        (
            '"User"',
            '{ template = "{User}-{Plug}", pseudonym = true }',
            "evse_id: column 'Plug' is a natural id, which account_id keeps secret",
        ),
        ("[fields]", "[felder]", "unknown key 'felder'; did you mean 'fields'"),
        ("[fields]", "[fields", "line 4"),
    ],
)
def test_a_wrong_mapping_says_where_and_why(old: str, new: str, says: str) -> None:
    with pytest.raises(MappingError, match=says):
        parsed(old, new)


def test_keys_of_a_folded_look_up_must_stay_different() -> None:
    table = '{ column = "User", fold = true, lookup = { "A B" = "1", "a/b" = "2" } }'
    with pytest.raises(MappingError, match="'a/b' is another entry's key once folded"):
        parsed('"User"', table)
