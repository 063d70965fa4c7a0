"""Rates: what the oracle multiplies by, read from the shipped files of programmes and factors.

Numbers are read from their texts into fractions; nothing is a float, and nothing of the product
reads for it.
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import producers

SHIPPED: Final = Path(producers.__file__).parent
YEAR: Final = 2023
MOMENT: Final = datetime(YEAR, 7, 1, tzinfo=UTC)
"""Every factor that holds here holds for all of the traffic."""
PARENTS: Final = {"CN-XZ": "CN-SOUTHWEST"}
"""Of a region without a factor; other regions of China have China above them."""


class RefusedError(Exception):
    """The domain says no; the message is the code."""


class Rates:
    """Programmes and factors, as their files have them."""

    def __init__(self) -> None:
        self._fuel: dict[tuple[str, str, bool], int] = {}

    def programme(self, name: str) -> Mapping[str, Any]:
        """Return the tables of a programme."""
        if name not in self._programmes:
            raise RefusedError("programme_unknown")
        return self._programmes[name]

    def fuel_mg_per_kwh(self, name: str, vehicle_class: str, direct: bool) -> int:
        """Return the fuel that one kWh displaces, a rounded parameter [mg/kWh]."""
        key = (name, vehicle_class, direct)
        if key not in self._fuel:
            baselines = self.programme(name)["charging"]["reduction"]["baseline"]
            of_direct = baselines.get(f"{vehicle_class}-dc") if direct else None
            chosen = of_direct or baselines[vehicle_class]
            displaced = Fraction(chosen["fuel_per_100"]) / Fraction(chosen["energy_per_100"])
            years = YEAR - chosen.get("improvement_from_year", YEAR)
            improved = Fraction(chosen.get("improvement", "1")) ** years
            self._fuel[key] = round(displaced * chosen["fuel_mg_per_unit"] * improved)
        return self._fuel[key]

    def grid(self, region: str) -> Fraction:
        """Return the grid factor of a region [mg/kWh]."""
        return self._found("grid_average", region, "electricity", "kwh")

    def fuel(self, region: str, carrier: str) -> Fraction:
        """Return the factor of a fuel [mg/l]."""
        return self._found("fuel", region, carrier, "l")

    def intensity(self, region: str, vehicle_class: str, carrier: str) -> Fraction:
        """Return the default intensity of a class of trucks [mg/tkm]."""
        return self._found("freight_intensity", region, f"{vehicle_class}.{carrier}", "tkm")

    def _found(self, kind: str, region: str, subject: str, unit: str) -> Fraction:
        above = PARENTS.get(region, "CN" if region.startswith("CN-") else region)
        for place in (region, above, "CN" if region.startswith("CN-") else region):
            if (value := self._factors.get((kind, place, subject, unit))) is not None:
                return value
        raise RefusedError("factor_not_found")

    @cached_property
    def _programmes(self) -> dict[str, dict[str, Any]]:
        trees = [
            tomllib.loads(path.read_text("utf-8"))
            for path in (SHIPPED / "programmes").glob("*.toml")
        ]
        return {tree["name"]: tree for tree in trees}

    @cached_property
    def _factors(self) -> dict[tuple[str, str, str, str], Fraction]:
        """Return the factors from tank to wheel that hold at MOMENT [mg per unit]."""
        (path,) = (SHIPPED / "factors" / "releases").glob("*/factors.csv")
        found: dict[tuple[str, str, str, str], Fraction] = {}
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                begins, ends = row["valid_from"], row["valid_to"]
                holds = not begins or datetime.fromisoformat(begins) <= MOMENT
                if row["boundary"] == "ttw" and holds:
                    if ends and datetime.fromisoformat(ends) <= MOMENT:
                        continue
                    key = (row["kind"], row["region"], row["subject"], row["unit"])
                    assert key not in found, f"two factors for {key}"
                    found[key] = Fraction(row["value_mg"])
        return found
