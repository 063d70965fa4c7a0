"""Stations: a CSV of the operator's with what documents don't say about where energy came from.

    station_id,grid_region,country,state,gb2260,current,evse_id,operator_id
    BE*BEC*E041503003,BE,,,,ac,,
    3702123401,,,,440305,dc,,

`station_id` is the id that documents use: an EVSE, a connector or a station. The region is
`grid_region` as it stands; or it follows from `gb2260`, or from `country` and `state`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from producers.registers import RegisterError, read_register
from producers.states import country_region, gb2260_region, state_region

_CURRENTS: Final = ("", "ac", "dc")
_MAY_HAVE: Final = (
    *("grid_region", "country", "state", "gb2260", "current", "evse_id", "operator_id"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """What the table says about a station; "" where it says nothing."""

    region: str = ""
    current: str = ""
    evse_id: str = ""
    operator_id: str = ""


@dataclass(frozen=True, slots=True)
class Stations:
    """Stations by the upper case of their id, since OCPI and OICP don't tell cases apart."""

    by_id: Mapping[str, Station] = field(default_factory=dict)

    def of(self, *ids: str) -> Station | None:
        """Return the station of the first id that is known."""
        for station_id in ids:
            found = self.by_id.get(station_id.strip().upper())
            if found is not None:
                return found
        return None


def load_stations(path: Path) -> Stations:
    """Read a table of stations.

    Raises:
        RegisterError: It can't be used; the message names the line.
    """
    by_id: dict[str, Station] = {}
    for where, row in read_register(path, needs=["station_id"], may_have=_MAY_HAVE):
        if row["current"] not in _CURRENTS:
            raise RegisterError(f"{where}: current is ac or dc, not {row['current']!r}")
        station = Station(
            region=_region(where, row),
            current=row["current"],
            evse_id=row["evse_id"],
            operator_id=row["operator_id"],
        )
        if by_id.setdefault(row["station_id"].upper(), station) != station:
            raise RegisterError(f"{where}: an earlier line says something else about the station")
    return Stations(by_id)


def _region(where: str, row: Mapping[str, str]) -> str:
    if row["grid_region"]:
        return row["grid_region"]
    if row["gb2260"]:
        if region := gb2260_region(row["gb2260"]):
            return region
        raise RegisterError(f"{where}: {row['gb2260']!r} is no code of GB/T 2260")
    if not row["country"]:
        return ""
    country = country_region(row["country"])
    if country is None:
        raise RegisterError(f"{where}: {row['country']!r} is no country of ISO 3166-1")
    if not row["state"]:
        return country
    if region := state_region(country, row["state"]):
        return region
    raise RegisterError(f"{where}: {country} has no state {row['state']!r}; write grid_region")
