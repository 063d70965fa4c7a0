"""What a restatement reads: every stored activity once, in the columns that rating needs."""

from typing import Any

import pyarrow as pa
import pytest

from carbon.factors import FactorTable
from carbon.refusal import ACCEPTED
from producers.factors.spec import load_factors
from producers.programmes.load import load_programmes
from sinks.stored import KEPT, stored_activities
from streams.restate import restate
from tests.sinks.facts import T0_MS, Facts, session, trip

MONTH_MS = 31 * 86_400_000


def read(facts: Facts, record: str, **options: Any) -> list[dict[str, Any]]:
    """Return the rows that are yielded, in the order of their places, instants as integers."""
    batches = stored_activities(facts.client, record, database=facts.database, **options)
    rows = [row for batch in batches for row in pa.table(_plain(batch)).to_pylist()]
    return sorted(rows, key=lambda row: (row["_partition"], row["_offset"]))


def _plain(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    columns = zip(batch.schema.names, batch.columns, strict=True)
    return {
        name: column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
        for name, column in columns
    }


def expected(record: str, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    """Return rows as they must come back: in the columns of the record."""
    return [
        {name: row[name] for name in ("_partition", "_offset", *KEPT[record].columns)}
        for row in rows
    ]


def test_sessions_come_back_as_they_were_put(facts: Facts) -> None:
    rows = [session(0), session(1, partition=1, current="dc"), session(2, partition=1)]
    facts.put("charging_sessions", *rows)
    assert read(facts, "charging_session") == expected("charging_session", *rows)


def test_trips_come_back_as_they_were_put_with_and_without_energy(facts: Facts) -> None:
    rows = [trip(0), trip(1, energy_used=5_000)]
    facts.put("freight_trips", *rows)
    assert read(facts, "freight_trip") == expected("freight_trip", *rows)


def test_words_come_as_dictionaries(facts: Facts) -> None:
    facts.put("charging_sessions", session(0))
    (batch,) = stored_activities(facts.client, "charging_session", database=facts.database)
    for name in ("programme", "vehicle_class", "grid_region", "meter_side", "current"):
        assert pa.types.is_dictionary(batch.schema.field(name).type), name


def test_what_was_inserted_twice_comes_once(facts: Facts) -> None:
    for _ in range(2):
        facts.put("charging_sessions", session(0), session(1))
    assert len(read(facts, "charging_session")) == 2


@pytest.mark.parametrize("page_rows", [1, 2, 3, 100])
def test_the_size_of_a_page_makes_no_difference(facts: Facts, page_rows: int) -> None:
    rows = [
        session(number, partition=number % 3, _timestamp=T0_MS + number % 2 * MONTH_MS)
        for number in range(20)
    ]
    facts.put("charging_sessions", *rows)
    rows.sort(key=lambda row: (row["_partition"], row["_offset"]))
    found = read(facts, "charging_session", page_rows=page_rows)
    assert found == expected("charging_session", *rows)


def test_an_empty_store_yields_nothing(facts: Facts) -> None:
    assert read(facts, "charging_session") == []


def test_a_restatement_takes_what_the_store_yields(facts: Facts) -> None:
    facts.put("charging_sessions", session(0, programme="cn-charging"))
    facts.put("freight_trips", trip(0, programme="india-hcv", vehicle_class="hcv"))
    table = FactorTable.of(load_factors("release:2026.1"))
    for record in KEPT:
        stored = stored_activities(facts.client, record, database=facts.database)
        (part,) = restate(record, stored, load_programmes(), table)
        assert part.rated.refusal.tolist() == [ACCEPTED]
        assert part.rated.emissions_mg[0] > 0
