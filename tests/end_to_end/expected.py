"""What the two data sets must come to, computed from the files alone.

Nothing of Carbonflow is imported here and nothing is a float: every text becomes a fraction, every
activity is rounded once, half to even. It is slow and reads like the formulas on paper, so that a
fast column of the product can be held against it.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path
from typing import Any

HOUR_MS = 3_600_000
INDIA_TIME = timezone(timedelta(hours=5, minutes=30))
LOAD_FACTOR = Fraction(6, 10)
MONTH_MS = 31 * 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Booked:
    """One emission as it must stand in the ledger; names as there."""

    account_id: str
    amount_mg: int
    energy_wh: int
    distance_m: int
    transport_kg_km: int
    factor_value_mg: int
    vehicle_class: str
    booked_ms: int


@dataclass(frozen=True, slots=True)
class Expected:
    """Emissions by the id of their transfer, repeats of booked activities, refusals by code."""

    booked: Mapping[str, Booked]
    repeats: int
    refused: Mapping[str, int]

    def balances(self) -> dict[str, dict[str, int]]:
        """Return what the emissions of each account add up to."""
        by_account: dict[str, list[Booked]] = {}
        for one in self.booked.values():
            by_account.setdefault(one.account_id, []).append(one)
        return {
            account: {
                "reduction_mg": 0,
                "emissions_mg": sum(one.amount_mg for one in ones),
                "energy_wh": sum(one.energy_wh for one in ones),
                "distance_m": sum(one.distance_m for one in ones),
                "transport_kg_km": sum(one.transport_kg_km for one in ones),
                "transfer_count": len(ones),
                "last_booked_ms": max(one.booked_ms for one in ones),
            }
            for account, ones in by_account.items()
        }


def california(sessions: Path, hours: Path) -> Expected:
    """Return the sessions of ACN-Data under the life-cycle factors of the hour.

    The energy is spread evenly over the time of charging; a session in any hour without a factor
    is refused.
    """
    mg_per_kwh = dict(_life_cycle_of_hours(hours))
    booked: dict[str, Booked] = {}
    refused: Counter[str] = Counter()
    for row in _rows(sessions):
        start_ms = _utc_ms(datetime.fromisoformat(row["ChargingStartDateTime"]))
        end_ms = _utc_ms(datetime.fromisoformat(row["ChargingEndDateTime"]))
        shares = dict(_shares_of_hours(start_ms, end_ms))
        if not shares.keys() <= mg_per_kwh.keys():
            refused["factor_not_found"] += 1
            continue
        energy_wh = round(Fraction(row["Energy"]) * 1000)
        mean = sum((share * mg_per_kwh[at] for at, share in shares.items()), Fraction(0))
        booked[f"charging:acn-data:{row['Session']}:0:emission:0"] = Booked(
            account_id=f"acn-{row['UserID']}",
            amount_mg=round(Fraction(energy_wh, 1000) * mean),
            energy_wh=energy_wh,
            distance_m=0,
            transport_kg_km=0,
            factor_value_mg=round(mean),
            vehicle_class="car",
            booked_ms=end_ms,
        )
    return Expected(booked, 0, refused)


def _life_cycle_of_hours(path: Path) -> Iterator[tuple[int, Fraction]]:
    for row in _rows(path):
        at = datetime.fromisoformat(row["Datetime (UTC)"]).replace(tzinfo=UTC)
        if grams := row["Carbon Intensity gCO₂eq/kWh (LCA)"]:
            yield _utc_ms(at), Fraction(grams) * 1000


def _shares_of_hours(start_ms: int, end_ms: int) -> Iterator[tuple[int, Fraction]]:
    """Yield each hour a session touches and the share of its time in it; a moment has one hour."""
    first = start_ms - start_ms % HOUR_MS
    if start_ms == end_ms:
        yield first, Fraction(1)
    for hour in range(first, end_ms, HOUR_MS):
        overlap_ms = min(end_ms, hour + HOUR_MS) - max(start_ms, hour)
        yield hour, Fraction(overlap_ms, end_ms - start_ms)


def india(trips: Path, intensities: Path) -> Expected:
    """Return the truck bookings under India's default intensities.

    Cargo is 0.6 of the capacity in the name of the vehicle type; its class is the one named there,
    else light up to 3 t, medium up to 9 t, heavy above.
    """
    mg_per_tkm = dict(_intensities(intensities))
    booked: dict[str, Booked] = {}
    refused: Counter[str] = Counter()
    repeats = 0
    for row in _rows(trips):
        trip = _trip(row, mg_per_tkm)
        if isinstance(trip, str):
            refused[trip] += 1
            continue
        name = f"freight:india-hcv:{row['BookingID']}:0:emission:0"
        repeats += name in booked
        booked.setdefault(name, trip)
    return Expected(booked, repeats, refused)


def _trip(row: Mapping[str, str], mg_per_tkm: Mapping[str, Fraction]) -> Booked | str:
    """Return the trip, or the code it is refused with."""
    kind = _given(row["vehicleType"])
    if kind is None:
        return "row_missing_value"
    capacity_t = re.search(r"([\d.]+) *MT", kind)
    if capacity_t is None:
        return "row_bad_value"
    departed_ms = _india_ms(row["trip_start_date"])
    arrived_ms = _india_ms(row["trip_end_date"]) or _india_ms(row["actual_eta"])
    distance_m = round(Fraction(_given(row["TRANSPORTATION_DISTANCE_IN_KM"]) or 0) * 1000)
    if departed_ms is None or arrived_ms is None or distance_m == 0:
        return "row_missing_value"
    if arrived_ms < departed_ms:
        return "ended_before_started"
    if arrived_ms - departed_ms > MONTH_MS:
        return "too_long"
    cargo_kg = round(Fraction(capacity_t[1]) * LOAD_FACTOR * 1000)
    vehicle_class = _class_of(kind, Fraction(capacity_t[1]))
    work_tkm = Fraction(cargo_kg, 1000) * Fraction(distance_m, 1000)
    return Booked(
        account_id=f"carrier-{row['supplierID']}",
        amount_mg=round(work_tkm * mg_per_tkm[vehicle_class]),
        energy_wh=0,
        distance_m=distance_m,
        transport_kg_km=round(work_tkm * 1000),
        factor_value_mg=round(mg_per_tkm[vehicle_class]),
        vehicle_class=vehicle_class,
        booked_ms=arrived_ms,
    )


def _class_of(kind: str, capacity_t: Fraction) -> str:
    if "HCV" in kind or "Trailer" in kind:
        return "hcv"
    if "MCV" in kind:
        return "mcv"
    if "LCV" in kind:
        return "lcv"
    return "lcv" if capacity_t <= 3 else "mcv" if capacity_t <= 9 else "hcv"


def _intensities(path: Path) -> Iterator[tuple[str, Fraction]]:
    """Yield the default intensity of each class of diesel truck [mg/tkm]."""
    # The texts of the numbers, never doubles.
    published: Iterable[dict[str, Any]] = json.loads(
        path.read_text(encoding="utf-8"), parse_float=Fraction
    )["emission_factors"]
    for factor in published:
        found = re.fullmatch(r"freight-road-(lcv|mcv|hcv)-diesel-india", factor["id"])
        if found:
            assert factor["unit"] == "kgCO2e/tonne-km"
            yield found[1], Fraction(factor["value"]) * 1_000_000


def _india_ms(text: str) -> int | None:
    """Return an instant of Indian time; the data set writes 1899-12-30 where it has none."""
    given = _given(text)
    if given is None or given.startswith("1899-12-30"):
        return None
    return _utc_ms(datetime.fromisoformat(given).replace(tzinfo=INDIA_TIME))


def _given(text: str) -> str | None:
    return None if text.strip() in ("", "NULL") else text.strip()


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file)


def _utc_ms(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
