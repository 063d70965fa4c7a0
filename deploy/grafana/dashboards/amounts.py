"""Amounts in SQL: the store has whole milligrams, watt hours, metres and kg km; panels show more.

An amount counts for its account where it is credited and against it where it is debited. Energy,
distance and transport are on both transfers of an activity, and summed over emission transfers.
"""

from __future__ import annotations

from typing import Final

MG_PER_KG: Final = 1_000_000
MG_PER_T: Final = 1_000_000_000
WH_PER_KWH: Final = 1_000
M_PER_KM: Final = 1_000
KG_PER_T: Final = 1_000

KG: Final = "suffix:kg CO2"
T: Final = "suffix:t CO2"
TKM: Final = "suffix:tkm"
G_PER_KWH: Final = "suffix:g/kWh"
KWH: Final = "kwatth"
KM: Final = "suffix:km"

SIGNED_MG: Final = "if(credit_account = account_id, amount_mg, -amount_mg)"
IS_ACTIVITY: Final = "quantity = 'emission'"
"""Each activity has one emission transfer."""


def emitted(mg_per_unit: int) -> str:
    """Return what was emitted, in a unit of so many milligrams."""
    return f"sumIf({SIGNED_MG}, quantity = 'emission') / {mg_per_unit}"


def saved(mg_per_unit: int) -> str:
    """Return what was saved against the baseline, in a unit of so many milligrams."""
    return f"sumIf({SIGNED_MG}, quantity = 'reduction') / {mg_per_unit}"


ACTIVITIES: Final = f"countIf({IS_ACTIVITY})"
ENERGY_KWH: Final = f"sumIf(energy_wh, {IS_ACTIVITY}) / {WH_PER_KWH}"
TRANSPORT_TKM: Final = f"sumIf(transport_kg_km, {IS_ACTIVITY}) / {KG_PER_T}"
