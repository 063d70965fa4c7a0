"""Sample records: what one made-up charging session or freight trip looks like.

Each account keeps its vehicle and its home region. Consumption, power and payload are round figures
of the right size, chosen to look real on a dashboard; they are not measurements and nothing is
calibrated with them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.columns import arrow_schema

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


HOUR_MS = 3_600_000
CONTRADICTORY = 0.0012  # the share of records that decode, and are then refused

# Provinces by a rough weight; CN-XZ has no factor of its own, and XX-00 is nowhere.
PROVINCES: Mapping[str, float] = {
    **{"CN-GD": 13, "CN-JS": 12, "CN-SD": 9, "CN-ZJ": 8, "CN-HA": 6, "CN-SC": 6, "CN-HB": 5.5},
    **{"CN-FJ": 5.4, "CN-HN": 5, "CN-SH": 4.5, "CN-AH": 4.5, "CN-HE": 4.2, "CN-BJ": 4.2},
    **{"CN-SN": 3.3, "CN-JX": 3.2, "CN-LN": 2.9, "CN-CQ": 3, "CN-YN": 3, "CN-GX": 2.7},
    **{"CN-SX": 2.6, "CN-NM": 2.5, "CN-GZ": 2.2, "CN-XJ": 1.9, "CN-TJ": 1.6, "CN-HL": 1.6},
    **{"CN-JL": 1.4, "CN-GS": 1.2, "CN-HI": 0.7, "CN-NX": 0.5, "CN-QH": 0.4, "CN-XZ": 0.4},
    "XX-00": 0.1,
}
STATES = {"US-CAMX": 5.0, "US-RFCE": 3.5, "US": 1.5}

# class: weight, energy of a session [kWh], power [kW], share of direct current
CHARGED: Mapping[str, Mapping[str, tuple[float, float, float, float]]] = {
    "CN": {
        "car": (62, 26, 45, 0.5),
        "taxi": (20, 36, 75, 0.95),
        "bus": (6, 150, 120, 1.0),
        "truck_light": (9, 55, 75, 1.0),
        "tractor_heavy": (3, 240, 200, 1.0),
    },
    "US": {
        "car": (60, 22, 11, 0.3),
        "bus": (15, 160, 120, 1.0),
        "truck": (25, 110, 100, 1.0),
    },
}

# class: weight, payload [kg], usual distance [km], diesel [ml/km], carriers by weight
TRUCKS: Mapping[str, tuple[float, int, float, int, Mapping[str, float]]] = {
    "truck_2t": (25, 1_800, 60, 130, {"diesel": 5, "petrol": 3, "electricity": 2}),
    "truck_8t": (18, 6_000, 140, 190, {"diesel": 8, "petrol": 1, "electricity": 1}),
    "truck_10t": (12, 8_500, 220, 220, {"diesel": 9, "petrol": 1}),
    "truck_18t": (15, 14_000, 380, 270, {"diesel": 19, "petrol": 1}),
    "truck_30t": (15, 24_000, 550, 330, {"diesel": 1}),
    "truck_46t": (15, 32_000, 800, 350, {"diesel": 1}),
}
# How much of the carrier does the work of one litre of diesel, in the carrier's small unit per ml.
PER_DIESEL = {"diesel": 1.0, "petrol": 1.2, "electricity": 3.3}

# How busy each local hour is, from midnight.
CHARGING_HOURS = (7, 5, 4, 3, 3, 3, 4, 5, 5, 5, 6, 8, 9, 8, 7, 6, 6, 7, 8, 9, 10, 12, 13, 10)
FREIGHT_HOURS = (2, 2, 2, 2, 3, 5, 8, 9, 9, 8, 7, 6, 5, 6, 6, 6, 6, 6, 5, 5, 4, 4, 3, 2)
UTC_OFFSET_HOURS = {"CN": 8, "US": -7}


def _shares(weights: Sequence[float]) -> Floats:
    whole = np.array(weights, np.float64)
    shares: Floats = whole / whole.sum()
    return shares


@dataclass(frozen=True, slots=True, eq=False)
class Users:
    """The accounts of the sample; rank 0 is the busiest.

    Attributes:
        cumulative: How likely an event is of this rank or a lower one, shape (accounts,).
        seeds: What each account chooses class, region and carrier by, shape (accounts, 3).
    """

    cumulative: Floats
    seeds: Floats

    @classmethod
    def of(cls, rng: np.random.Generator, *, accounts: int) -> Self:
        """Return accounts whose activity falls with their rank, as Zipf has it."""
        weights = 1.0 / (np.arange(accounts) + 10.0) ** 0.9
        return cls(np.cumsum(weights / weights.sum()), rng.random((accounts, 3)))

    def draw(self, rng: np.random.Generator, count: int) -> Ints:
        """Return the accounts of `count` events, by rank."""
        ranks = np.searchsorted(self.cumulative, rng.random(count))
        drawn: Ints = np.minimum(ranks, len(self.cumulative) - 1).astype(np.int64)
        return drawn

    def choice(self, ranks: Ints, weights: Sequence[float], *, column: int) -> Ints:
        """Return each account's own choice among weighted ones: the same at every event."""
        limits = np.cumsum(_shares(weights))[:-1]
        drawn: Ints = np.searchsorted(limits, self.seeds[ranks, column], side="right")
        return drawn


def _names(prefix: str, numbers: Ints, width: int) -> pa.Array:
    return pa.array([f"{prefix}{number:0{width}d}" for number in numbers.tolist()])


def _pick(names: Sequence[str], rows: Ints) -> pa.Array:
    return pa.array(names).take(pa.array(rows))


def _flags(is_second: npt.NDArray[np.bool_]) -> Ints:
    """Return 1 where it is true: which of two names to pick."""
    return is_second.astype(np.int64)


def _spread(rng: np.random.Generator, middle: Floats, width: float) -> Floats:
    """Return values around a middle one, skewed to the right as consumption is."""
    values: Floats = middle * rng.lognormal(0.0, width, len(middle))
    return values


def _whole(values: Floats) -> Ints:
    whole: Ints = values.astype(np.int64)
    return whole


def _starts_ms(
    rng: np.random.Generator, days_ms: Ints, hours: Sequence[float], country: str
) -> Ints:
    count = len(days_ms)
    hour = rng.choice(24, count, p=_shares(hours)) - UTC_OFFSET_HOURS[country]
    starts: Ints = days_ms + hour * HOUR_MS + rng.integers(0, HOUR_MS // 1000, count) * 1000
    return starts


def _spoil(rng: np.random.Generator, count: int, kinds: int) -> Ints:
    """Return which kind of contradiction each record carries, or -1."""
    spoilt: Ints = np.where(rng.random(count) < CONTRADICTORY, rng.integers(0, kinds, count), -1)
    return spoilt


def _batch(
    record: str, columns: Mapping[str, pa.Array | Ints | str | int | None]
) -> pa.RecordBatch:
    """Return a batch in the fields of the record; a single value stands for all rows."""
    schema = arrow_schema(record)
    count = max(len(c) for c in columns.values() if isinstance(c, pa.Array | np.ndarray))
    arrays = []
    for field in schema:
        column = columns[field.name]
        if isinstance(column, pa.Array | np.ndarray):
            arrays.append(pa.array(column).cast(field.type))
        else:
            arrays.append(pa.repeat(pa.scalar(column, field.type), count))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def sessions(
    rng: np.random.Generator, users: Users, numbers: Ints, days_ms: Ints, *, country: str
) -> pa.RecordBatch:
    """Return charging sessions of `cn-charging` or `us-fleet`.

    Args:
        rng: Where chance comes from.
        users: The accounts.
        numbers: What makes each session's id, shape (n,).
        days_ms: The day each happens on [ms since 1970], shape (n,).
        country: "CN" or "US".
    """
    count = len(numbers)
    ranks = users.draw(rng, count)
    table = CHARGED[country]
    regions = PROVINCES if country == "CN" else STATES
    weights, energies, powers, direct = (
        np.array([row[at] for row in table.values()]) for at in range(4)
    )
    of_class = users.choice(ranks, weights.tolist(), column=0)
    home = users.choice(ranks, list(regions.values()), column=1)
    away = rng.choice(len(regions), count, p=_shares(list(regions.values())))
    region = np.where(rng.random(count) < 0.9, home, away)
    energy_wh = _whole(np.clip(_spread(rng, energies[of_class] * 1000, 0.45), 500, 600_000))
    is_direct = rng.random(count) < direct[of_class]
    power_w = np.where(is_direct, powers[of_class], 7.0) * 1000
    charging_ms = _whole(energy_wh / _spread(rng, power_w * 0.8, 0.2) * HOUR_MS)
    started_ms = _starts_ms(rng, days_ms, CHARGING_HOURS, country)
    ended_ms = started_ms + np.clip(charging_ms, 180_000, 30 * HOUR_MS)

    spoilt = _spoil(rng, count, 4)
    energy_wh = np.where(spoilt == 0, -energy_wh, energy_wh)
    ended_ms = np.where(spoilt == 1, started_ms - HOUR_MS, ended_ms)
    of_class = np.where(spoilt == 3, len(table), of_class)
    programme = "cn-charging" if country == "CN" else "us-fleet"
    operator = rng.integers(0, 12, count)
    prefix = country.lower()
    return _batch(
        "charging_session",
        {
            "session_id": _names(f"{country}S", numbers, 8),
            "source": programme,
            "account_id": _names(f"{prefix}-driver-", ranks, 6),
            "programme": _pick((programme, "nobody-knows"), _flags(spoilt == 2)),
            "vehicle_class": _pick((*table, "hovercraft"), of_class),
            "grid_region": _pick(tuple(regions), region),
            "started_at": started_ms,
            "ended_at": ended_ms,
            "energy_wh": energy_wh,
            "meter_side": _pick(("grid", "dispenser"), _flags(rng.random(count) < 0.8)),
            "current": _pick(("ac", "dc"), _flags(is_direct)),
            "operator_id": _names(f"{prefix}-cpo-", operator, 2),
            "evse_id": _names(f"{country}*", operator * 10_000 + rng.integers(0, 900, count), 6),
            "reversal_of": None,
            "revision": 0,
        },
    )


def trips(rng: np.random.Generator, users: Users, numbers: Ints, days_ms: Ints) -> pa.RecordBatch:
    """Return freight trips of `cn-freight`; two in five, and all electric ones, know their energy.

    Args:
        rng: Where chance comes from.
        users: The accounts.
        numbers: What makes each trip's id, shape (n,).
        days_ms: The day each departs on [ms since 1970], shape (n,).
    """
    count = len(numbers)
    ranks = users.draw(rng, count)
    weights, payload_kg, usual_km, diesel_ml_per_km = (
        np.array([row[at] for row in TRUCKS.values()], np.float64) for at in range(4)
    )
    of_class = users.choice(ranks, weights.tolist(), column=0)
    carriers = tuple(PER_DIESEL)
    mixes = [[row[4].get(name, 0.0) for name in carriers] for row in TRUCKS.values()]
    by_class = np.stack([users.choice(ranks, mix, column=2) for mix in mixes])
    carrier = by_class[of_class, np.arange(count)]
    provinces = list(PROVINCES.values())
    home = users.choice(ranks, provinces, column=1)
    away, destination = rng.choice(len(provinces), (2, count), p=_shares(provinces))
    origin = np.where(rng.random(count) < 0.7, home, away)
    distance_m = _whole(np.clip(_spread(rng, usual_km[of_class] * 1000, 0.5), 3_000, 4_000_000))
    empty_m = _whole(distance_m * rng.choice((0.0, 0.1, 0.25, 0.6), count))
    load = rng.uniform(0.3, 1.0, count)
    cargo_kg = _whole(payload_kg[of_class] * load)
    per_diesel = np.array(list(PER_DIESEL.values()))[carrier]
    per_m = diesel_ml_per_km[of_class] / 1000 * per_diesel * rng.uniform(0.9, 1.1, count)
    # An empty truck burns about 0.7 of what a full one does.
    used = _whole(per_m * (distance_m * (0.7 + 0.3 * load) + empty_m * 0.7))
    is_known = (rng.random(count) < 0.4) | (carrier == carriers.index("electricity"))
    departed_ms = _starts_ms(rng, days_ms, FREIGHT_HOURS, "CN")
    speed_m_per_ms = rng.uniform(45, 75, count) * 1000 / HOUR_MS
    arrived_ms = departed_ms + _whole(distance_m / speed_m_per_ms) + HOUR_MS // 2

    spoilt = _spoil(rng, count, 4)
    distance_m = np.where(spoilt == 0, 0, distance_m)
    arrived_ms = np.where(spoilt == 1, departed_ms - HOUR_MS, arrived_ms)
    of_class = np.where(spoilt == 3, len(TRUCKS), of_class)
    return _batch(
        "freight_trip",
        {
            "trip_id": _names("CNT", numbers, 8),
            "source": "cn-freight",
            "account_id": _names("cn-trucker-", ranks, 6),
            "programme": _pick(("cn-freight", "nobody-knows"), _flags(spoilt == 2)),
            "vehicle_id": _names("truck-", ranks, 6),
            "vehicle_class": _pick((*TRUCKS, "ox_cart"), of_class),
            "energy_carrier": _pick(carriers, carrier),
            "departed_at": departed_ms,
            "arrived_at": arrived_ms,
            "distance_m": distance_m,
            "distance_basis": _pick(("sfd", "actual"), _flags(is_known)),
            "cargo_kg": cargo_kg,
            "empty_distance_m": empty_m,
            "energy_used": pa.array(used, mask=~is_known),
            "origin_region": _pick(tuple(PROVINCES), origin),
            "destination_region": _pick(tuple(PROVINCES), destination),
            "data_grade": _pick(("default", "primary"), _flags(is_known)),
            "reversal_of": None,
            "revision": 0,
        },
    )
