"""The same amounts once more, as they stand on paper: fractions, one session at a time.

Programmes are read from their TOML and factors searched one by one; nothing of `carbon.rate` and
`carbon.exact` takes part. So what the columns give can be held against it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, NamedTuple

from carbon.factors import Factor
from carbon.regions import chain

YEAR_MS: Final = 366 * 86_400_000


class Session(NamedTuple):
    """What the amounts of a session depend on."""

    programme: str
    grid_region: str
    vehicle_class: str
    meter_side: str
    current: str
    started_at: int


class PerKwh(NamedTuple):
    """What one kWh emits, would have emitted as fuel, and so saves [mg]."""

    emissions: Fraction
    baseline: Fraction
    reduction: Fraction


@dataclass(frozen=True, slots=True)
class Paper:
    """Programmes by name, as their TOML says, and factors in the order of publication."""

    programmes: Mapping[str, Mapping[str, Any]]
    factors: Sequence[Factor]

    @classmethod
    def of(cls, folder: Path, factors: Iterable[Factor]) -> Paper:
        """Return the programmes of a folder and some factors."""
        trees = [tomllib.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.toml"))]
        return cls({tree["name"]: tree for tree in trees}, tuple(factors))

    def per_kwh(self, session: Session) -> PerKwh | None:
        """Return what a kWh of a session comes to, None where the session must be refused.

        Programmes with an annual grid and a reduction only.
        """
        tree = self.programmes.get(session.programme)
        if tree is None or session.vehicle_class not in tree["charging"]["classes"]:
            return None
        grid = self._grid_mg(tree, session)
        if grid is None:
            return None
        rules = tree["charging"]
        drawn = 1 / (1 - Fraction(rules.get("transmission_loss", "0")))
        if session.meter_side == "dispenser" and session.current == "dc":
            drawn /= Fraction(rules.get("dc_dispenser_efficiency", "1"))
        fuel = _fuel_mg(rules["reduction"]["baseline"], session)
        share = Fraction(rules["reduction"]["claim_share"])
        return PerKwh(grid * drawn, Fraction(fuel), (fuel - grid * drawn) * share)

    def _grid_mg(self, tree: Mapping[str, Any], session: Session) -> int | None:
        at, fallback = session.started_at, tree.get("fallback", {})
        age_ms_max: int = fallback.get("age_years_max", 4) * YEAR_MS
        of_place = [
            [
                each
                for each in self.factors
                if (each.kind, each.boundary, each.region, each.subject)
                == ("grid_average", tree["boundary"], place, "electricity")
            ]
            for place in chain(session.grid_region)
        ]
        for factors in of_place:
            if holding := [each for each in factors if each.valid_from <= at < each.valid_to]:
                return holding[-1].value_mg
        for factors in of_place:
            past = [each for each in factors if each.valid_to <= at <= each.valid_to + age_ms_max]
            if past:
                return max(past, key=lambda each: each.valid_to).value_mg
        return None


def _fuel_mg(baselines: Mapping[str, Any], session: Session) -> int:
    """Return the fuel displaced by a kWh [mg]: a parameter, whole."""
    of_class = baselines[session.vehicle_class]
    if session.current == "dc":
        of_class = baselines.get(f"{session.vehicle_class}-dc", of_class)
    year = datetime.fromtimestamp(session.started_at / 1000, UTC).year
    years = max(0, year - of_class.get("improvement_from_year", year))
    per_kwh: Fraction = Fraction(of_class["fuel_per_100"]) / Fraction(of_class["energy_per_100"])
    improved: Fraction = Fraction(of_class.get("improvement", "1")) ** years
    fuel_mg: int = of_class["fuel_mg_per_unit"]
    return round(per_kwh * fuel_mg * improved)
