"""Regions: from what a document says about a place to the region that emission factors are for.

Looked at in this order, and every answer says which it was:

    station_table   the operator's table of stations has the station
    gb2260          an administrative code of China (GB/T 2260)
    state           country and state, by code or name
    coordinates     the nearest place of GeoNames, in the country that the document names, if any
    country         the country alone

The operator's word stands above the document's, a code above a measurement. Coordinates can be
wrong (the official CDR of OCPI has latitude and longitude swapped), so they are used only where
they lie in the country that the document names; else they are put aside, which the answer tells.
They need the extra `regions`.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from producers.places import Places
from producers.states import STATES, country_region, gb2260_region, state_region
from producers.stations import Station, Stations

_LATITUDE_MAX: Final = 90
_LONGITUDE_MAX: Final = 180


class NoRegionError(LookupError):
    """Nothing that is known about the place leads to a region; the message says what was tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a document says about a place; each part may be missing.

    Attributes:
        stations: Ids under which a table of stations may know it, the most exact first.
        gb2260: Administrative code of China.
        country: ISO 3166-1, two or three letters.
        state: Code or name of a state or province.
        coordinates: Latitude and longitude [degrees].
    """

    stations: tuple[str, ...] = ()
    gb2260: str | None = None
    country: str | None = None
    state: str | None = None
    coordinates: tuple[Fraction, Fraction] | None = None


@dataclass(frozen=True, slots=True)
class Region:
    """A region, how it was found, and what about the place was put aside."""

    code: str
    how: str
    doubts: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """The answer as sentences."""
        return (f"region {self.code} by {self.how}", *self.doubts)


@dataclass(frozen=True, slots=True)
class Regions:
    """What the operator knows about places: a table of stations, and GeoNames where installed."""

    stations: Stations = field(default_factory=Stations)
    places: Places | None = None

    def station(self, *ids: str) -> Station | None:
        """Return the station of the first id that the table has."""
        return self.stations.of(*ids)

    def of(self, place: Place) -> Region:
        """Return the region of a place.

        Raises:
            NoRegionError: Nothing leads to one.
        """
        station = self.stations.of(*place.stations)
        if station is not None and station.region:
            return Region(station.region, "station_table")
        doubts: list[str] = []
        if place.gb2260 is not None:
            if region := gb2260_region(place.gb2260):
                return Region(region, "gb2260")
            doubts.append(f"{place.gb2260[:20]!r} is no code of GB/T 2260")
        country = country_region(place.country) if place.country is not None else None
        if place.country is not None and country is None:
            doubts.append(f"{place.country[:20]!r} is no country of ISO 3166-1")
        if country and place.state is not None:
            if region := state_region(country, place.state):
                return Region(region, "state", tuple(doubts))
            if country in STATES:
                doubts.append(f"{country} has no state {place.state[:40]!r}")
        by_coordinates = self._by_coordinates(place, country, doubts)
        if by_coordinates is not None:
            return by_coordinates
        if country is not None:
            return Region(country, "country", tuple(doubts))
        tried = ["no station of the table"] if place.stations else []
        raise NoRegionError("no region: " + "; ".join([*tried, *doubts] or ["no place is named"]))

    def _by_coordinates(
        self, place: Place, country: str | None, doubts: list[str]
    ) -> Region | None:
        if place.coordinates is None or self.places is None:
            return None
        latitude, longitude = (float(degrees) for degrees in place.coordinates)
        if not (abs(latitude) <= _LATITUDE_MAX and abs(longitude) <= _LONGITUDE_MAX):
            doubts.append("the coordinates are not on the Earth")
            return None
        found = self.places.at(latitude, longitude)
        if found is None:
            doubts.append("the coordinates are far from any town")
        elif country is not None and found.country != country:
            doubts.append(f"the coordinates are in {found.country} and not in {country}")
        if found is None or country not in (None, found.country):
            swapped = (
                self.places.at(longitude, latitude) if abs(longitude) <= _LATITUDE_MAX else None
            )
            if swapped is not None and swapped.country == country:
                doubts.append("latitude and longitude are swapped")
            return None
        state = state_region(found.country, found.state) if found.state else None
        if found.bordering:
            doubts.append(f"the border with {', '.join(found.bordering)} is near")
        if state is None and country is not None:
            return None
        return Region(state or found.country, "coordinates", tuple(doubts))
