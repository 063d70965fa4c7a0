"""A profile says what a load would bring: what a worker would refuse, and units that look wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from carbon.factors import FactorTable
from producers.factors.release import load_release
from producers.files import read_file
from producers.mapping import load_mapping
from producers.programmes.load import load_programmes
from schemas.columns import arrow_schema
from streams.accounts import Accounts
from streams.profile import EXAMPLES_MAX, Profile, Profiling
from tests.producers.test_files import INDIA
from tests.streams.scene import (
    NOW_MS,
    RECORD,
    SESSION,
    SESSIONS,
    TRIP,
    rules,
    session,
    sessions_of,
    trip,
    work,
)

USUAL: dict[str, Mapping[str, Any]] = {RECORD[SESSIONS]: SESSION, "freight_trip": TRIP}


def profile_of(record: str, rows: Sequence[Mapping[str, Any]], *, at_once: int = 1_000) -> Profile:
    profiling = Profiling(
        record, programmes=load_programmes(), factors=rules().factors, now_ms=NOW_MS
    )
    for first in range(0, len(rows), at_once):
        some = [dict(row) for row in rows[first : first + at_once]]
        profiling.add(pa.RecordBatch.from_pylist(some, arrow_schema(record)), ())
    return profiling.profile()


def sessions(count: int, **changes: Any) -> list[Mapping[str, Any]]:
    return [session(session_id=f"s{number}", **changes) for number in range(count)]


def test_rows_accounts_repeats_and_times_are_counted_over_all_blocks() -> None:
    rows = [
        *(session(session_id="s1", account_id="a"), session(session_id="s2", account_id="b")),
        *(session(session_id="s1", account_id="a"), session(session_id="s1", account_id="b")),
    ]
    for at_once in (1, 3, 10):
        found = profile_of("charging_session", rows, at_once=at_once)
        assert (found.rows, found.records, found.accounts, found.repeats) == (4, 4, 2, 1)
        assert found.first_ms == rows[0]["started_at"]
        assert found.last_ms == rows[0]["ended_at"]
        assert found.refused == {}
        assert found.odd == []


def test_an_account_of_two_programmes_is_counted() -> None:
    rows = [session(account_id="a"), session(account_id="a", programme="us-fleet")]
    rows += [session(account_id="b")]
    assert profile_of("charging_session", rows).shared_accounts == 1


WRONG: list[Mapping[str, Any]] = [
    {"energy_wh": -1},
    {"programme": "nobodys"},
    {"vehicle_class": "boat"},
    {"grid_region": "XX"},
    {"session_id": ""},
    {"reversal_of": "s0"},
    {"revision": 1},
    {"ended_at": NOW_MS - 3 * 3_600_000},
    {"ended_at": NOW_MS + 3 * 86_400_000, "started_at": NOW_MS},
]


@pytest.mark.parametrize("changes", WRONG, ids=",".join)
def test_what_is_expected_to_be_refused_is_what_a_worker_refuses(
    changes: Mapping[str, Any],
) -> None:
    row = session(**changes)
    outcome = work(Accounts(), sessions_of(row))
    expected = profile_of("charging_session", [row]).refused
    assert expected == {refused.code: 1 for refused in outcome.refused}
    assert len(expected) == 1
    assert work(Accounts(), sessions_of(session())).booked == 1


def test_regions_without_a_factor_are_named() -> None:
    rows = [*sessions(3, grid_region="XX"), *sessions(2, grid_region="YY"), *sessions(1)]
    found = profile_of("charging_session", rows, at_once=2)
    assert found.regions_without_factor == {"XX": 3, "YY": 2}
    assert found.refused == {"factor_not_found": 5}


@pytest.mark.parametrize(
    ("record", "field", "times", "hint"),
    [
        ("charging_session", "energy_wh", 1_000, "in Wh where the mapping says kWh"),
        ("charging_session", "energy_wh", 0.001, "in kWh where the mapping says Wh"),
        ("freight_trip", "distance_m", 1_000, "in m where the mapping says km"),
        ("freight_trip", "distance_m", 0.001, "in km where the mapping says m"),
        ("freight_trip", "cargo_kg", 1_000, "in kg where the mapping says t"),
        ("freight_trip", "cargo_kg", 0.001, "in t where the mapping says kg"),
    ],
)
def test_a_unit_a_thousand_times_off_looks_wrong(
    record: str, field: str, times: float, hint: str
) -> None:
    row = USUAL[record]
    rows = [{**row, field: round(row[field] * times)} for _ in range(5)]
    found = {odd.field: odd.hint for odd in profile_of(record, rows).odd}
    assert hint in found[field]
    assert profile_of(record, [row] * 5).odd == []


@pytest.mark.parametrize(
    ("carrier", "used", "hint"),
    [
        ("diesel", 300, ["the column may be in l where the mapping says ml"]),
        ("diesel", 300_000, []),
        ("diesel", 300_000_000, ["the column may be in ml where the mapping says l"]),
        ("electricity", 900, ["the column may be in kWh where the mapping says Wh"]),
        ("electricity", 900_000, []),
        ("electricity", 900_000_000, ["the column may be in Wh where the mapping says kWh"]),
    ],
)
def test_energy_for_a_kilometre_tells_its_unit(carrier: str, used: int, hint: list[str]) -> None:
    row = trip(distance_m=1_000_000, empty_distance_m=0, energy_carrier=carrier, energy_used=used)
    odd = profile_of("freight_trip", [row]).odd
    assert [each.hint for each in odd if each.field == "energy_used"] == hint


def test_one_odd_session_among_many_is_no_wrong_unit() -> None:
    rows = [*sessions(9), *sessions(1, energy_wh=9_999_999)]
    assert profile_of("charging_session", rows).odd == []


def test_a_profile_of_real_bookings_counts_what_was_counted_by_hand() -> None:
    mapping = load_mapping("india-hcv")
    profiling = Profiling(
        mapping.record,
        programmes=load_programmes(),
        factors=FactorTable.of(load_release().factors),
        now_ms=NOW_MS,
    )
    for block in read_file(INDIA, mapping, rows_max=700, coded=True):
        profiling.add(block.batch, ((row.code, row.reason) for row in block.refused))
    found = profiling.profile()
    assert (found.rows, found.records) == (3_300, 2_274)
    assert sum(found.refused[code] for code in ("row_missing_value", "row_bad_value")) == 1_026
    assert found.refused["ended_before_started"] > 0
    assert all(0 < len(reasons) <= EXAMPLES_MAX for reasons in found.examples.values())
    assert found.regions_without_factor == {}
    assert np.isfinite([odd.median for odd in found.odd]).all()


def test_an_empty_load_has_nothing_to_tell() -> None:
    found = profile_of("freight_trip", [])
    assert (found.rows, found.first_ms, found.odd, found.refused) == (0, None, [], {})
