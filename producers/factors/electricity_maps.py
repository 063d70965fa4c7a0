"""Hourly grid factors from the yearly CSV files of Electricity Maps.

Each hour becomes two factors of kind `grid_hourly`: `ttw` from the direct intensity and `wtw` from
the life-cycle one (LCA), gCO2eq/kWh turned into milligrams exactly. An hour without a value gets no
factor and is never filled from its neighbours: it is named in a `FactorGap` warning, and a session
in it matches as its programme says or is refused. Hours that the publisher estimated are taken and
say so in `publication`.

The files are under the ODbL 1.0; attribute Electricity Maps.
"""

import csv
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Final

from carbon.factors import Factor
from producers.factors.errors import FactorFileError, FactorGap
from producers.factors.reading import instant, milligrams, read_utf8

HOUR_MS: Final = 3_600_000
_GAPS_NAMED_MAX: Final = 5
_URL: Final = "https://www.electricitymaps.com/"
# Two generations of the files differ in capitals and in the name of the life-cycle column.
_DIRECT: Final = ("carbon intensity gco₂eq/kwh (direct)",)
_LIFE_CYCLE: Final = (
    "carbon intensity gco₂eq/kwh (lca)",
    "carbon intensity gco₂eq/kwh (life cycle)",
)


@dataclass(frozen=True, slots=True)
class HourlyFile:
    """What an hourly file holds.

    Attributes:
        factors: One for each hour and boundary, in order of time, ttw before wtw.
        missing: Hours without a value, as `<boundary>:<UTC hour>`, in the same order.
    """

    factors: tuple[Factor, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Columns:
    at: str
    zone: str
    estimated: str
    method: str
    values: tuple[tuple[str, str], ...]  # boundary, column


def read_electricity_maps(path: Path) -> list[Factor]:
    """Return the factors of an hourly file, and warn of hours that have none.

    Warns:
        FactorGap: Hours between the first and the last have no value.

    Raises:
        FactorFileError: It is not an hourly file of one zone, or a value cannot be read.
    """
    hourly = read_hours(path)
    if hourly.missing:
        named = ", ".join(hourly.missing[:_GAPS_NAMED_MAX])
        more = len(hourly.missing) - _GAPS_NAMED_MAX
        tail = f" and {more} more" if more > 0 else ""
        warnings.warn(FactorGap(f"{path}: no factor for {named}{tail}"), stacklevel=2)
    return list(hourly.factors)


def read_hours(path: Path) -> HourlyFile:
    """Return the factors of an hourly file and the hours that have none.

    Raises:
        FactorFileError: It is not an hourly file of one zone, or a value cannot be read.
    """
    text, digest = read_utf8(path)
    reader = csv.DictReader(StringIO(text, newline=""), strict=True)
    hours: dict[int, tuple[int, Mapping[str, str]]] = {}
    wrong: list[tuple[int, str]] = []
    try:
        columns = _columns(reader.fieldnames or ())
        for row in reader:
            try:
                if None in row or None in row.values():
                    raise ValueError("it has another number of cells than the header")
                at = _hour(row[columns.at])
                if at in hours:
                    raise ValueError(f"the hour of line {hours[at][0]} again")
                hours[at] = (reader.line_num, row)
            except ValueError as error:
                wrong.append((reader.line_num, str(error)))
    except (csv.Error, ValueError) as error:
        raise FactorFileError(str(path), ((max(reader.line_num, 1), str(error)),)) from error
    if wrong:
        raise FactorFileError(str(path), tuple(wrong))
    _refuse_other_resolutions(hours, path)
    return _factors(hours, columns, path, f"electricity-maps:{path.stem}:{digest}")


def _columns(header: Sequence[str]) -> _Columns:
    names = [name.strip().casefold() for name in header]
    known = dict(zip(names, header, strict=True))

    def column(*wanted: str) -> str:
        found = [known[name] for name in wanted if name in known]
        if not found:
            raise ValueError(f"it has no column {wanted[0]!r}: not an Electricity Maps file")
        if sum(names.count(name) for name in wanted) > 1:
            raise ValueError(f"it has a column twice: {wanted[0]!r}")
        return found[0]

    return _Columns(
        at=column("datetime (utc)"),
        zone=column("zone id"),
        estimated=column("data estimated"),
        method=column("data estimation method"),
        values=(("ttw", column(*_DIRECT)), ("wtw", column(*_LIFE_CYCLE))),
    )


def _hour(text: str | None) -> int:
    at = instant(f"{text}+00:00")
    if at % HOUR_MS:
        raise ValueError(f"{text!r} is not the start of an hour")
    return at


def _refuse_other_resolutions(hours: Mapping[int, object], path: Path) -> None:
    if not hours:
        raise FactorFileError(str(path), ((0, "it has no hours"),))
    span = (max(hours) - min(hours)) // HOUR_MS + 1
    if 2 * len(hours) <= span:
        reason = f"{len(hours)} lines cover {span} hours: not an hourly file"
        raise FactorFileError(str(path), ((0, reason),))


def _factors(
    hours: Mapping[int, tuple[int, Mapping[str, str]]],
    columns: _Columns,
    path: Path,
    release: str,
) -> HourlyFile:
    first, row = hours[min(hours)]
    zone = row[columns.zone]
    if not zone or re.search(r"\s", zone):
        raise FactorFileError(str(path), ((first, f"the zone {zone!r} is no region"),))
    factors: list[Factor] = []
    missing: list[str] = []
    wrong: list[tuple[int, str]] = []
    for at in range(min(hours), max(hours) + 1, HOUR_MS):
        line, row = hours.get(at, (0, {}))
        if row and row[columns.zone] != zone:
            wrong.append((line, f"zone {row[columns.zone]!r} in a file of zone {zone!r}"))
            continue
        for boundary, column in columns.values:
            text = (row.get(column) or "").strip()
            if not text:
                missing.append(f"{boundary}:{_hour_name(at)}")
                continue
            try:
                factors.append(
                    _factor(
                        zone=zone,
                        boundary=boundary,
                        at=at,
                        value_mg=milligrams(text, power=3),
                        release=release,
                        publication=_publication(row, columns),
                    )
                )
            except ValueError as error:
                wrong.append((line, f"{column}: {error}"))
    if wrong:
        raise FactorFileError(str(path), tuple(sorted(wrong)))
    return HourlyFile(tuple(factors), tuple(missing))


def _publication(row: Mapping[str, str], columns: _Columns) -> str:
    if (row[columns.estimated] or "").strip().casefold() != "true":
        return "Hourly carbon intensity"
    method = (row[columns.method] or "").strip() or "method not stated"
    return f"Hourly carbon intensity, estimated ({method})"


def _hour_name(at: int) -> str:
    return datetime.fromtimestamp(at // 1000, UTC).strftime("%Y-%m-%dT%H")


def _factor(
    *, zone: str, boundary: str, at: int, value_mg: int, release: str, publication: str
) -> Factor:
    return Factor(
        factor_id=f"electricity-maps:{zone}:{boundary}:{_hour_name(at)}",
        kind="grid_hourly",
        region=zone,
        subject="electricity",
        boundary=boundary,
        gas="co2e",
        value_mg=value_mg,
        unit="kwh",
        valid_from=at,
        valid_to=at + HOUR_MS,
        release=release,
        publisher="Electricity Maps",
        publication=publication,
        url=_URL,
        licence="ODbL-1.0",
        evidence="user",
    )
