"""What must become of a record, said a second time: in fractions, one by one, over plain lists.

`carbon.rate` computes columns over modular numerators and looks factors up in timelines; here a
factor is found by looking at all of them, and an amount is a fraction that is rounded once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final, TypeAlias

from carbon.factors import Factor
from carbon.limits import FOREVER_MS, FUTURE_MS_MAX
from carbon.programmes import Programme
from carbon.regions import PARENT
from tests.streams.scene import DAY_MS, SESSIONS

Values: TypeAlias = Mapping[str, Any]
CARRIER_UNITS: Final = {
    **dict.fromkeys(("diesel", "diesel_b6", "petrol", "biodiesel", "hvo", "lpg"), "l"),
    **dict.fromkeys(("cng", "bio_cng", "lng", "hydrogen"), "kg"),
    "electricity": "kwh",
}
TEXT_BYTES_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Amounts:
    """The signed amounts of a booked activity [mg]; no reduction where none is claimed."""

    emissions_mg: int
    baseline_mg: int
    reduction_mg: int | None
    transport_kg_km: int


class Oracle:
    """Says of a decoded record why it must be refused, or what it amounts to."""

    def __init__(self, programmes: Mapping[str, Programme], factors: tuple[Factor, ...]) -> None:
        self._programmes = programmes
        self._factors: defaultdict[tuple[str, ...], list[Factor]] = defaultdict(list)
        for one in factors:
            key = (one.kind, one.boundary, one.region, one.subject, one.unit)
            self._factors[key].append(one)
        self._found = lru_cache(maxsize=50_000)(self._search)

    def identity_refusals(self, topic: str, values: Values, timestamp_ms: int) -> set[str]:
        """Return the codes for which a record is no event of anybody's."""
        codes = set() if 0 <= timestamp_ms < FOREVER_MS else {"timestamp_invalid"}
        identity = values["session_id" if topic == SESSIONS else "trip_id"]
        parts = (values["source"], identity, values["account_id"])
        if ":" in values["source"] or any(not part or "\0" in part for part in parts):
            codes.add("identity_invalid")
        if any(len(part.encode()) > TEXT_BYTES_MAX for part in parts):
            codes.add("identity_too_long")
        if values["revision"]:
            codes.add("revision_invalid" if values["revision"] < 0 else "original_unknown")
        return codes

    def refusals(self, topic: str, values: Values, timestamp_ms: int) -> set[str]:
        """Return all codes that fit an event; none where it is to be booked."""
        codes = set() if values["reversal_of"] is None else {"original_unknown"}
        charging = topic == SESSIONS
        begin, end = _times(topic, values)
        if end > timestamp_ms + FUTURE_MS_MAX:
            codes.add("ended_in_future")
        programme = self._programmes.get(values["programme"])
        if programme is None:
            return codes | {"programme_unknown"}
        rules = programme.charging if charging else programme.freight
        if rules is None:
            return codes | {"activity_not_in_programme"}
        if min(begin, end) < 0 or max(begin, end) >= FOREVER_MS:
            codes.add("time_invalid")
        if end < begin:
            codes.add("ended_before_started")
        if end - begin > 31 * DAY_MS:
            codes.add("too_long")
        if values["vehicle_class"] not in rules.classes:
            codes.add("vehicle_class_unknown")
        codes |= set(_session_ranges(values) if charging else _trip_ranges(values))
        if "energy_carrier_unknown" not in codes and not self._factor(topic, values, programme):
            codes.add("factor_not_found")
        return codes

    def amounts(self, topic: str, values: Values) -> Amounts:
        """Return what a record that is not refused amounts to."""
        programme = self._programmes[values["programme"]]
        factor = self._factor(topic, values, programme)
        assert factor is not None
        if topic == SESSIONS:
            return _session(values, programme, factor.value_mg)
        return _trip(values, programme, factor.value_mg)

    def _factor(self, topic: str, values: Values, programme: Programme) -> Factor | None:
        begin, _ = _times(topic, values)
        if topic == SESSIONS:
            assert programme.charging is not None
            kind = "grid_average" if programme.charging.grid == "annual" else "grid_hourly"
            return self._found(
                kind, programme.name, values["grid_region"], "electricity", "kwh", begin
            )
        carrier, region = values["energy_carrier"], values["origin_region"]
        if values["energy_used"] is None:
            subject = f"{values['vehicle_class']}.{carrier}"
            return self._found("freight_intensity", programme.name, region, subject, "tkm", begin)
        kind = "grid_average" if carrier == "electricity" else "fuel"
        unit = CARRIER_UNITS.get(carrier, "")
        return self._found(kind, programme.name, region, carrier, unit, begin)

    def _search(
        self, kind: str, name: str, region: str, subject: str, unit: str, at_ms: int
    ) -> Factor | None:
        programme = self._programmes[name]
        fallback = programme.fallback
        regions = list(_chain(region)) if fallback.place else [region]
        kept = [
            self._factors.get((kind, programme.boundary, each, subject, unit), [])
            for each in regions
        ]
        for factors in kept:
            for one in factors:
                if one.valid_from <= at_ms < one.valid_to:
                    return one
        for factors in kept if fallback.time else []:
            past = [
                one
                for one in factors
                if one.valid_to <= at_ms <= one.valid_to + fallback.age_ms_max
            ]
            if past:
                return max(past, key=lambda one: one.valid_to)
        return None


def _chain(region: str) -> Iterator[str]:
    while region:
        yield region
        region = PARENT.get(region, "")


def _times(topic: str, values: Values) -> tuple[int, int]:
    names = ("started_at", "ended_at") if topic == SESSIONS else ("departed_at", "arrived_at")
    return values[names[0]], values[names[1]]


def _session_ranges(values: Values) -> Iterator[str]:
    if not 0 <= values["energy_wh"] <= 10_000_000:
        yield "energy_out_of_range"


def _trip_ranges(values: Values) -> Iterator[str]:
    used, cargo = values["energy_used"], values["cargo_kg"]
    if not 0 < values["distance_m"] <= 20_000_000:
        yield "distance_out_of_range"
    if not 0 <= values["empty_distance_m"] <= 20_000_000:
        yield "distance_out_of_range"
    if not 0 <= cargo <= 100_000 or (not cargo and used is None):
        yield "cargo_out_of_range"
    # A negative cannot be told from "not given" in the column that says whether there is cargo.
    if not cargo and used is not None and used < 0:
        yield "cargo_out_of_range"
    if used is not None and not 0 <= used <= 100_000_000:
        yield "energy_used_out_of_range"
    if used is not None and used >= 0 and values["energy_carrier"] not in CARRIER_UNITS:
        yield "energy_carrier_unknown"


def _session(values: Values, programme: Programme, grid_mg: int) -> Amounts:
    rules = programme.charging
    assert rules is not None
    dc = values["current"] == "dc"
    efficiency = rules.dc_dispenser_efficiency if dc and values["meter_side"] == "dispenser" else 1
    drawn = Fraction(grid_mg) / (efficiency * (1 - rules.transmission_loss))
    kwh = Fraction(values["energy_wh"], 1000)
    if rules.claim_share is None:
        return Amounts(round(drawn * kwh), 0, None, 0)
    year = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=values["started_at"])).year
    fuel = rules.baseline_mg_per_kwh(values["vehicle_class"], dc=dc, year=year)
    saved = (fuel - drawn) * kwh * rules.claim_share
    return Amounts(round(drawn * kwh), round(fuel * kwh), round(saved), 0)


def _trip(values: Values, programme: Programme, factor_mg: int) -> Amounts:
    rules = programme.freight
    assert rules is not None
    shortest = Fraction(values["distance_m"])
    if values["distance_basis"] == "actual":
        shortest /= Fraction("1.05")
    tkm = shortest * values["cargo_kg"] / 1_000_000
    used = values["energy_used"]
    emission = tkm * factor_mg if used is None else Fraction(used, 1000) * factor_mg
    work = round(tkm * 1000)
    if rules.claim_share is None:
        return Amounts(round(emission), 0, None, work)
    baseline = tkm * rules.baseline_mg_per_tkm[values["vehicle_class"]]
    return Amounts(
        round(emission), round(baseline), round((baseline - emission) * rules.claim_share), work
    )
