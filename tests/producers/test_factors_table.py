"""A user's CSV: exact values, sensible defaults, and every wrong line named."""

import hashlib
import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon.factors import Factor
from carbon.limits import FACTOR_MG_MAX, FOREVER_MS
from producers.factors.errors import LINES_SHOWN_MAX, FactorFileError
from producers.factors.reading import milligrams
from producers.factors.table import parse_table, read_table

DOCS = Path(__file__).resolve().parents[2] / "docs" / "factors.md"
HEADER = (
    "factor_id,kind,region,subject,boundary,gas,value_g,unit,valid_from,valid_to,publisher,licence"
)
GRID = {
    "factor_id": "acme:1",
    "kind": "grid_average",
    "region": "ACME",
    "subject": "electricity",
    "boundary": "ttw",
    "gas": "co2",
    "value_g": "556.8",
    "unit": "kwh",
    "valid_from": "",
    "valid_to": "",
    "publisher": "Acme",
    "licence": "own",
}


def _line(**changes: str) -> str:
    return ",".join({**GRID, **changes}.values())


def _parse(*lines: str, header: str = HEADER) -> list[Factor]:
    text = "\n".join([header, *lines])
    return parse_table(text, file="mine.csv", release="csv:mine:0")


def test_the_example_of_the_documentation_is_a_table() -> None:
    (example,) = re.findall(r"```csv\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    factors = parse_table(example, file="docs/factors.md", release="csv:docs:0")
    assert [factor.value_mg for factor in factors] == [549_300, 41_000, 39_300, 48_400]
    assert {factor.kind for factor in factors} == {"grid_average", "fuel", "freight_intensity"}


def test_what_is_left_out_has_its_default() -> None:
    (factor,) = _parse(_line())
    assert factor == Factor(
        factor_id="acme:1",
        kind="grid_average",
        region="ACME",
        subject="electricity",
        boundary="ttw",
        gas="co2",
        value_mg=556_800,
        unit="kwh",
        valid_from=0,
        valid_to=FOREVER_MS,
        release="csv:mine:0",
        publisher="Acme",
        publication="",
        url="",
        licence="own",
        evidence="user",
        uncertainty_permille=None,
    )


def test_an_uncertainty_is_whole_permille() -> None:
    (factor,) = _parse(_line() + ",50", header=HEADER + ",uncertainty_permille")
    assert factor.uncertainty_permille == 50


def test_the_release_of_a_file_is_its_content(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(b"\xef\xbb\xbf" + f"{HEADER}\r\n{_line()}\r\n".encode())
    (factor,) = read_table(path)
    assert factor.release == f"csv:mine:{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"


@given(st.integers(0, FACTOR_MG_MAX), st.sampled_from([0, 3, 6]))
def test_an_amount_is_the_same_in_every_unit(amount_mg: int, power: int) -> None:
    text = f"{Decimal(amount_mg).scaleb(-power):f}"
    assert milligrams(text, power=power) == amount_mg


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"factor_id": ""}, "factor_id is empty"),
        ({"kind": "gird"}, "kind: 'gird' is none of grid_average"),
        ({"boundary": "wtt"}, "boundary: 'wtt' is none of ttw, wtw"),
        ({"gas": "CO2"}, "gas: 'CO2' is none of co2, co2e"),
        ({"unit": "MWh"}, "unit: 'MWh' does not fit grid_average, which is per kwh"),
        ({"kind": "fuel", "unit": "kwh"}, "unit: 'kwh' does not fit fuel, which is per l or kg"),
        ({"subject": "diesel"}, "subject: 'diesel' should be electricity"),
        (
            {"kind": "freight_intensity", "unit": "tkm", "subject": "truck"},
            "subject: 'truck' should be vehicle_class.energy_carrier",
        ),
        ({"region": "North China"}, "factor_id and region must not contain spaces"),
        ({"value_g": "0,5568"}, "another number of cells"),
        ({"value_g": '"0,5568"'}, "value_g: '0,5568' is not a number"),
        ({"value_g": "5e2"}, "value_g: '5e2' is not a number"),
        ({"value_g": "٣"}, "is not a number"),
        ({"value_g": "-1"}, "value_g: '-1' is not a number"),
        ({"value_g": "0.0001"}, "value_g: 0.0001 is finer than a milligram"),
        ({"value_g": "556800000"}, "value_g: 556800000 is above the limit of 100 kg per unit"),
        ({"valid_from": "2024"}, "valid_from: '2024' is not a time"),
        ({"valid_from": "2024-01-01"}, "valid_from: '2024-01-01' does not say its time zone"),
        ({"valid_from": "1969-01-01T00:00:00Z"}, "is before 1970"),
        (
            {"valid_from": "2024-01-01T00:00:00Z", "valid_to": "2024-01-01T00:00:00Z"},
            "valid_from is not before valid_to",
        ),
    ],
)
def test_a_wrong_line_is_refused_with_its_number_and_reason(
    changes: dict[str, str], reason: str
) -> None:
    with pytest.raises(FactorFileError) as caught:
        _parse(_line(factor_id="acme:0", region="OTHER"), _line(**changes))
    ((line, why),) = caught.value.lines
    assert line == 3
    assert reason in why
    assert str(caught.value) == f"mine.csv, line 3: {why}"


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "there is no header"),
        (HEADER.replace(",licence", ""), "the header lacks licence"),
        (HEADER.replace("value_g", "value"), "the header has unknown columns: value"),
        (HEADER + ",value_mg", "the header needs one of value_mg, value_g and value_kg"),
        (HEADER.replace("value_g,", ""), "the header needs one of value_mg, value_g and value_kg"),
        (HEADER + ",unit", "the header names a column twice"),
    ],
)
def test_a_wrong_header_is_refused(header: str, reason: str) -> None:
    with pytest.raises(FactorFileError, match=f"mine.csv, line 1: {reason}"):
        _parse(_line(), header=header)


def test_all_wrong_lines_are_named_at_once() -> None:
    with pytest.raises(FactorFileError) as caught:
        _parse(_line(gas="x"), _line(), _line(unit="x"))
    assert [line for line, _ in caught.value.lines] == [2, 4]


def test_a_long_list_of_wrong_lines_is_cut() -> None:
    with pytest.raises(FactorFileError, match=r"\.\.\. and 5 more$"):
        _parse(*[_line(gas="x")] * (LINES_SHOWN_MAX + 5))


def test_an_id_is_used_once() -> None:
    with pytest.raises(FactorFileError, match="line 3: factor_id 'acme:1' is that of line 2"):
        _parse(_line(), _line(region="OTHER"))


def test_two_lines_must_not_compete_for_the_same_time() -> None:
    later = _line(factor_id="acme:2", valid_from="2024-06-01T00:00:00Z")
    with pytest.raises(
        FactorFileError, match="line 3: it covers a time that line 2 already covers"
    ):
        _parse(_line(valid_to="2025-01-01T00:00:00Z"), later)


def test_one_year_may_follow_the_other() -> None:
    years = (
        _line(factor_id="acme:2", valid_from="2024-01-01T00:00:00+08:00"),
        _line(valid_to="2023-12-31T16:00:00Z"),
    )
    assert [factor.factor_id for factor in _parse(*years)] == ["acme:2", "acme:1"]


def test_a_file_that_is_not_utf8_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(f"{HEADER}\n{_line(publisher='国网')}\n".encode("gb18030"))
    with pytest.raises(FactorFileError, match="line 2: is not UTF-8"):
        read_table(path)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(FactorFileError, match=r"none\.csv: No such file or directory"):
        read_table(tmp_path / "none.csv")
