"""Rating: columns of activities of one programme in, amounts or refusals out.

What a programme decides meets what happened here: ranges are checked, the factor is matched, the
method calculates. Pure, so that a worker, a restatement and the explanation of a single transfer
all run these same lines.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, TypeVar

import numpy as np

from carbon import charging, freight
from carbon.accept import broken_by_session, broken_by_trip
from carbon.exact import BoolArray, Int32Array, Int64Array, Ratio
from carbon.factors import ANNUAL_FOR_HOURLY, FactorTable, Match, Place
from carbon.programmes import ChargingRules, FreightRules, Programme
from carbon.refusal import ACCEPTED, NUMBER
from carbon.series import NONE
from carbon.timeline import periods

METHODS: Final = (
    "charging-emission/1",
    "freight-emission-energy/1",
    "freight-emission-activity/1",
    "charging-reduction/1",
    "freight-reduction/1",
)
CHARGING_EMISSION, FREIGHT_ENERGY, FREIGHT_ACTIVITY, CHARGING_REDUCTION, FREIGHT_REDUCTION = range(
    5
)

UNIT_OF_CARRIER: Final = {
    "diesel": "l",
    "diesel_b6": "l",
    "petrol": "l",
    "biodiesel": "l",
    "hvo": "l",
    "lpg": "l",
    "cng": "kg",
    "bio_cng": "kg",
    "lng": "kg",
    "hydrogen": "kg",
    "electricity": "kwh",
}
"""The factor unit of each energy carrier; `energy_used` is in its thousandth: ml, g or Wh."""

FIRST_YEAR: Final = 1970
YEAR_STARTS_MS: Final = (
    np.arange("1970", "10001", dtype="datetime64[Y]").astype("datetime64[ms]").astype(np.int64)
)


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """A column of words: each row's index into the distinct ones, shape (n,)."""

    codes: Int32Array
    vocabulary: tuple[str, ...]

    def take(self, rows: Int64Array) -> Words:
        """Return the words of some rows."""
        return Words(self.codes[rows], self.vocabulary)

    def numbers(self, number_of: Callable[[str], int]) -> Int64Array:
        """Return a number for each row, asked once for each distinct word, shape (n,)."""
        table = np.array([number_of(word) for word in self.vocabulary] or [0], dtype=np.int64)
        return table[self.codes]

    def among(self, words: Container[str]) -> BoolArray:
        """Return which rows have one of some words, shape (n,)."""
        table = np.array([word in words for word in self.vocabulary] or [False])
        return table[self.codes]


@dataclass(frozen=True, slots=True, eq=False)
class Sessions:
    """Columns of charging sessions, shape (n,) each; units as in `charging_session.v1.avsc`."""

    energy_wh: Int64Array
    started_at: Int64Array
    ended_at: Int64Array
    grid_region: Words
    vehicle_class: Words
    dispenser: BoolArray
    dc: BoolArray

    def take(self, rows: Int64Array) -> Sessions:
        """Return some rows, ascending and distinct."""
        return _take(self, rows)


@dataclass(frozen=True, slots=True, eq=False)
class Trips:
    """Columns of freight trips, shape (n,) each; energy_used is -1 where it is not given."""

    departed_at: Int64Array
    arrived_at: Int64Array
    distance_m: Int64Array
    driven: BoolArray
    cargo_kg: Int64Array
    empty_distance_m: Int64Array
    energy_used: Int64Array
    origin_region: Words
    vehicle_class: Words
    energy_carrier: Words

    def take(self, rows: Int64Array) -> Trips:
        """Return some rows, ascending and distinct."""
        return _take(self, rows)


C = TypeVar("C", Sessions, Trips)


def _take(columns: C, rows: Int64Array) -> C:
    if len(rows) == len(columns.vehicle_class.codes):
        return columns  # So many ascending rows are all of them.
    parts: dict[str, Any] = {}
    for name in columns.__slots__:
        column = getattr(columns, name)
        parts[name] = column.take(rows) if isinstance(column, Words) else column[rows]
    return type(columns)(**parts)


@dataclass(slots=True, eq=False)
class Rated:
    """What rating found for each activity, shape (n,) each; amounts are 0 where it is refused.

    `reduction_mg` counts only where `reduces_row` holds; `method` is the index in METHODS of the
    emission.
    """

    refusal: Int64Array
    emissions_mg: Int64Array
    baseline_mg: Int64Array
    reduction_mg: Int64Array
    transport_kg_km: Int64Array
    factor: Int32Array
    factor_value_mg: Int64Array
    how: Int64Array
    method: Int64Array
    reduces_row: BoolArray

    @classmethod
    def empty(cls, n: int, *, reduces: bool) -> Rated:
        """Return n activities about which nothing is known yet."""
        amounts = [np.zeros(n, dtype=np.int64) for _ in range(8)]
        refusal, emissions, baseline, reduction, transport, value, how, method = amounts
        factor = np.full(n, NONE, dtype=np.int32)
        claims = np.full(n, reduces)
        return cls(
            refusal, emissions, baseline, reduction, transport, factor, value, how, method, claims
        )

    def put(self, rows: Int64Array, **columns: Int64Array | Int32Array | BoolArray) -> None:
        """Set columns of some rows, ascending and distinct."""
        for name, column in columns.items():
            if len(rows) == len(self.refusal):
                setattr(self, name, column)  # So many ascending rows are all of them.
            else:
                getattr(self, name)[rows] = column

    def take_over(self, rows: Int64Array, part: Rated) -> None:
        """Take the results of some rows, ascending and distinct, from a rating of just those."""
        self.put(rows, **{name: getattr(part, name) for name in self.__slots__})

    def refuse(self, mask: BoolArray, code: str) -> None:
        """Refuse the rows of a mask that are not refused yet."""
        if mask.any():
            self.refusal[mask & (self.refusal == ACCEPTED)] = NUMBER[code]

    def accepted(self) -> Int64Array:
        """Return the rows that are not refused."""
        return np.flatnonzero(self.refusal == ACCEPTED)

    def matched(self, rows: Int64Array, match: Match) -> Int64Array:
        """Note how rows matched, refuse the others; return which of rows did match."""
        self.put(rows, factor=match.factor, how=match.how, factor_value_mg=match.value.rounded())
        found = match.factor != NONE
        self.refusal[rows[~found]] = NUMBER["factor_not_found"]
        return np.flatnonzero(found)


def rate_charging(sessions: Sessions, programme: Programme, factors: FactorTable) -> Rated:
    """Rate the charging sessions of one programme, shape (n,)."""
    rules = programme.charging
    rated = Rated.empty(
        len(sessions.energy_wh), reduces=rules is not None and rules.claim_share is not None
    )
    if rules is None:
        rated.refusal[:] = NUMBER["activity_not_in_programme"]
        return rated
    _refuse_sessions(rated, sessions, rules)
    rows = rated.accepted()
    sessions = sessions.take(rows)
    match = _match_grid(sessions, programme, rules.grid, factors)
    found = rated.matched(rows, match)
    rows, sessions, grid = rows[found], sessions.take(found), match.value.take(found)
    energy, gross_up = sessions.energy_wh, _gross_up(sessions, rules)
    rated.put(
        rows,
        emissions_mg=charging.emission_mg(energy, grid, gross_up),
        method=np.full(len(rows), CHARGING_EMISSION),
    )
    if rules.claim_share is not None:
        fuel = _baseline_mg_per_kwh(sessions, rules)
        claim = rules.claim_share
        rated.put(
            rows,
            baseline_mg=charging.baseline_mg(energy, fuel),
            reduction_mg=charging.reduction_mg(energy, fuel, grid, gross_up, claim),
        )
    return rated


def rate_freight(trips: Trips, programme: Programme, factors: FactorTable) -> Rated:
    """Rate the freight trips of one programme, shape (n,)."""
    rules = programme.freight
    rated = Rated.empty(
        len(trips.distance_m), reduces=rules is not None and rules.claim_share is not None
    )
    if rules is None:
        rated.refusal[:] = NUMBER["activity_not_in_programme"]
        return rated
    _refuse_trips(rated, trips, rules)
    rows = rated.accepted()
    trips = trips.take(rows)
    match = _match_trips(trips, programme, factors)
    found = rated.matched(rows, match)
    rows, trips, factor_mg = rows[found], trips.take(found), match.value.rounded()[found]
    cargo, measured = trips.cargo_kg, trips.energy_used >= 0
    shortest = freight.shortest_distance_m(trips.distance_m, trips.driven)
    used = np.where(measured, trips.energy_used, 0)
    emission = freight.energy_emission(used, factor_mg).where(
        measured, freight.activity_emission(cargo, shortest, factor_mg)
    )
    rated.put(
        rows,
        emissions_mg=emission.rounded(),
        transport_kg_km=freight.transport_kg_km(cargo, shortest),
        method=np.where(measured, FREIGHT_ENERGY, FREIGHT_ACTIVITY),
    )
    if rules.claim_share is not None:
        intensity = trips.vehicle_class.numbers(lambda word: rules.baseline_mg_per_tkm.get(word, 0))
        baseline = freight.activity_emission(cargo, shortest, intensity)
        rated.put(
            rows,
            baseline_mg=baseline.rounded(),
            reduction_mg=freight.reduction_mg(baseline, emission, rules.claim_share),
        )
    return rated


def _refuse_sessions(rated: Rated, sessions: Sessions, rules: ChargingRules) -> None:
    for broken, code in broken_by_session(
        sessions.energy_wh, sessions.started_at, sessions.ended_at
    ):
        rated.refuse(broken, code)
    rated.refuse(~sessions.vehicle_class.among(set(rules.classes)), "vehicle_class_unknown")


def _refuse_trips(rated: Rated, trips: Trips, rules: FreightRules) -> None:
    for broken, code in broken_by_trip(
        departed_at=trips.departed_at,
        arrived_at=trips.arrived_at,
        distance_m=trips.distance_m,
        empty_distance_m=trips.empty_distance_m,
        cargo_kg=trips.cargo_kg,
        energy_used=trips.energy_used,
    ):
        rated.refuse(broken, code)
    rated.refuse(~trips.vehicle_class.among(set(rules.classes)), "vehicle_class_unknown")
    known_carrier = trips.energy_carrier.among(UNIT_OF_CARRIER)
    rated.refuse(~known_carrier & (trips.energy_used >= 0), "energy_carrier_unknown")


def _match_grid(sessions: Sessions, programme: Programme, grid: str, factors: FactorTable) -> Match:
    regions = sessions.grid_region
    places = [(region, "electricity", "kwh") for region in regions.vocabulary]
    start, end = sessions.started_at, sessions.ended_at
    boundary, fallback = programme.boundary, programme.fallback
    if grid == "annual":
        return factors.at("grid_average", boundary, places, regions.codes, start, fallback)
    hourly = factors.mean("grid_hourly", boundary, places, regions.codes, start, end, fallback)
    if grid == "hourly":
        return hourly
    annual = factors.at("grid_average", boundary, places, regions.codes, start, fallback)
    covered = hourly.factor != NONE
    found = annual.factor != NONE
    return Match(
        np.where(covered, hourly.factor, annual.factor),
        np.where(covered, hourly.how, np.where(found, annual.how | ANNUAL_FOR_HOURLY, 0)),
        hourly.value.where(covered, annual.value),
    )


def _match_trips(trips: Trips, programme: Programme, factors: FactorTable) -> Match:
    """Match fuel or grid factors to trips with energy, intensities to the others."""
    region, carrier, vehicle = trips.origin_region, trips.energy_carrier, trips.vehicle_class
    n, measured = len(trips.distance_m), trips.energy_used >= 0
    n_carriers, n_classes = len(carrier.vocabulary), len(vehicle.vocabulary)
    class_code = np.where(measured, 0, 1 + vehicle.codes)
    mixed = (region.codes.astype(np.int64) * n_carriers + carrier.codes) * (n_classes + 1)
    distinct, inverse = np.unique(mixed + class_code, return_inverse=True)
    by_kind: dict[str, list[tuple[int, Place]]] = {}
    for index, code in enumerate(distinct.tolist()):
        pair, class_of = divmod(code, n_classes + 1)
        place, word = (
            part[i]
            for part, i in zip(
                (region.vocabulary, carrier.vocabulary), divmod(pair, n_carriers), strict=True
            )
        )
        if class_of:
            subject = f"{vehicle.vocabulary[class_of - 1]}.{word}"
            by_kind.setdefault("freight_intensity", []).append((index, (place, subject, "tkm")))
        else:
            kind = "grid_average" if word == "electricity" else "fuel"
            by_kind.setdefault(kind, []).append((index, (place, word, UNIT_OF_CARRIER[word])))
    factor = np.full(n, NONE, dtype=np.int32)
    how = np.zeros(n, dtype=np.int64)
    value = Ratio.of(np.zeros(n, dtype=np.int64))
    for kind, members in by_kind.items():
        number = np.full(len(distinct), NONE, dtype=np.int32)
        number[[index for index, _ in members]] = np.arange(len(members), dtype=np.int32)
        places = [place for _, place in members]
        match = factors.at(
            kind,
            programme.boundary,
            places,
            number[inverse],
            trips.departed_at,
            programme.fallback,
        )
        mine = number[inverse] != NONE
        factor, how = np.where(mine, match.factor, factor), np.where(mine, match.how, how)
        value = match.value.where(mine, value)
    return Match(factor, how, value)


def _gross_up(sessions: Sessions, rules: ChargingRules) -> Ratio | Fraction:
    either = [rules.gross_up(dc_dispenser=each) for each in (False, True)]
    if either[0] == either[1]:
        return either[0]
    numerators, denominators = zip(*(each.as_integer_ratio() for each in either), strict=True)
    dc_dispenser = (sessions.dispenser & sessions.dc).astype(np.int64)
    return Ratio.of(np.array(numerators), np.array(denominators)).take(dc_dispenser)


def _baseline_mg_per_kwh(sessions: Sessions, rules: ChargingRules) -> Int64Array:
    """Return the fuel displaced by one kWh [mg/kWh], asked once per class, current and year."""
    classes = sessions.vehicle_class
    period, instants = periods(sessions.started_at, YEAR_STARTS_MS)
    years = FIRST_YEAR - 1 + np.searchsorted(YEAR_STARTS_MS, instants, side="right")
    known = set(rules.classes)
    table = [
        rules.baseline_mg_per_kwh(word, dc=dc, year=year) if word in known else 0
        for year in years.tolist()
        for dc in (False, True)
        for word in classes.vocabulary
    ]
    cell = (period * 2 + sessions.dc) * len(classes.vocabulary) + classes.codes
    fuel: Int64Array = np.array(table, dtype=np.int64)[cell]
    return fuel
