"""Erasing takes the raw facts of one account, and verify agrees as before; on both stores."""

from typing import Any

import pytest

from sinks.erase import PLACES_MAX, Erased, erase
from sinks.queries import Queries
from sinks.verify import verify
from tests.sinks.facts import Facts, balance, refusal, session, transfer, trip

WORKED = {("charging-sessions", 0): 6, ("freight-trips", 0): 3}
NOTHING = Erased(sessions=0, trips=0, refusals=0)


@pytest.fixture
def good(facts: Facts) -> Facts:
    """Six sessions and three trips of three accounts, all booked."""
    facts.sessions(3)
    facts.sessions(3, account_id="bob", first=3)
    facts.trips(3)
    facts.book()
    return facts


def erased(facts: Facts, account: str = "bob") -> Erased:
    return erase(facts.client, account, database=facts.database)


def drift(facts: Facts, worked: dict[tuple[str, int], int] = WORKED) -> list[str]:
    verdict = verify(facts.client, worked, database=facts.database)
    return [str(each) for each in verdict.drift]


def rows(facts: Facts, sql: str) -> list[tuple[Any, ...]]:
    found: Any = facts.client.query(sql.replace("{db}", facts.database)).result_rows
    return [tuple(row) for row in found]


def test_the_sessions_of_the_account_are_gone_and_no_others(good: Facts) -> None:
    assert erased(good) == Erased(sessions=3, trips=0, refusals=0)
    left = rows(good, "SELECT account_id, count() FROM {db}.charging_sessions GROUP BY account_id")
    assert left == [("ann", 3)]


def test_the_trips_of_the_account_are_gone(good: Facts) -> None:
    assert erased(good, "fleet") == Erased(sessions=0, trips=3, refusals=0)
    assert rows(good, "SELECT count() FROM {db}.freight_trips") == [(0,)]


@pytest.mark.parametrize("account", ["bob", "fleet", "nobody"])
def test_the_books_stay_whole(good: Facts, queries: Queries, account: str) -> None:
    before = queries.balance(account), rows(good, "SELECT * FROM {db}.ledger ORDER BY transfer_id")
    erased(good, account)
    after = queries.balance(account), rows(good, "SELECT * FROM {db}.ledger ORDER BY transfer_id")
    assert after == before
    assert drift(good) == []


def test_nothing_of_the_account_is_kept_about_what_was_erased(good: Facts) -> None:
    erased(good)
    kept = rows(good, "SELECT topic, _rekeyed_from, _partition, _offset FROM {db}.erasures FINAL")
    assert sorted(kept) == [("charging-sessions", None, 0, offset) for offset in (3, 4, 5)]


def test_erasing_again_erases_nothing(good: Facts) -> None:
    erased(good)
    assert erased(good) == NOTHING
    assert drift(good) == []


@pytest.mark.parametrize("account", ["eve", "bo", "b' OR '1'='1", "{db}", "%", "bob\\"])
def test_an_account_that_is_not_there_erases_nothing(good: Facts, account: str) -> None:
    assert erased(good, account) == NOTHING
    assert rows(good, "SELECT count() FROM {db}.charging_sessions") == [(6,)]


def test_an_account_with_a_quote_is_erased(good: Facts) -> None:
    good.put("charging_sessions", session(6, account_id="o'hara\\"))
    assert erased(good, "o'hara\\").sessions == 1


def test_a_row_inserted_twice_is_gone_twice_and_counts_once(good: Facts) -> None:
    good.put("charging_sessions", session(3, account_id="bob"))
    assert erased(good).sessions == 3
    assert rows(good, "SELECT count() FROM {db}.charging_sessions") == [(3,)]
    assert drift(good) == []


def test_a_row_that_a_sink_brings_back_counts_once_and_is_erased_again(good: Facts) -> None:
    erased(good)
    good.put("charging_sessions", session(3, account_id="bob"))
    assert drift(good) == []
    assert erased(good).sessions == 1
    assert drift(good) == []


def test_a_lost_record_is_found_after_an_erasure(good: Facts) -> None:
    erased(good)
    good.put("charging_sessions", session(6))
    assert drift(good, WORKED | {("charging-sessions", 0): 7}) != []


def test_a_session_that_comes_in_later_is_kept(good: Facts) -> None:
    erased(good)
    good.put("charging_sessions", session(6, account_id="bob"))
    assert rows(good, "SELECT _offset FROM {db}.sessions WHERE account_id = 'bob'") == [(6,)]


def test_an_erased_duplicate_still_accounts_for_its_record(good: Facts) -> None:
    good.put("charging_sessions", session(6, session_id="s3", account_id="bob"))
    own = [row for row in good.transfers if row["account_id"] == "bob"]
    good.put("balances", balance(own, duplicate_count=1, _offset=1_000))
    worked = WORKED | {("charging-sessions", 0): 7}
    assert drift(good, worked) == []
    assert erased(good).sessions == 4
    assert drift(good, worked) == []


def refused_rows(facts: Facts) -> list[tuple[Any, ...]]:
    return rows(
        facts,
        "SELECT offset, code, key, value, reason FROM {db}.refused ORDER BY _partition, _offset",
    )


def test_a_refusal_loses_its_bytes_and_still_accounts_for_its_record(good: Facts) -> None:
    good.put("refusals", refusal(6, key=b"bob", value=b"raw"), refusal(7, key=b"ann", value=b"raw"))
    worked = WORKED | {("charging-sessions", 0): 8}
    assert drift(good, worked) == []
    assert erased(good) == Erased(sessions=3, trips=0, refusals=1)
    assert drift(good, worked) == []
    assert refused_rows(good) == [
        (6, "undecodable", None, "", "erased"),
        (7, "undecodable", "ann", "raw", "too short"),
    ]
    assert erased(good) == NOTHING


def test_the_account_is_named_neither_by_its_refusals_nor_by_their_replays(good: Facts) -> None:
    replay = {"origin": "replay", "reason": "It was sent again.", "value": b"", "attempt": 1}
    good.put(
        "refusals",
        refusal(6, key=b"bob", account_id="bob"),
        refusal(7, key=b"x", account_id="bob", code="too_long"),
        refusal(8, key=b"ann", account_id="ann"),
    )
    good.put(
        "refusals",
        refusal(9, **replay, replay_of="0-6", key=b"bob", account_id="bob"),
        refusal(10, **replay, replay_of="0-8", key=b"ann", account_id="ann"),
    )
    assert erased(good).refusals == 2
    told = "SELECT _offset, origin, account_id, key, replay_of FROM {db}.refusals ORDER BY _offset"
    assert rows(good, told) == [
        (6, "worker", "", None, ""),
        (7, "worker", "", None, ""),
        (8, "worker", "ann", "ann", ""),
        (9, "replay", "", None, "0-6"),
        (10, "replay", "ann", "ann", "0-8"),
    ]
    assert erased(good) == NOTHING


def test_a_refused_session_is_found_by_its_place_whatever_its_key(good: Facts) -> None:
    good.put("charging_sessions", session(6, account_id="bob"), session(7, partition=1))
    good.put("refusals", refusal(6, key=b"x", value=b"bob"), refusal(7, key=b"x", value=b"ann"))
    worked = WORKED | {("charging-sessions", 0): 8, ("charging-sessions", 1): 8}
    before = drift(good, worked)
    assert erased(good) == Erased(sessions=4, trips=0, refusals=1)
    assert [row[3] for row in refused_rows(good)] == ["", "ann"]
    assert drift(good, worked) == before


def test_a_refused_trip_is_not_taken_for_a_session_at_its_place(good: Facts) -> None:
    good.put("freight_trips", trip(6, account_id="bob"))
    good.put("refusals", refusal(6, key=b"x", value=b"ann"))
    assert erased(good) == Erased(sessions=3, trips=1, refusals=0)


def test_prefixed_topics_are_understood(good: Facts) -> None:
    good.put("charging_sessions", session(6, account_id="bob"))
    good.put("refusals", refusal(6, key=b"x", value=b"bob", topic="eu.charging-sessions"))
    assert erased(good).refusals == 1


def test_more_refusals_than_one_statement_takes(good: Facts) -> None:
    count = PLACES_MAX + 1
    good.put("refusals", *(refusal(number, key=b"bob") for number in range(count)))
    assert erased(good).refusals == count
    assert {row[3] for row in refused_rows(good)} == {""}


def test_the_loaders_refusals_are_left_alone(good: Facts) -> None:
    row = {"origin": "loader", "topic": "", "partition": None, "offset": None, "timestamp": None}
    good.put("refusals", refusal(6, **row, file="bob", line=3, key=b"bob"))
    assert erased(good).refusals == 0


def test_an_erased_copy_still_names_its_original_and_an_erased_original_is_there(
    good: Facts,
) -> None:
    good.put("charging_sessions", session(9, partition=1, account_id="bob"))
    copy = session(6, account_id="bob", _rekeyed_from="1:9")
    good.put("charging_sessions", copy)
    good.transfers += [transfer(copy, "emission", 5_000)]
    good.put("transfers", good.transfers[-1])
    own = [row for row in good.transfers if row["account_id"] == "bob"]
    good.put("balances", balance(own, _offset=1_000))
    worked = WORKED | {("charging-sessions", 0): 7, ("charging-sessions", 1): 10}
    assert drift(good, worked) == []
    assert erased(good).sessions == 5
    assert drift(good, worked) == []
