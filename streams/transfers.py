"""Composing Transfer records from rated activities, as columns.

Each booked activity makes one emission transfer, from the programme's emission account to the
driver, and, where its programme claims reductions, one reduction transfer, from the issuance
account to the driver. A negative reduction goes the other way, so amounts are never negative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from carbon.exact import BoolArray, Int64Array
from carbon.factors import HOW_NAMES, FactorTable
from carbon.programmes import Programme
from carbon.rate import CHARGING_REDUCTION, FREIGHT_REDUCTION, METHODS, Rated, Words
from streams.activities import Activities
from streams.slice import Slice

FIRST_LEG = "0"


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
    """Return the transfers of the booked rows: the emissions, then the reductions.

    Args:
        activities: The slice's activities, n rows.
        booked: Rows that are booked.
        rated: Their results, n rows.
        programmes: Rules by name; holds the programme of every booked row.
        names: Names of the factors that rated refers to.
        part: The slice.
        timestamps_ms: Kafka timestamp of each row, shape (n,).
        offsets: Offset of each row, shape (n,).
    """
    reducing = booked[rated.reduces_row[booked]]
    rows = np.concatenate([booked, reducing])
    reduction = np.arange(len(rows)) >= len(booked)
    n = len(rows)
    quantity = _choice(reduction, "reduction", "emission")
    return pa.RecordBatch.from_pydict(
        {
            **_identity(activities, rows, quantity),
            **_sides(activities, rows, rated, reduction),
            **_rules(activities, rows, rated, reduction, programmes),
            "kind": pa.repeat("accrual", n),
            "quantity": quantity,
            "region": _spoken(activities.region, rows),
            "vehicle_class": _spoken(activities.vehicle_class, rows),
            "baseline_mg": pa.array(rated.baseline_mg[rows]),
            "emissions_mg": pa.array(rated.emissions_mg[rows]),
            "energy_wh": pa.array(activities.energy_wh[rows]),
            "distance_m": pa.array(activities.distance_m[rows]),
            "transport_kg_km": pa.array(rated.transport_kg_km[rows]),
            "factor_id": names.ids.take(pa.array(rated.factor[rows])),
            "factor_release": names.releases.take(pa.array(rated.factor[rows])),
            "factor_value_mg": pa.array(rated.factor_value_mg[rows]),
            "factor_match": pa.array(HOW_NAMES).take(pa.array(rated.how[rows])),
            "booked_at": _instants(activities.ended_at[rows]),
            "recorded_at": _instants(timestamps_ms[rows]),
            "source_topic": pa.repeat(part.topic, n),
            "source_partition": pa.array(np.full(n, part.partition, dtype=np.int32)),
            "source_offset": pa.array(offsets[rows]),
        }
    )


def _identity(
    activities: Activities, rows: Int64Array, quantity: pa.StringArray
) -> dict[str, pa.Array]:
    take = pa.array(rows)
    source, activity_id = activities.source.take(take), activities.activity_id.take(take)
    revision = activities.revision.take(take)
    kind = pa.scalar(activities.kind)
    return {
        "transfer_id": pc.binary_join_element_wise(
            kind, source, activity_id, revision.cast(pa.string()), quantity, FIRST_LEG, ":"
        ),
        "activity": pa.repeat(activities.kind, len(rows)),
        "source": source,
        "activity_id": activity_id,
        "revision": revision,
    }


def _sides(
    activities: Activities, rows: Int64Array, rated: Rated, reduction: BoolArray
) -> dict[str, pa.Array]:
    amount = np.where(reduction, rated.reduction_mg[rows], rated.emissions_mg[rows])
    account = activities.account.take(pa.array(rows))
    system = pc.binary_join_element_wise(
        _spoken(activities.programme, rows), _choice(reduction, "issuance", "emission"), ":"
    )
    to_driver = pa.array(amount >= 0)
    return {
        "debit_account": pc.if_else(to_driver, system, account),
        "credit_account": pc.if_else(to_driver, account, system),
        "account_id": account,
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
    method = np.where(reduction, reduction_method, rated.method[rows])
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
        "method": pa.array(METHODS).take(pa.array(method)),
    }


def _choice(mask: BoolArray, yes: str, no: str) -> pa.StringArray:
    return pc.if_else(pa.array(mask), pa.scalar(yes), pa.scalar(no))


def _spoken(words: Words, rows: Int64Array) -> pa.StringArray:
    """Return a column of words as strings, for some rows."""
    return pa.array(words.vocabulary, pa.string()).take(pa.array(words.codes[rows]))


def _instants(millis: Int64Array) -> pa.TimestampArray:
    return pa.array(millis).cast(pa.timestamp("ms"))
