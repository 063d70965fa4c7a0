"""Programmes: what a scheme decides, read from TOML and identified by the digest of its parameters.

    name = "cn-charging"
    title = "Charging points, China"
    boundary = "ttw"                     # ttw or wtw, the same on both sides of every reduction
    source = "where the parameters come from"

    [fallback]                           # how far a factor match may go
    place = true                         # parent regions
    time = true                          # the latest earlier period ...
    age_years_max = 4                    # ... that ended at most so long ago

    [charging]
    grid = "annual"                      # annual, hourly, or hourly_else_annual
    classes = ["car", "bus"]             # the vehicle classes that are taken
    dc_dispenser_efficiency = "0.923"    # grid to dispenser of a DC charger; default 1
    transmission_loss = "0"              # share lost before the charger; default 0
    [charging.reduction]                 # leave out for an inventory without reductions
    claim_share = "1"
    [charging.reduction.baseline.car]    # fuel displaced by one kWh
    fuel_per_100 = "7.8"                 # fuel units per 100 km (or miles)
    energy_per_100 = "15.0"              # kWh per 100 km (or miles)
    fuel_mg_per_unit = 2370000           # mg per fuel unit
    improvement = "1"                    # yearly factor from improvement_from_year on; default 1

    [freight]
    classes = ["truck_46t"]
    [freight.reduction]
    claim_share = "1"
    baseline_mg_per_tkm = { truck_46t = 57000 }

Numbers that are not whole are written as strings, so that nothing passes through a float.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from carbon.factors import Fallback
from carbon.limits import FACTOR_MG_MAX, SESSION_MS_MAX, YEAR_MS

DENOMINATOR_MAX: Final = 2**62 // (1000 * SESSION_MS_MAX)
GROSS_UP_MAX: Final = 10
AGE_YEARS_MAX: Final = 100
IMPROVEMENT_YEARS: Final = 1970, 9999
NAME_BYTES_MAX: Final = 200
NUMBER: Final = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?(/[0-9]{1,20})?", re.ASCII)
"""No exponents: ten characters could ask for a number of a billion digits."""
GRIDS: Final = ("annual", "hourly", "hourly_else_annual")


class ProgrammeError(ValueError):
    """A programme's text is not one; the message says where."""


@dataclass(frozen=True, slots=True)
class FuelBaseline:
    """Fuel that one kWh displaces, by year: VM0038 eq. 1, `IR**(y - y0)` included."""

    mg_per_kwh: Fraction
    improvement: Fraction
    improvement_from_year: int

    def in_year(self, year: int) -> int:
        """Return the baseline of a year [mg/kWh], rounded: a parameter, not a result."""
        years = max(0, year - self.improvement_from_year) if self.improvement_from_year else 0
        if not years or self.improvement == 1:
            return round(self.mg_per_kwh)
        return round(self.mg_per_kwh * self.improvement**years)


@dataclass(frozen=True, slots=True)
class ChargingRules:
    """How charging sessions are rated."""

    grid: str
    classes: tuple[str, ...]
    dc_dispenser_efficiency: Fraction
    transmission_loss: Fraction
    claim_share: Fraction | None
    baselines: Mapping[str, FuelBaseline]

    def gross_up(self, *, dc_dispenser: bool) -> Fraction:
        """Return the energy drawn from the grid per energy delivered."""
        efficiency = self.dc_dispenser_efficiency if dc_dispenser else Fraction(1)
        return 1 / (efficiency * (1 - self.transmission_loss))

    def baseline_mg_per_kwh(self, vehicle_class: str, *, dc: bool, year: int) -> int:
        """Return the fuel displaced by one kWh [mg/kWh]; `<class>-dc` goes first for dc."""
        for_dc = self.baselines.get(f"{vehicle_class}-dc") if dc else None
        return (for_dc or self.baselines[vehicle_class]).in_year(year)


@dataclass(frozen=True, slots=True)
class FreightRules:
    """How freight trips are rated."""

    classes: tuple[str, ...]
    claim_share: Fraction | None
    baseline_mg_per_tkm: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Programme:
    """The rules of one scheme; equal digests mean equal rules."""

    name: str
    title: str
    boundary: str
    source: str
    digest: str
    fallback: Fallback
    charging: ChargingRules | None
    freight: FreightRules | None


def parse_programme(text: str) -> Programme:
    """Return the programme that a TOML text describes.

    Raises:
        ProgrammeError: A key is missing, unknown or out of range.
    """
    try:
        tree = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Numbers of thousands of digits and nesting without end are TOML to the library.
        raise ProgrammeError(f"not TOML: {error}") from error
    digest = hashlib.sha256(json.dumps(tree, sort_keys=True, default=str).encode()).hexdigest()[:16]
    top = _Section("programme", tree)
    fallback = _Section("fallback", top.take("fallback", dict, {}))
    charging, freight = top.take("charging", dict, None), top.take("freight", dict, None)
    programme = Programme(
        name=top.take("name", str),
        title=top.take("title", str),
        boundary=top.choice("boundary", ("ttw", "wtw")),
        source=top.take("source", str),
        digest=digest,
        fallback=Fallback(
            place=fallback.take("place", bool, True),
            time=fallback.take("time", bool, True),
            age_ms_max=fallback.whole("age_years_max", 4, 0, AGE_YEARS_MAX) * YEAR_MS,
        ),
        charging=_charging(charging) if charging is not None else None,
        freight=_freight(freight) if freight is not None else None,
    )
    fallback.end()
    top.end()
    if ":" in programme.name or not programme.name:
        raise ProgrammeError("name: must not be empty or contain ':'")
    if len(programme.name.encode()) > NAME_BYTES_MAX:
        raise ProgrammeError(f"name: at most {NAME_BYTES_MAX} bytes, please")
    return programme


def _charging(tree: dict[str, Any]) -> ChargingRules:
    section = _Section("charging", tree)
    reduction = section.take("reduction", dict, None)
    baselines: dict[str, FuelBaseline] = {}
    claim_share = None
    if reduction is not None:
        inner = _Section("charging.reduction", reduction)
        claim_share = inner.fraction("claim_share", Fraction(1))
        entries = _Section(f"{inner.name}.baseline", inner.take("baseline", dict))
        for name in entries.names():
            entry = _Section(f"{entries.name}.{name}", entries.take(name, dict))
            baselines[name] = _baseline(entry)
        inner.end()
    rules = ChargingRules(
        grid=section.choice("grid", GRIDS),
        classes=tuple(section.take("classes", list)),
        dc_dispenser_efficiency=section.fraction("dc_dispenser_efficiency", Fraction(1)),
        transmission_loss=section.fraction("transmission_loss", Fraction(0)),
        claim_share=claim_share,
        baselines=baselines,
    )
    section.end()
    _same_classes("charging", rules.classes, claim_share, baselines)
    if not 0 <= rules.transmission_loss < 1 or not 0 < rules.dc_dispenser_efficiency <= 1:
        raise ProgrammeError("charging: losses must leave some energy")
    if rules.gross_up(dc_dispenser=True) > GROSS_UP_MAX:
        raise ProgrammeError(f"charging: losses draw more than {GROSS_UP_MAX} times the energy")
    widest = (
        rules.gross_up(dc_dispenser=True).denominator * (claim_share or Fraction(1)).denominator
    )
    if widest > DENOMINATOR_MAX:
        raise ProgrammeError("charging: write losses and claim_share with fewer digits")
    return rules


def _baseline(section: _Section) -> FuelBaseline:
    fuel = section.fraction("fuel_per_100") * section.take("fuel_mg_per_unit", int)
    energy = section.fraction("energy_per_100")
    if energy <= 0 or not 0 <= fuel / energy <= FACTOR_MG_MAX:
        raise ProgrammeError(f"{section.name}: out of range")
    result = FuelBaseline(
        mg_per_kwh=fuel / energy,
        improvement=section.fraction("improvement", Fraction(1)),
        improvement_from_year=section.whole("improvement_from_year", 0, *IMPROVEMENT_YEARS),
    )
    if not 0 < result.improvement <= 1:
        raise ProgrammeError(f"{section.name}.improvement: above 0 and at most 1, please")
    section.end()
    return result


def _freight(tree: dict[str, Any]) -> FreightRules:
    section = _Section("freight", tree)
    reduction = section.take("reduction", dict, None)
    baseline: dict[str, int] = {}
    claim_share = None
    if reduction is not None:
        inner = _Section("freight.reduction", reduction)
        claim_share = inner.fraction("claim_share", Fraction(1))
        baseline = inner.take("baseline_mg_per_tkm", dict)
        inner.end()
    if any(type(v) is not int or not 0 <= v <= FACTOR_MG_MAX for v in baseline.values()):
        raise ProgrammeError("freight.reduction.baseline_mg_per_tkm: whole mg per tkm, please")
    rules = FreightRules(tuple(section.take("classes", list)), claim_share, baseline)
    section.end()
    _same_classes("freight", rules.classes, claim_share, baseline)
    if claim_share is not None and claim_share.denominator > 1000:
        raise ProgrammeError("freight: write claim_share with at most three digits")
    return rules


def _same_classes(
    where: str,
    classes: tuple[str, ...],
    claim_share: Fraction | None,
    baselines: Mapping[str, object],
) -> None:
    if not all(isinstance(name, str) and name for name in classes):
        raise ProgrammeError(f"{where}.classes: names, please")
    if claim_share is None:
        return
    if not 0 <= claim_share <= 1:
        raise ProgrammeError(f"{where}.reduction.claim_share: between 0 and 1, please")
    # Every class needs a baseline of its own; one for its DC sessions may stand beside it.
    beside = {f"{name}-dc" for name in classes} if where == "charging" else set()
    if odd := (set(classes) - set(baselines)) | (set(baselines) - set(classes) - beside):
        told = ", ".join(sorted(odd))
        raise ProgrammeError(f"{where}: classes and baselines differ in {told}")


class _Section:
    """A table of the TOML tree that complains about what is missing and what is left over."""

    def __init__(self, name: str, tree: dict[str, Any]) -> None:
        self.name = name
        self._tree = dict(tree)

    def names(self) -> tuple[str, ...]:
        return tuple(self._tree)

    def take(self, key: str, kind: type, *default: Any) -> Any:
        if key not in self._tree and default:
            return default[0]
        value = self._tree.pop(key, None)
        if type(value) is not kind:
            raise ProgrammeError(f"{self.name}.{key}: expected {kind.__name__}, found {value!r}")
        return value

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        value: str = self.take(key, str)
        if value not in choices:
            raise ProgrammeError(f"{self.name}.{key}: expected one of {', '.join(choices)}")
        return value

    def fraction(self, key: str, *default: Fraction) -> Fraction:
        if key not in self._tree and default:
            return default[0]
        text: str = self.take(key, str)
        if not NUMBER.fullmatch(text):
            raise ProgrammeError(f"{self.name}.{key}: {text[:80]!r} is not a number")
        try:
            return Fraction(text)
        except ZeroDivisionError as error:
            raise ProgrammeError(f"{self.name}.{key}: {text!r} is not a number") from error

    def whole(self, key: str, default: int, least: int, most: int) -> int:
        number: int = self.take(key, int, default)
        if number != default and not least <= number <= most:
            raise ProgrammeError(f"{self.name}.{key}: between {least} and {most}, please")
        return number

    def end(self) -> None:
        if self._tree:
            raise ProgrammeError(f"{self.name}: unknown key {', '.join(sorted(self._tree))}")
