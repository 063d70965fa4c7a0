"""Composing Transfer records from rated activities, as columns.

Each booked activity makes one emission transfer, from the programme's emission account to the
driver, and, where its programme claims reductions, one reduction transfer right behind it, from the
issuance account to the driver. A negative reduction goes the other way, so amounts are never
negative.

Strings are dictionary columns over what is there already, the activities or a few words, so that
none is copied before it is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from carbon.exact import BoolArray, Int64Array
from carbon.factors import HOW_NAMES, FactorTable
from carbon.programmes import Programme
from carbon.rate import CHARGING_REDUCTION, FREIGHT_REDUCTION, METHODS, Rated, Words
from schemas.identity import joined
from streams.activities import Activities
from streams.slice import Slice

FIRST_LEG = "0"
EMISSION, REDUCTION = "emission", "reduction"
ISSUED_BY = {EMISSION: "emission", REDUCTION: "issuance"}
"""The account of a programme that each quantity comes from."""


@dataclass(frozen=True, slots=True, eq=False)
class FactorNames:
    """The names of a table's factors as columns, made once for a table."""

    ids: pa.StringArray
    releases: pa.StringArray

    @classmethod
    def of(cls, table: FactorTable) -> FactorNames:
        """Return the names of all factors of a table, in its order."""
        return cls(
            pa.array([factor.factor_id for factor in table.factors], pa.string()),
            pa.array([factor.release for factor in table.factors], pa.string()),
        )


def transfers_of(
    activities: Activities,
    booked: Int64Array,
    rated: Rated,
    programmes: Mapping[str, Programme],
    names: FactorNames,
    part: Slice,
    timestamps_ms: Int64Array,
    offsets: Int64Array,
) -> pa.RecordBatch:
    """Return the transfers of the booked rows, those of one activity next to each other.

    Args:
        activities: The slice's activities, n rows.
        booked: Rows that are booked.
        rated: Their results, n rows.
        programmes: Rules by name; holds the programme of every booked row.
        names: Names of the factors that rated refers to.
        part: The slice.
        timestamps_ms: Kafka timestamp of each row, shape (n,).
        offsets: Offset of each row on its activity topic, shape (n,).
    """
    made = 1 + rated.reduces_row[booked]
    rows = np.repeat(booked, made)
    reduction = np.ones(len(rows), dtype=np.bool_)
    reduction[np.cumsum(made) - made] = False
    factor = rated.factor[rows]
    return pa.RecordBatch.from_pydict(
        {
            **_identity(activities, rows, reduction),
            **_sides(activities, rows, rated, reduction),
            **_rules(activities, rows, rated, reduction, programmes),
            "kind": _same("accrual", len(rows)),
            "quantity": _coded(reduction, [EMISSION, REDUCTION]),
            "region": _spoken(activities.region, rows),
            "vehicle_class": _spoken(activities.vehicle_class, rows),
            "baseline_mg": pa.array(rated.baseline_mg[rows]),
            "emissions_mg": pa.array(rated.emissions_mg[rows]),
            "energy_wh": pa.array(activities.energy_wh[rows]),
            "distance_m": pa.array(activities.distance_m[rows]),
            "transport_kg_km": pa.array(rated.transport_kg_km[rows]),
            "factor_id": _coded(factor, names.ids),
            "factor_release": _coded(factor, names.releases),
            "factor_value_mg": pa.array(rated.factor_value_mg[rows]),
            "factor_match": _coded(rated.how[rows], HOW_NAMES),
            "booked_at": _instants(activities.ended_at[rows]),
            "recorded_at": _instants(timestamps_ms[rows]),
            "source_topic": _same(part.source_topic, len(rows)),
            "source_partition": pa.array(np.full(len(rows), part.partition, dtype=np.int32)),
            "source_offset": pa.array(offsets[rows]),
        }
    )


def transfer_ids(activities: Activities, *quantities: str) -> pa.StringArray:
    """Return the ids of the transfers that activities make if they are booked.

    Args:
        activities: n of them.
        quantities: Of which quantities, k of them.

    Returns:
        The ids of all activities for the first quantity, then for the next, shape (k * n,).
    """
    parts = [activities.source, activities.activity_id, activities.revision.cast(pa.string())]
    return joined(activities.kind, parts, [f"{quantity}:{FIRST_LEG}" for quantity in quantities])


def _identity(
    activities: Activities, rows: Int64Array, reduction: BoolArray
) -> dict[str, pa.Array]:
    source, activity_id = _coded(rows, activities.source), _coded(rows, activities.activity_id)
    revision = activities.revision
    # One of both for every activity, booked or not: cheaper than to take their parts apart first.
    ids = transfer_ids(activities, EMISSION, REDUCTION)
    return {
        "transfer_id": _coded(rows + reduction * len(activities), ids),
        "activity": _same(activities.kind, len(rows)),
        "source": source,
        "activity_id": activity_id,
        "revision": revision.take(pa.array(rows)),
    }


def _sides(
    activities: Activities, rows: Int64Array, rated: Rated, reduction: BoolArray
) -> dict[str, pa.Array]:
    amount = np.where(reduction, rated.reduction_mg[rows], rated.emissions_mg[rows])
    programmes = activities.programme
    system = [
        f"{programme}:{ISSUED_BY[quantity]}"
        for quantity in (EMISSION, REDUCTION)
        for programme in programmes.vocabulary
    ]
    names = pa.concat_arrays([activities.account, pa.array(system, pa.string())])
    issuer = len(activities) + programmes.codes[rows] + reduction * len(programmes.vocabulary)
    to_driver = amount >= 0
    return {
        "debit_account": _coded(np.where(to_driver, issuer, rows), names),
        "credit_account": _coded(np.where(to_driver, rows, issuer), names),
        "account_id": _coded(rows, names),
        "amount_mg": pa.array(np.abs(amount)),
    }


def _rules(
    activities: Activities,
    rows: Int64Array,
    rated: Rated,
    reduction: BoolArray,
    programmes: Mapping[str, Programme],
) -> dict[str, pa.Array]:
    reduction_method = CHARGING_REDUCTION if activities.kind == "charging" else FREIGHT_REDUCTION
    digests = Words(
        activities.programme.codes,
        tuple(
            programmes[name].digest if name in programmes else ""
            for name in activities.programme.vocabulary
        ),
    )
    return {
        "programme": _spoken(activities.programme, rows),
        "programme_digest": _spoken(digests, rows),
        "method": _coded(np.where(reduction, reduction_method, rated.method[rows]), METHODS),
    }


def _coded(codes: np.ndarray, words: pa.StringArray | list[str] | tuple[str, ...]) -> pa.Array:
    """Return a column of words by their index."""
    if not isinstance(words, pa.Array):
        words = pa.array(words, pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), words)


def _same(word: str, n: int) -> pa.Array:
    return _coded(np.zeros(n, dtype=np.int32), [word])


def _spoken(words: Words, rows: Int64Array) -> pa.Array:
    """Return a column of words, for some rows."""
    return _coded(words.codes[rows], words.vocabulary)


def _instants(millis: Int64Array) -> pa.TimestampArray:
    return pa.array(millis).cast(pa.timestamp("ms"))
