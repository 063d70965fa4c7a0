"""Typed queries on both stores."""

from dataclasses import asdict

import pytest

from sinks.cursor import CursorError
from sinks.queries import FactorFilter, Queries, RefusalFilter
from sinks.records import ChargingSession, FreightTrip, Total, Transfer
from tests.sinks.facts import HOUR_MS, T0_MS, Facts, factor, refusal, session


def test_an_unknown_account_has_no_balance(queries: Queries) -> None:
    assert queries.balance("nobody") is None


def test_a_balance_comes_back_as_it_was_put(facts: Facts, queries: Queries) -> None:
    facts.sessions(3)
    facts.book(duplicate_count=4)
    found = queries.balance("ann")
    assert found is not None
    assert (found.reduction_mg, found.emissions_mg) == (12_000, 15_000)
    assert (found.session_count, found.transfer_count, found.duplicate_count) == (3, 6, 4)
    assert found.last_booked_at == T0_MS + 3 * HOUR_MS


def test_the_latest_balance_wins(facts: Facts, queries: Queries) -> None:
    facts.sessions(2)
    facts.book()
    facts.book(reduction_mg=99, _offset=1_000)
    facts.book()
    found = queries.balance("ann")
    assert found is not None
    assert found.reduction_mg == 99


def test_many_balances_are_asked_for_at_once(facts: Facts, queries: Queries) -> None:
    facts.sessions(1, account_id="it's")
    facts.sessions(1, account_id="back\\slash", first=1)
    facts.book()
    found = queries.balances(["back\\slash", "it's", "nobody"])
    assert [each.account_id for each in found] == ["back\\slash", "it's"]


def test_inserting_again_changes_nothing(facts: Facts, queries: Queries) -> None:
    facts.sessions(5)
    facts.trips(5)
    facts.book()
    before = (queries.totals(), queries.counts(), queries.statement("ann"))
    facts.book()
    facts.put("charging_sessions", session(0))
    assert (queries.totals(), queries.counts(), queries.statement("ann")) == before


def test_a_statement_is_paged_without_gaps_and_repeats(facts: Facts, queries: Queries) -> None:
    facts.sessions(10)
    facts.sessions(3, account_id="bob", first=20)
    facts.book()
    seen: list[Transfer] = []
    cursor = None
    while True:
        page = queries.statement("ann", cursor=cursor, limit=3)
        seen += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == list(queries.statement("ann").items)
    assert len({row.transfer_id for row in seen}) == 20
    assert [row.booked_at for row in seen] == sorted(row.booked_at for row in seen)


def test_a_statement_keeps_its_place_while_rows_are_added(facts: Facts, queries: Queries) -> None:
    facts.sessions(4, first=2)
    facts.book()
    first = queries.statement("ann", limit=4)
    facts.sessions(2)
    facts.book()
    second = queries.statement("ann", cursor=first.next_cursor, limit=4)
    assert [row.source_offset for row in (*first.items, *second.items)] == [2, 2, 3, 3, 4, 4, 5, 5]


def test_a_statement_is_cut_by_time(facts: Facts, queries: Queries) -> None:
    facts.sessions(5)
    facts.book()
    page = queries.statement("ann", from_ms=T0_MS + 2 * HOUR_MS, to_ms=T0_MS + 4 * HOUR_MS)
    assert [row.source_offset for row in page.items] == [1, 1, 2, 2]


def test_a_negative_reduction_debits_the_driver(facts: Facts, queries: Queries) -> None:
    facts.sessions(3)
    facts.book()
    signed = [
        row.signed_mg for row in queries.statement("ann").items if row.quantity == "reduction"
    ]
    assert signed == [7_000, 7_000, -2_000]


@pytest.mark.parametrize("cursor", ["", "x", "e30", "WzFd", "WyJhIiwiYiJd", "WzFlOTksImEiXQ"])
def test_a_cursor_that_is_none_is_refused(queries: Queries, cursor: str) -> None:
    with pytest.raises(CursorError):
        queries.statement("ann", cursor=cursor)


def test_a_transfer_is_found_by_its_id(facts: Facts, queries: Queries) -> None:
    facts.sessions(2)
    facts.book()
    found = queries.transfer("charging:cpo:s1:0:reduction:0")
    assert found is not None
    assert asdict(found) == {
        name: value for name, value in facts.transfers[3].items() if not name.startswith("_")
    }
    assert queries.transfer("charging:cpo:s9:0:reduction:0") is None


def test_a_transfer_leads_to_its_session(facts: Facts, queries: Queries) -> None:
    facts.sessions(2)
    facts.book()
    found = queries.transfer("charging:cpo:s1:0:emission:0")
    assert found is not None
    activity = queries.activity(found)
    assert isinstance(activity, ChargingSession)
    assert (activity.session_id, activity.energy_wh, activity.reversal_of) == ("s1", 10_001, None)


def test_a_transfer_leads_to_its_trip(facts: Facts, queries: Queries) -> None:
    facts.trips(1)
    facts.book()
    found = queries.transfer("freight:tms:t0:0:emission:0")
    assert found is not None
    activity = queries.activity(found)
    assert isinstance(activity, FreightTrip)
    assert (activity.trip_id, activity.cargo_kg, activity.energy_used) == ("t0", 10_000, None)


def test_an_open_validity_keeps_its_milliseconds(facts: Facts, queries: Queries) -> None:
    facts.put("factors", factor(0, factor_id="f", valid_from=0, valid_to=253_402_300_800_000))
    found = queries.factor("r1", "f")
    assert found is not None
    assert (found.valid_from, found.valid_to) == (0, 253_402_300_800_000)
    assert queries.factor("r2", "f") is None


def test_factors_are_filtered_and_paged(facts: Facts, queries: Queries) -> None:
    facts.put("factors", *(factor(number) for number in range(5)))
    facts.put("factors", factor(7, region="IN", factor_id="in", valid_to=253_402_300_800_000))
    first = queries.factors(FactorFilter(kind="grid_hourly", region="US-CAL-CISO"), limit=3)
    second = queries.factors(
        FactorFilter(kind="grid_hourly", region="US-CAL-CISO"), cursor=first.next_cursor, limit=3
    )
    assert [row.value_mg - 200_000 for row in (*first.items, *second.items)] == [0, 1, 2, 3, 4]
    assert second.next_cursor is None
    at = queries.factors(FactorFilter(at=T0_MS + 3 * HOUR_MS)).items
    assert [row.value_mg for row in at] == [200_003]


def test_an_hourly_transfer_leads_to_the_hours_of_its_session(
    facts: Facts, queries: Queries
) -> None:
    facts.put("factors", *(factor(number) for number in range(9)))
    facts.put("factors", factor(3, factor_id="other", boundary="ttw"))
    facts.sessions(1)
    facts.transfers[0]["factor_id"] = factor(0)["factor_id"]
    facts.book()
    booked = queries.transfer("charging:cpo:s0:0:emission:0")
    assert booked is not None
    row = {name: value for name, value in session(0).items() if not name.startswith("_")}
    row |= {"started_at": T0_MS + HOUR_MS * 3 // 2, "ended_at": T0_MS + 4 * HOUR_MS}
    hours = queries.factors_behind(booked, ChargingSession(**row))
    assert [hour.value_mg - 200_000 for hour in hours] == [1, 2, 3]


def test_an_annual_transfer_leads_to_its_factor_alone(facts: Facts, queries: Queries) -> None:
    facts.put("factors", factor(0, factor_id="grid:CN-BJ:2021", kind="grid_average"), factor(1))
    facts.sessions(1)
    facts.book()
    booked = queries.transfer("charging:cpo:s0:0:emission:0")
    assert booked is not None
    behind = queries.factors_behind(booked, queries.activity(booked))
    assert [each.factor_id for each in behind] == ["grid:CN-BJ:2021"]


def test_refusals_are_filtered_and_paged(facts: Facts, queries: Queries) -> None:
    facts.put("refusals", *(refusal(number) for number in range(4)), refusal(9, code="too_long"))
    first = queries.refusals(RefusalFilter(code="undecodable"), limit=3)
    second = queries.refusals(RefusalFilter(code="undecodable"), limit=3, cursor=first.next_cursor)
    assert [row.offset for row in (*first.items, *second.items)] == [0, 1, 2, 3]
    assert second.next_cursor is None


@pytest.mark.parametrize(
    ("which", "places"),
    [
        (RefusalFilter(), [0, 1, 2]),
        (RefusalFilter(source="other"), [1]),
        (RefusalFilter(topic="freight-trips"), [2]),
        (RefusalFilter(account_id="bob"), [2]),
        (RefusalFilter(from_ms=T0_MS + 1), [1, 2]),
        (RefusalFilter(to_ms=T0_MS + 1), [0]),
        (RefusalFilter(from_ms=T0_MS, to_ms=T0_MS + 2, account_id="ann"), [0, 1]),
        (RefusalFilter(source="other", account_id="bob"), []),
    ],
)
def test_refusals_are_filtered_by_whose_and_when(
    facts: Facts, queries: Queries, which: RefusalFilter, places: list[int]
) -> None:
    facts.put("refusals", refusal(0, source="cpo", account_id="ann"))
    facts.put("refusals", refusal(1, source="other", account_id="ann"))
    facts.put("refusals", refusal(2, source="", account_id="bob", topic="freight-trips"))
    assert [row.offset for row in queries.refusals(which).items] == places


def test_a_refusal_is_shown_with_its_raw_bytes(facts: Facts, queries: Queries) -> None:
    facts.put("refusals", refusal(3))
    found = queries.refusal("0-3")
    assert found is not None
    assert (found.key, found.value, found.refusal.timestamp) == (
        b"ann",
        b"\x00\xff\xfe",
        T0_MS + 3,
    )
    assert queries.refusal("0-4") is None
    assert queries.refusal("nonsense") is None


def test_a_loaders_refusal_names_file_and_line(facts: Facts, queries: Queries) -> None:
    row = {"origin": "loader", "topic": "", "partition": None, "offset": None, "timestamp": None}
    facts.put("refusals", refusal(0, **row, file="a.csv", line=7, key=None))
    (found,) = queries.refusals(RefusalFilter(origin="loader")).items
    assert (found.file, found.line, found.partition, found.timestamp) == ("a.csv", 7, None, None)


def test_totals_are_signed(facts: Facts, queries: Queries) -> None:
    facts.sessions(3)
    facts.trips(1)
    facts.book()
    assert queries.totals() == (
        Total(
            programme="city",
            region="CN-BJ",
            quantity="emission",
            activities=3,
            amount_mg=15_000,
            energy_wh=30_003,
            transport_kg_km=0,
        ),
        Total(
            programme="city",
            region="CN-BJ",
            quantity="reduction",
            activities=3,
            amount_mg=12_000,
            energy_wh=30_003,
            transport_kg_km=0,
        ),
        Total(
            programme="city",
            region="IN",
            quantity="emission",
            activities=1,
            amount_mg=57_000_000,
            energy_wh=0,
            transport_kg_km=1_000_000,
        ),
    )


def test_top_accounts_have_the_largest_reduction(facts: Facts, queries: Queries) -> None:
    facts.sessions(1)
    facts.sessions(3, account_id="bob", first=1)
    facts.book()
    assert [each.account_id for each in queries.top_accounts(limit=1)] == ["bob"]


def test_refusals_are_counted_by_code(facts: Facts, queries: Queries) -> None:
    facts.put("refusals", refusal(0), refusal(1), refusal(2, code="too_long", origin="loader"))
    assert queries.refusals_by_code() == {"undecodable": 2, "too_long": 1}
    assert queries.refusals_by_code(origin="loader") == {"too_long": 1}


def test_matches_are_counted_by_activity(facts: Facts, queries: Queries) -> None:
    facts.sessions(2)
    facts.trips(1)
    facts.book()
    assert queries.factor_match() == {"exact": 2, "parent_region": 1}


def test_counts_add_up(facts: Facts, queries: Queries) -> None:
    facts.sessions(4)
    facts.trips(2)
    facts.put("charging_sessions", session(4), session(5))
    facts.put("refusals", refusal(5), refusal(6), refusal(7, origin="loader", topic=""))
    facts.transfers = facts.transfers[:]
    facts.book()
    counts = queries.counts()
    assert (counts.activities, counts.transfers, counts.accounts) == (6, 10, 2)
    # Offsets 0 to 3 are booked, 4 was a repeat, 5 decoded and refused, 6 undecodable; and two
    # trips.
    assert (counts.refused, counts.refused_by_loader, counts.source_events) == (2, 1, 9)


def test_the_store_answers_when_it_has_its_tables(queries: Queries) -> None:
    assert queries.ping()


def test_the_store_is_not_ready_without_tables(facts: Facts) -> None:
    assert not Queries(facts.client, database="nothing").ping()


@pytest.mark.parametrize("limit", [0, -1, 10_001])
def test_a_page_has_bounds(queries: Queries, limit: int) -> None:
    with pytest.raises(ValueError, match="limit must be"):
        queries.statement("ann", limit=limit)
