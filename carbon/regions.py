"""Which larger region stands in for a smaller one that has no emission factor of its own.

A region is a code: ISO 3166-1 for a country, ISO 3166-2 for its provinces and states, and names of
our own for the grids between them (`CN-NORTH`, `IN-SOUTH`, `US-CAMX`). `chain` is the order in
which a match looks: the region itself, then ever larger ones. What stands here is geography only;
whether a match may climb is the programme's to say, and every match tells that it climbed.

Some regions have no parent on purpose. Nothing falls back to `WORLD`. Hong Kong, Macao and Taiwan
run power systems that China's averages do not cover. The Andaman and Nicobar Islands and
Lakshadweep are not connected to the Indian grid.

Sources:
    China: the seven grids of the 2021-2023 announcements. That Shandong and Inner Mongolia belong
        to North, Jiangxi to Central, and Yunnan and Guizhou to South is inferred from the figures
        (DOMAIN, section 1.3), not read in the announcements. Tibet has no factor: Southwest.
    India: `states_covered` of Open India Emission Factors v1.2 (CC0). It names no region for
        Chandigarh and for Dadra and Nagar Haveli and Daman and Diu: straight to the country.
        Four states changed their ISO code in 2023; the former code leads to the present one.
    United States: eGRID subregions. US-CAL-CISO is Electricity Maps' name for the area of the
        California ISO, which makes up most of the subregion CAMX (WECC California).
    European Union: its 27 members, for the fuel factors published for Europe as a whole.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final


def _under(parent: str, country: str, codes: str) -> Iterable[tuple[str, str]]:
    return ((f"{country}{code}", parent) for code in codes.split())


PARENT: Final[Mapping[str, str]] = MappingProxyType(
    dict(
        [
            *_under("CN", "CN-", "NORTH NORTHEAST EAST CENTRAL NORTHWEST SOUTH SOUTHWEST"),
            *_under("CN-NORTH", "CN-", "BJ TJ HE SX NM SD"),
            *_under("CN-NORTHEAST", "CN-", "LN JL HL"),
            *_under("CN-EAST", "CN-", "SH JS ZJ AH FJ"),
            *_under("CN-CENTRAL", "CN-", "HA HB HN JX"),
            *_under("CN-NORTHWEST", "CN-", "SN GS QH NX XJ"),
            *_under("CN-SOUTH", "CN-", "GD GX HI YN GZ"),
            *_under("CN-SOUTHWEST", "CN-", "CQ SC XZ"),
            *_under("IN", "IN-", "NORTH WEST SOUTH EAST NORTHEAST CH DH"),
            *_under("IN-NORTH", "IN-", "DL HR HP JK LA PB RJ UP UK"),
            *_under("IN-WEST", "IN-", "CG GA GJ MP MH"),
            *_under("IN-SOUTH", "IN-", "AP KA KL PY TN TS"),
            *_under("IN-EAST", "IN-", "BR JH OD SK WB"),
            *_under("IN-NORTHEAST", "IN-", "AR AS MN ML MZ NL TR"),
            *{"IN-CT": "IN-CG", "IN-OR": "IN-OD", "IN-TG": "IN-TS", "IN-UT": "IN-UK"}.items(),
            *_under("US", "US-", "CAMX RFCE"),
            ("US-CAL-CISO", "US-CAMX"),
            *_under("EU", "", "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU"),
            *_under("EU", "", "IE IT LT LU LV MT NL PL PT RO SE SI SK"),
        ]
    )
)


def chain(region: str) -> tuple[str, ...]:
    """Return the region and its parents, the smallest first.

    A region that is not known has no parents; that is not an error, since users bring their own.

    >>> chain("CN-XZ")
    ('CN-XZ', 'CN-SOUTHWEST', 'CN')
    >>> chain("US-CAL-CISO")
    ('US-CAL-CISO', 'US-CAMX', 'US')
    >>> chain("CN-HK"), chain("somewhere")
    (('CN-HK',), ('somewhere',))
    """
    regions = [region]
    while (parent := PARENT.get(regions[-1])) is not None:
        regions.append(parent)
    return tuple(regions)
