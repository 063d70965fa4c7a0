"""What a decoded batch says, as the columns that rating and booking need.

Charging sessions and freight trips differ in their fields and their formula, and in nothing else:
`activities_of` takes either apart into one shape, so that the step is written once. A restatement
needs no more than `columns_of` and `rate_by_programme`, which the step runs as well. Words may be
plain strings, as a slice has them, or dictionaries, as the store gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from carbon.exact import BoolArray, Int64Array
from carbon.factors import FactorTable
from carbon.programmes import Programme
from carbon.rate import Rated, Sessions, Trips, Words, rate_charging, rate_freight
from carbon.refusal import NUMBER

RECORD_OF_TOPIC: Final[Mapping[str, str]] = {
    "charging-sessions": "charging_session",
    "freight-trips": "freight_trip",
}
"""The record of each activity topic; its late lane has the same."""


@dataclass(frozen=True, slots=True, eq=False)
class Activities:
    """Columns of decoded activities, n rows each; instants in milliseconds since 1970."""

    kind: str  # charging or freight
    source: pa.StringArray
    activity_id: pa.StringArray
    account: pa.StringArray
    revision: pa.Int32Array
    corrects: BoolArray  # has reversal_of
    programme: Words
    region: Words
    vehicle_class: Words
    ended_at: Int64Array
    energy_wh: Int64Array
    distance_m: Int64Array
    columns: Sessions | Trips

    def __len__(self) -> int:
        return len(self.account)


def activities_of(record: str, batch: pa.RecordBatch) -> Activities:
    """Return the activities of a decoded batch of ChargingSession or FreightTrip records."""
    columns = columns_of(record, batch)
    charging = isinstance(columns, Sessions)
    n = batch.num_rows
    zeros = np.zeros(n, dtype=np.int64)
    return Activities(
        kind="charging" if charging else "freight",
        source=batch.column("source"),
        activity_id=batch.column("session_id" if charging else "trip_id"),
        account=batch.column("account_id"),
        revision=batch.column("revision"),
        corrects=batch.column("reversal_of").is_valid().to_numpy(zero_copy_only=False),
        programme=words(batch.column("programme")),
        region=columns.grid_region if isinstance(columns, Sessions) else columns.origin_region,
        vehicle_class=columns.vehicle_class,
        ended_at=columns.ended_at if isinstance(columns, Sessions) else columns.arrived_at,
        energy_wh=columns.energy_wh if isinstance(columns, Sessions) else zeros,
        distance_m=zeros if isinstance(columns, Sessions) else columns.distance_m,
        columns=columns,
    )


def columns_of(record: str, batch: pa.RecordBatch) -> Sessions | Trips:
    """Return what rating needs of a batch of ChargingSession or FreightTrip records."""
    return _sessions(batch) if record == "charging_session" else _trips(batch)


def rate_by_programme(
    columns: Sessions | Trips,
    programme: Words,
    rows: Int64Array,
    refusal: Int64Array,
    *,
    programmes: Mapping[str, Programme],
    factors: FactorTable,
) -> Rated:
    """Rate each row by the rules of its programme.

    Args:
        columns: What happened, shape (n,) each.
        programme: The programme that each row names, shape (n,).
        rows: Which of them to rate, ascending and distinct.
        refusal: Takes the refusals of these rows, shape (n,).
        programmes: The known ones by name.
        factors: The factors in force.

    Returns:
        The results of all n rows; nothing is known of those that were not to be rated.
    """
    result = Rated.empty(len(refusal), reduces=False)
    code = programme.codes[rows]
    for index, name in enumerate(programme.vocabulary):
        mine = rows[code == index]
        if not len(mine):
            continue
        rules = programmes.get(name)
        if rules is None:
            refusal[mine] = NUMBER["programme_unknown"]
            continue
        rated = _rate(columns.take(mine), rules, factors)
        refusal[mine] = rated.refusal
        result.take_over(mine, rated)
    return result


def _rate(columns: Sessions | Trips, programme: Programme, factors: FactorTable) -> Rated:
    if isinstance(columns, Sessions):
        return rate_charging(columns, programme, factors)
    return rate_freight(columns, programme, factors)


def words(column: pa.StringArray | pa.DictionaryArray) -> Words:
    """Return a column of strings as codes and vocabulary."""
    encoded = column.dictionary_encode()
    return Words(encoded.indices.to_numpy(), tuple(encoded.dictionary.to_pylist()))


def _sessions(batch: pa.RecordBatch) -> Sessions:
    return Sessions(
        energy_wh=batch.column("energy_wh").to_numpy(),
        started_at=_millis(batch, "started_at"),
        ended_at=_millis(batch, "ended_at"),
        grid_region=words(batch.column("grid_region")),
        vehicle_class=words(batch.column("vehicle_class")),
        dispenser=_equals(batch, "meter_side", "dispenser"),
        dc=_equals(batch, "current", "dc"),
    )


def _trips(batch: pa.RecordBatch) -> Trips:
    return Trips(
        departed_at=_millis(batch, "departed_at"),
        arrived_at=_millis(batch, "arrived_at"),
        distance_m=batch.column("distance_m").to_numpy(),
        driven=_equals(batch, "distance_basis", "actual"),
        cargo_kg=batch.column("cargo_kg").to_numpy(),
        empty_distance_m=batch.column("empty_distance_m").to_numpy(),
        energy_used=_energy_used(batch.column("energy_used")),
        origin_region=words(batch.column("origin_region")),
        vehicle_class=words(batch.column("vehicle_class")),
        energy_carrier=words(batch.column("energy_carrier")),
    )


def _energy_used(column: pa.Int64Array) -> Int64Array:
    """Return energy_used with -1 for not given; a given negative stays refusable as -2."""
    given = pc.if_else(pc.less(column, 0), -2, column)
    result: Int64Array = given.fill_null(-1).to_numpy()
    return result


def _millis(batch: pa.RecordBatch, name: str) -> Int64Array:
    result: Int64Array = batch.column(name).view(pa.int64()).to_numpy()
    return result


def _equals(batch: pa.RecordBatch, name: str, value: str) -> BoolArray:
    column = batch.column(name)
    if isinstance(column, pa.DictionaryArray):
        return words(column).among({value})
    result: BoolArray = pc.equal(column, value).to_numpy(zero_copy_only=False)
    return result
