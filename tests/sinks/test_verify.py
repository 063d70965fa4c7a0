"""Verify finds each kind of drift, and nothing where there is none; on both stores."""

import pytest

from sinks.verify import Drift, Verdict, verify
from tests.sinks.facts import Facts, balance, refusal, session, transfer

WORKED = {("charging-sessions", 0): 6, ("freight-trips", 0): 3}


@pytest.fixture
def good(facts: Facts) -> Facts:
    """Six sessions and three trips of three accounts, all booked."""
    facts.sessions(3)
    facts.sessions(3, account_id="bob", first=3)
    facts.trips(3)
    facts.book()
    return facts


def drift(facts: Facts, worked: dict[tuple[str, int], int] = WORKED) -> list[Drift]:
    """Return what drifted, having checked that the verdict agrees."""
    verdict = verify(facts.client, worked, database=facts.database)
    assert verdict.ok == (not verdict.drift)
    return list(verdict.drift)


def rebook(facts: Facts, account: str, **changes: object) -> None:
    """Put a newer balance of an account that differs from its transfers as given."""
    own = [row for row in facts.transfers if row["account_id"] == account]
    facts.put("balances", balance(own, **({"_offset": 1_000} | changes)))


def test_good_books_agree(good: Facts) -> None:
    assert verify(good.client, WORKED, database=good.database) == Verdict(ok=True, drift=())


def test_an_empty_database_agrees(facts: Facts) -> None:
    assert drift(facts, {}) == []


def test_inserting_everything_again_agrees(good: Facts) -> None:
    good.book()
    assert drift(good) == []


@pytest.mark.parametrize(
    "field",
    [
        "reduction_mg",
        "emissions_mg",
        "energy_wh",
        "distance_m",
        "transport_kg_km",
        "session_count",
        "trip_count",
        "transfer_count",
        "last_booked_at",
    ],
)
def test_a_wrong_field_of_a_balance_is_found(good: Facts, field: str) -> None:
    own = balance([row for row in good.transfers if row["account_id"] == "bob"])
    rebook(good, "bob", **{field: own[field] + 1})
    found = [each for each in drift(good) if each.kind == "balance"]
    assert found == [
        Drift(
            kind="balance",
            where=f"bob {field}",
            expected=str(own[field]),
            found=str(own[field] + 1),
        )
    ]


def test_a_missing_balance_is_found(facts: Facts) -> None:
    facts.sessions(1)
    facts.put("transfers", *facts.transfers)
    found = drift(facts, {("charging-sessions", 0): 1})
    assert Drift(kind="balance", where="ann transfer_count", expected="2", found="0") in found


def test_a_balance_without_transfers_is_found(good: Facts) -> None:
    row = transfer(session(50, account_id="ghost"), "emission", 9)
    good.put("balances", balance([row]))
    assert Drift(kind="balance", where="ghost emissions_mg", expected="0", found="9") in drift(good)


def test_an_account_of_two_programmes_is_found(good: Facts) -> None:
    rebook(good, "ann", programme="other")
    found = [each for each in drift(good) if each.kind == "programme"]
    assert found == [
        Drift(kind="programme", where="ann", expected="one programme", found="city, other")
    ]


def changed(facts: Facts, **changes: object) -> dict[str, object]:
    """Return bob's first transfer again, from a later message, changed as given."""
    return facts.transfers[6] | {"_offset": 1_000} | changes


def test_a_transfer_repeated_with_the_same_content_agrees(good: Facts) -> None:
    good.put("transfers", changed(good))
    assert drift(good) == []


@pytest.mark.parametrize("change", [{"amount_mg": 1}, {"region": "CN-SH"}, {"booked_at": 0}])
def test_a_transfer_repeated_with_other_content_is_found(
    good: Facts, change: dict[str, object]
) -> None:
    good.put("transfers", changed(good, **change))
    (found,) = [each for each in drift(good) if each.kind == "transfer"]
    assert (found.where, found.found) == ("charging:cpo:s3:0:emission:0", "several contents")


@pytest.mark.parametrize(
    "change",
    [
        {"amount_mg": -5_000},
        {"debit_account": "city:issuance"},
        {"debit_account": "eve"},
        {"credit_account": "eve"},
        {"credit_account": "city:emission", "debit_account": "city:emission"},
    ],
)
def test_a_malformed_transfer_is_found(good: Facts, change: dict[str, object]) -> None:
    good.put("transfers", changed(good, **change))
    (found,) = [each for each in drift(good) if each.kind == "leg"]
    assert found.where == "charging:cpo:s3:0:emission:0"
    assert found.expected == "bob and city:emission, at least 0 mg"


def test_carbon_from_nowhere_is_found(good: Facts) -> None:
    rebook(good, "ann", reduction_mg=1_000_000)
    (found,) = [each for each in drift(good) if each.kind == "conservation"]
    assert found == Drift(
        kind="conservation", where="city reduction", expected="24000 mg", found="1012000 mg"
    )


def test_a_record_that_left_no_trace_is_found(good: Facts) -> None:
    good.put("charging_sessions", session(6))
    found = drift(good, WORKED | {("charging-sessions", 0): 7})
    assert [each.kind for each in found] == ["events"]
    assert found[0].expected == "10 records worked"
    assert found[0].found.startswith("9: ")


def test_a_record_not_yet_worked_is_no_drift(good: Facts) -> None:
    good.put("charging_sessions", session(6))
    assert drift(good) == []


def test_a_duplicate_accounts_for_its_record(good: Facts) -> None:
    good.put("charging_sessions", session(6, session_id="s0"))
    rebook(good, "ann", duplicate_count=1)
    assert drift(good, WORKED | {("charging-sessions", 0): 7}) == []


def test_a_duplicate_too_many_is_found(good: Facts) -> None:
    rebook(good, "ann", duplicate_count=1)
    assert [each.kind for each in drift(good)] == ["events"]


@pytest.mark.parametrize("decoded", [True, False])
def test_a_refusal_accounts_for_its_record(good: Facts, decoded: bool) -> None:
    if decoded:
        good.put("charging_sessions", session(6))
    good.put("refusals", refusal(6))
    assert drift(good, WORKED | {("charging-sessions", 0): 7}) == []


def test_a_record_refused_twice_is_found(good: Facts) -> None:
    good.put("refusals", refusal(6), refusal(6, _offset=7))
    found = drift(good, WORKED | {("charging-sessions", 0): 7})
    assert [each.kind for each in found] == ["events", "events"]


def test_a_loaders_refusal_is_no_record(good: Facts) -> None:
    row = {"origin": "loader", "topic": "", "partition": None, "offset": None, "timestamp": None}
    good.put("refusals", refusal(6, **row, file="a.csv", line=3))
    assert drift(good, WORKED | {("charging-sessions", 0): 7}) == []


def test_an_activity_both_booked_and_refused_is_found(good: Facts) -> None:
    good.put("refusals", refusal(2))
    assert [each.where for each in drift(good)] == ["charging-sessions", "all activity topics"]


def test_a_rekeyed_original_is_left_out(good: Facts) -> None:
    good.put("charging_sessions", session(9, partition=1))
    copy = session(6, account_id="bob", _rekeyed_from="1:9")
    good.put("charging_sessions", copy)
    good.transfers += [transfer(copy, "emission", 5_000)]
    good.put("transfers", good.transfers[-1])
    rebook(good, "bob")
    worked = WORKED | {("charging-sessions", 0): 7, ("charging-sessions", 1): 10}
    assert drift(good, worked) == []


def test_a_rekeyed_record_that_was_lost_is_found(good: Facts) -> None:
    good.put("charging_sessions", session(9, partition=1))
    found = drift(good, WORKED | {("charging-sessions", 1): 10})
    assert [each.kind for each in found] == ["events"]


def test_a_rekeyed_record_without_original_is_found(good: Facts) -> None:
    good.put("charging_sessions", session(6, _rekeyed_from="3:77"))
    found = [each for each in drift(good) if each.kind == "rekeyed"]
    assert found == [
        Drift(
            kind="rekeyed",
            where="charging-sessions 3:77",
            expected="the original of a re-keyed record",
            found="nothing",
        )
    ]


def test_prefixed_topics_are_understood(good: Facts) -> None:
    worked = {(f"eu.{topic}", partition): end for (topic, partition), end in WORKED.items()}
    assert drift(good, worked) == []


def test_drift_reads_as_a_line() -> None:
    line = str(Drift(kind="balance", where="ann reduction_mg", expected="7", found="8"))
    assert line == "balance: ann reduction_mg: expected 7, found 8"


def test_every_field_the_ledger_can_tell_is_compared(good: Facts) -> None:
    own = balance([row for row in good.transfers if row["account_id"] == "bob"])
    fields = [name for name, value in own.items() if type(value) is int and name[0] != "_"]
    rebook(good, "bob", **{name: own[name] + 1 for name in fields})
    told = {each.where.split()[1] for each in drift(good) if each.kind == "balance"}
    assert told == set(fields) - {"duplicate_count", "updated_at"}
