"""A CSV of factors, one a line: how users bring their own, and how the release is kept.

The header names the fields of `emission_factor.v1.avsc`, in any order. Needed are `factor_id`,
`kind`, `region`, `subject`, `boundary`, `gas`, `unit`, `publisher`, `licence` and the value in one
of the columns `value_mg`, `value_g` or `value_kg` (per unit). The others may be left out or empty:

    valid_from, valid_to     ISO 8601 with a zone; empty is open
    release                  empty is `csv:<file>:<first 12 digits of the file's SHA-256>`
    publication, url         empty
    evidence                 empty is `user`
    uncertainty_permille     empty is unknown

Amounts are plain decimals with a point, exact to the milligram. A file is taken whole or not at
all.
"""

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Final

from carbon.factors import Factor
from carbon.limits import FOREVER_MS
from producers.factors.errors import FactorFileError
from producers.factors.reading import instant, milligrams, read_utf8

_POWERS: Final = {"value_mg": 0, "value_g": 3, "value_kg": 6}
_NEEDED: Final = (
    "factor_id",
    "kind",
    "region",
    "subject",
    "boundary",
    "gas",
    "unit",
    "publisher",
    "licence",
)
_OPTIONAL: Final = (
    "valid_from",
    "valid_to",
    "release",
    "publication",
    "url",
    "evidence",
    "uncertainty_permille",
)
_UNITS: Final = {
    "grid_average": ("kwh",),
    "grid_hourly": ("kwh",),
    "fuel": ("l", "kg"),
    "freight_intensity": ("tkm",),
}
_SUBJECTS: Final = {
    "grid_average": (re.compile("electricity"), "electricity"),
    "grid_hourly": (re.compile("electricity"), "electricity"),
    "fuel": (re.compile(r"[^\s.]+"), "an energy carrier such as diesel"),
    "freight_intensity": (re.compile(r"[^\s.]+\.[^\s.]+"), "vehicle_class.energy_carrier"),
}
_CHOICES: Final = {
    "boundary": ("ttw", "wtw"),
    "gas": ("co2", "co2e"),
    "evidence": ("V1", "V2", "V3", "C", "user"),
}


def read_table(path: Path) -> list[Factor]:
    """Return the factors of a user's CSV.

    Raises:
        FactorFileError: The file cannot be read, or one of its lines is not a factor.
    """
    text, digest = read_utf8(path)
    return parse_table(text, file=str(path), release=f"csv:{path.stem}:{digest}")


def parse_table(text: str, *, file: str, release: str) -> list[Factor]:
    """Return the factors of a CSV text.

    Args:
        text: Header and lines.
        file: What to call it in errors.
        release: The release of lines that name none.

    Raises:
        FactorFileError: The header or a line is wrong; all wrong lines are named.
    """
    reader = csv.DictReader(StringIO(text, newline=""), strict=True)
    wrong: list[tuple[int, str]] = []
    factors: dict[int, Factor] = {}
    try:
        value_column = _value_column(reader.fieldnames or ())
        for row in reader:
            try:
                factors[reader.line_num] = _factor(row, value_column, release)
            except ValueError as error:
                wrong.append((reader.line_num, str(error)))
    except (csv.Error, ValueError) as error:
        raise FactorFileError(file, ((max(reader.line_num, 1), str(error)),)) from error
    wrong.extend(_repeated(factors))
    wrong.extend(_overlapping(factors))
    if wrong:
        raise FactorFileError(file, tuple(sorted(wrong)))
    return list(factors.values())


def _value_column(header: object) -> str:
    columns = list(header) if isinstance(header, list) else []
    if not columns:
        raise ValueError("there is no header")
    if missing := [name for name in _NEEDED if name not in columns]:
        raise ValueError(f"the header lacks {', '.join(missing)}")
    known = {*_NEEDED, *_OPTIONAL, *_POWERS}
    if unknown := [str(name) for name in columns if name not in known]:
        raise ValueError(f"the header has unknown columns: {', '.join(unknown)}")
    if len(set(columns)) < len(columns):
        raise ValueError("the header names a column twice")
    values = [name for name in _POWERS if name in columns]
    if len(values) != 1:
        raise ValueError("the header needs one of value_mg, value_g and value_kg")
    return values[0]


def _factor(row: Mapping[str | None, str | None], value_column: str, release: str) -> Factor:
    if None in row or None in row.values():
        raise ValueError("it has another number of cells than the header")
    cells = {name: (cell or "").strip() for name, cell in row.items() if name is not None}
    for name in _NEEDED:
        if not cells[name]:
            raise ValueError(f"{name} is empty")
    return _checked(
        Factor(
            factor_id=cells["factor_id"],
            kind=cells["kind"],
            region=cells["region"],
            subject=cells["subject"],
            boundary=cells["boundary"],
            gas=cells["gas"],
            value_mg=_named(
                value_column, cells, lambda t: milligrams(t, power=_POWERS[value_column])
            ),
            unit=cells["unit"],
            valid_from=_named("valid_from", cells, instant) if cells.get("valid_from") else 0,
            valid_to=_named("valid_to", cells, instant) if cells.get("valid_to") else FOREVER_MS,
            release=cells.get("release") or release,
            publisher=cells["publisher"],
            publication=cells.get("publication", ""),
            url=cells.get("url", ""),
            licence=cells["licence"],
            evidence=cells.get("evidence") or "user",
            uncertainty_permille=_named("uncertainty_permille", cells, _permille)
            if cells.get("uncertainty_permille")
            else None,
        )
    )


def _named(name: str, cells: Mapping[str, str], read: Callable[[str], int]) -> int:
    try:
        return read(cells[name])
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _permille(text: str) -> int:
    if not re.fullmatch("[0-9]{1,6}", text):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def _checked(factor: Factor) -> Factor:
    if factor.kind not in _UNITS:
        raise ValueError(f"kind: {factor.kind!r} is none of {', '.join(_UNITS)}")
    for name, choices in _CHOICES.items():
        if getattr(factor, name) not in choices:
            raise ValueError(f"{name}: {getattr(factor, name)!r} is none of {', '.join(choices)}")
    if factor.unit not in _UNITS[factor.kind]:
        units = " or ".join(_UNITS[factor.kind])
        raise ValueError(f"unit: {factor.unit!r} does not fit {factor.kind}, which is per {units}")
    pattern, expected = _SUBJECTS[factor.kind]
    if not pattern.fullmatch(factor.subject):
        raise ValueError(f"subject: {factor.subject!r} should be {expected}")
    if re.search(r"\s", factor.factor_id + factor.region):
        raise ValueError("factor_id and region must not contain spaces")
    return factor


def _repeated(factors: Mapping[int, Factor]) -> Iterator[tuple[int, str]]:
    seen: dict[tuple[str, str], int] = {}
    for line, factor in factors.items():
        first = seen.setdefault((factor.release, factor.factor_id), line)
        if first != line:
            yield line, f"factor_id {factor.factor_id!r} is that of line {first}"


def _overlapping(factors: Mapping[int, Factor]) -> Iterator[tuple[int, str]]:
    """Yield lines that compete with another one; a match does not choose by gas."""
    ends: dict[tuple[str, ...], tuple[int, int]] = {}
    for line, factor in sorted(factors.items(), key=lambda item: (item[1].valid_from, item[0])):
        series = (
            factor.release,
            factor.kind,
            factor.boundary,
            factor.region,
            factor.subject,
            factor.unit,
        )
        end, other = ends.get(series, (0, 0))
        if factor.valid_from < end:
            yield line, f"it covers a time that line {other} already covers"
        if factor.valid_to >= end:
            ends[series] = (factor.valid_to, line)
