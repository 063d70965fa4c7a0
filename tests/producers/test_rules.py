import pytest

from producers.mapping import parse_mapping
from producers.rules import UnmappableError, Value, field_reader

REST = """
record = "freight_trip"
zone = "Asia/Shanghai"
null = ["", "NULL"]
null_dates = ["1899-12-30"]
[lookup.kinds]
"24 / 26 FT" = "big"
[fields]
trip_id = "Id"
source = { value = "s" }
account_id = "A"
programme = { value = "p" }
vehicle_id = "V"
energy_carrier = { value = "diesel" }
departed_at = "D"
distance_basis = { value = "sfd" }
cargo_kg = { column = "C", unit = "t" }
empty_distance_m = { value = 0 }
origin_region = { value = "CN" }
destination_region = { value = "CN" }
data_grade = "G"
"""


def value(field: str, rule: str, **texts: str | None) -> Value:
    """Return what a rule makes of the texts of one row."""
    others = {
        "vehicle_class": '{ value = "c" }',
        "arrived_at": '"E"',
        "distance_m": '{ column = "K", unit = "km" }',
    }
    others.pop(field, None)
    kept = [line for line in REST.splitlines() if not line.startswith(f"{field} =")]
    lines = [*kept, f"{field} = {rule}", *(f"{name} = {text}" for name, text in others.items())]
    mapping = parse_mapping("\n".join(lines), origin="m.toml")
    (mapped,) = (f for f in mapping.fields if f.target.name == field)
    return field_reader(mapped, mapping)(texts)


def test_the_first_column_with_a_value_counts() -> None:
    assert value("vehicle_id", '{ column = ["X", "Y"] }', X="NULL", Y="7") == "7"


def test_a_null_date_passes_to_the_next_column() -> None:
    instant = value(
        "arrived_at", '{ column = ["X", "Y"] }', X="1899-12-30 00:00", Y="1970-01-01 08"
    )
    assert instant == 0


def test_white_space_around_a_value_is_no_part_of_it() -> None:
    assert value("vehicle_id", '"X"', X="  7 ") == "7"


def test_a_template_composes_columns() -> None:
    assert value("trip_id", '{ template = "{X}/{Y Z}" }', **{"X": "a", "Y Z": "b"}) == "a/b"


def test_a_template_with_an_empty_column_has_no_value() -> None:
    with pytest.raises(UnmappableError, match="trip_id: column 'Y' is empty"):
        value("trip_id", '{ template = "{X}/{Y}" }', X="a", Y=None)


def test_a_regex_gives_its_group() -> None:
    rule = r"{ column = 'X', regex = '(\d+(?:\.\d+)?)\s*MT', unit = 't', multiply = 0.6 }"
    assert value("cargo_kg", rule, X="15 FT Single-Axle 7.2MT") == 4_320


def test_a_folded_look_up_forgives_case_and_punctuation() -> None:
    rule = '{ column = "X", lookup = "kinds", fold = true }'
    assert value("vehicle_class", rule, X="24 | 26  ft") == "big"


def test_a_plain_look_up_forgives_nothing() -> None:
    with pytest.raises(UnmappableError, match="is not in the look-up table"):
        value("vehicle_class", '{ column = "X", lookup = "kinds" }', X="24 | 26 FT")


def test_an_alternative_is_tried_when_the_one_before_does_not_match() -> None:
    rule = '[{ column = "X", lookup = "kinds" }, { value = "small" }]'
    assert value("vehicle_class", rule, X="3 FT") == "small"


def test_a_default_stands_in_for_an_empty_column() -> None:
    assert value("cargo_kg", '{ column = "X", unit = "t", default = 9 }', X="NULL") == 9


def test_a_default_does_not_hide_a_value_that_cannot_be_used() -> None:
    rule = '{ column = "X", lookup = "kinds", default = "small" }'
    with pytest.raises(UnmappableError) as refused:
        value("vehicle_class", rule, X="3 FT")
    assert refused.value.code == "row_bad_value"


def test_a_number_that_cannot_be_read_is_final() -> None:
    with pytest.raises(UnmappableError) as refused:
        value("distance_m", '{ column = ["X", "Y"], unit = "km" }', X="far", Y="3")
    assert refused.value.code == "row_bad_value"
    assert refused.value.reason == "distance_m: column 'X' value 'far' is not a number"


def test_an_empty_column_is_a_missing_value() -> None:
    with pytest.raises(UnmappableError) as refused:
        value("distance_m", '{ column = "X", unit = "km", null = ["0.0"] }', X="0.0")
    assert refused.value.code == "row_missing_value"
    assert refused.value.reason == "distance_m: column 'X' is empty (0.0)"


def test_an_empty_column_of_a_nullable_field_is_null() -> None:
    assert value("energy_used", '{ column = "X", unit = "l" }', X="") is None


def test_litres_of_fuel_become_millilitres() -> None:
    assert value("energy_used", '{ column = "X", unit = "l" }', X="321.6") == 321_600


def test_a_symbol_that_is_not_in_the_record_is_refused() -> None:
    with pytest.raises(UnmappableError, match="is none of primary, modelled, default"):
        value("data_grade", '"X"', X="guessed")


def test_a_long_value_is_cut_in_the_reason() -> None:
    with pytest.raises(UnmappableError) as refused:
        value("distance_m", '{ column = "X", unit = "km" }', X="x" * 10_000)
    assert len(refused.value.reason) < 200
