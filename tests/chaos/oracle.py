"""The oracle: what the books must say, computed from the events that were sent and nothing else.

Programmes and factors are read from their files, amounts are exact fractions that are rounded once,
half to even, and sums are Python's integers. No line of the worker's is called; the formulas are
those of DOMAIN, sections 2.3 and 3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

import pyarrow as pa

from tests.chaos.rates import Rates, RefusedError
from tests.chaos.traffic import Part, Rows, Spoilt

ROAD_DAF: Final = Fraction(105, 100)
"""Driven kilometres for one of the shortest distance, by which transport activity is counted."""

Row = dict[str, Any]


@dataclass(slots=True)
class Balance:
    """What an account must come to; names as in AccountBalance."""

    programme: str
    reduction_mg: int = 0
    emissions_mg: int = 0
    energy_wh: int = 0
    distance_m: int = 0
    transport_kg_km: int = 0
    session_count: int = 0
    trip_count: int = 0
    transfer_count: int = 0
    duplicate_count: int = 0
    last_booked_at: int = 0


@dataclass(slots=True)
class Oracle:
    """The books so far; `add` takes what was sent, in order.

    Attributes:
        amounts: What each transfer adds to its account [mg], by its id.
        balances: Balances by account.
        refused: Number of refusals by code.
        activities: Number of activities booked.
        duplicates: Number of repeats.
        sent: Number of events.
    """

    rates: Rates = field(default_factory=Rates)
    amounts: dict[str, int] = field(default_factory=dict)
    balances: dict[str, Balance] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    activities: int = 0
    duplicates: int = 0
    sent: int = 0

    def add(self, part: Part) -> None:
        """Take the next events."""
        if isinstance(part, Spoilt):
            self.sent += 1
            self.refused[part.code] += 1
            return
        rate = self._session if part.record == "charging_session" else self._trip
        for row in _rows(part):
            self.sent += 1
            kind, number = (
                ("charging", row["session_id"])
                if part.record == "charging_session"
                else ("freight", row["trip_id"])
            )
            identity = f"{kind}:{row['source']}:{number}:{row['revision']}"
            if f"{identity}:emission:0" in self.amounts:
                self.duplicates += 1
                self.balances[row["account_id"]].duplicate_count += 1
                continue
            try:
                emission, reduction = rate(row)
            except RefusedError as refused:
                self.refused[str(refused)] += 1
                continue
            self.activities += 1
            self.amounts[f"{identity}:emission:0"] = round(emission)
            self.amounts[f"{identity}:reduction:0"] = round(reduction)
            balance = self.balances[row["account_id"]]
            balance.emissions_mg += round(emission)
            balance.reduction_mg += round(reduction)
            balance.transfer_count += 2

    def _balance(self, row: Row, ended_at: int) -> Balance:
        balance = self.balances.setdefault(row["account_id"], Balance(row["programme"]))
        balance.last_booked_at = max(balance.last_booked_at, ended_at)
        return balance

    def _session(self, row: Row) -> tuple[Fraction, Fraction]:
        """Return emission and reduction of a session [mg], and count it (VM0038 eq. 1, 4, 10)."""
        programme = self.rates.programme(row["programme"])
        if row["energy_wh"] < 0:
            raise RefusedError("energy_out_of_range")
        _check_times(row["started_at"], row["ended_at"])
        charging = programme["charging"]
        if row["vehicle_class"] not in charging["classes"]:
            raise RefusedError("vehicle_class_unknown")
        grid = self.rates.grid(row["grid_region"])
        direct = row["current"] == "dc"
        if direct and row["meter_side"] == "dispenser":
            grid /= Fraction(charging.get("dc_dispenser_efficiency", "1"))
        fuel = self.rates.fuel_mg_per_kwh(row["programme"], row["vehicle_class"], direct)
        claim = Fraction(charging["reduction"]["claim_share"])
        energy_kwh = Fraction(row["energy_wh"], 1000)
        balance = self._balance(row, row["ended_at"])
        balance.energy_wh += row["energy_wh"]
        balance.session_count += 1
        return energy_kwh * grid, energy_kwh * (fuel - grid) * claim

    def _trip(self, row: Row) -> tuple[Fraction, Fraction]:
        """Return emission and reduction of a trip [mg], and count it (ISO 14083, GLEC)."""
        programme = self.rates.programme(row["programme"])
        _check_times(row["departed_at"], row["arrived_at"])
        if row["distance_m"] <= 0:
            raise RefusedError("distance_out_of_range")
        freight = programme["freight"]
        if row["vehicle_class"] not in freight["classes"]:
            raise RefusedError("vehicle_class_unknown")
        shortest_km = Fraction(row["distance_m"], 1000)
        if row["distance_basis"] == "actual":
            shortest_km /= ROAD_DAF
        work_tkm = Fraction(row["cargo_kg"], 1000) * shortest_km
        region, carrier = row["origin_region"], row["energy_carrier"]
        if row["energy_used"] is None:
            emission = work_tkm * self.rates.intensity(region, row["vehicle_class"], carrier)
        elif carrier == "electricity":
            emission = Fraction(row["energy_used"], 1000) * self.rates.grid(region)
        else:
            emission = Fraction(row["energy_used"], 1000) * self.rates.fuel(region, carrier)
        baseline = work_tkm * freight["reduction"]["baseline_mg_per_tkm"][row["vehicle_class"]]
        claim = Fraction(freight["reduction"]["claim_share"])
        balance = self._balance(row, row["arrived_at"])
        balance.distance_m += row["distance_m"]
        balance.transport_kg_km += round(work_tkm * 1000)
        balance.trip_count += 1
        return emission, (baseline - emission) * claim


def _rows(rows: Rows) -> Iterator[Row]:
    columns = {}
    for name, column in zip(rows.batch.schema.names, rows.batch.columns, strict=True):
        instant = pa.types.is_timestamp(column.type)
        columns[name] = (column.cast(pa.int64()) if instant else column).to_pylist()
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def _check_times(start_ms: int, end_ms: int) -> None:
    if end_ms < start_ms:
        raise RefusedError("ended_before_started")
