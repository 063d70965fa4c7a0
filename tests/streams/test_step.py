"""The step: what is booked, what is a repeat, and what is put right."""

from __future__ import annotations

import pytest

from schemas.columns import arrow_schema
from schemas.partition import partition_of
from streams.accounts import Accounts
from streams.read import read
from streams.step import step
from tests.streams.scene import (
    HOUR_MS,
    NOW_MS,
    TRIPS,
    event,
    held,
    nothing_came_of,
    part_of,
    refused,
    rules,
    session,
    sessions_of,
    sums,
    transfers,
    trip,
    work,
)


def test_a_session_becomes_an_emission_and_a_reduction_with_every_field_filled() -> None:
    outcome = work(Accounts(), sessions_of(session(), first_offset=7))
    emission, reduction = transfers(outcome)
    assert emission == {
        "transfer_id": "charging:test:S1:0:emission:0",
        "debit_account": "cn-charging:emission",
        "credit_account": "anna",
        "account_id": "anna",
        "amount_mg": 11_108_000,
        "kind": "accrual",
        "quantity": "emission",
        "activity": "charging",
        "source": "test",
        "activity_id": "S1",
        "revision": 0,
        "programme": "cn-charging",
        "programme_digest": rules().programmes["cn-charging"].digest,
        "region": "CN-BJ",
        "vehicle_class": "car",
        "method": "charging-emission/1",
        "baseline_mg": 24_648_000,
        "emissions_mg": 11_108_000,
        "energy_wh": 20_000,
        "distance_m": 0,
        "transport_kg_km": 0,
        "factor_id": emission["factor_id"],
        "factor_release": "2026.1",
        "factor_value_mg": 555_400,
        "factor_match": "exact",
        "booked_at": NOW_MS - HOUR_MS,
        "recorded_at": NOW_MS,
        "source_topic": "charging-sessions",
        "source_partition": 0,
        "source_offset": 7,
    }
    assert sorted(emission) == sorted(arrow_schema("transfer").names)
    assert reduction == {
        **emission,
        "transfer_id": "charging:test:S1:0:reduction:0",
        "debit_account": "cn-charging:issuance",
        "amount_mg": 24_648_000 - 11_108_000,
        "quantity": "reduction",
        "method": "charging-reduction/1",
    }


def test_a_trip_becomes_an_emission_and_a_reduction() -> None:
    outcome = work(Accounts(), part_of([event(trip())], topic=TRIPS))
    emission, reduction = transfers(outcome)
    assert (emission["method"], emission["amount_mg"]) == ("freight-emission-energy/1", 836_160_000)
    assert (reduction["method"], reduction["amount_mg"]) == ("freight-reduction/1", 352_512_000)
    assert (emission["distance_m"], emission["transport_kg_km"]) == (840_000, 22_400_000)
    assert (emission["energy_wh"], emission["activity"]) == (0, "freight")
    assert (emission["region"], emission["source_topic"]) == ("CN-JS", "freight-trips")


def test_a_negative_reduction_goes_back_to_the_issuance_account() -> None:
    accounts = Accounts()
    dirty = session(vehicle_class="tractor_heavy", grid_region="CN-HE")
    reduction = transfers(work(accounts, sessions_of(dirty)))[1]
    assert reduction["amount_mg"] > 0
    assert (reduction["debit_account"], reduction["credit_account"]) == (
        "anna",
        "cn-charging:issuance",
    )
    assert sums(accounts, "anna")["reduction_mg"] == -reduction["amount_mg"]


def test_a_programme_without_reductions_makes_one_transfer() -> None:
    programme = rules().programmes["india-hcv"]
    assert programme.freight is not None
    assert programme.freight.claim_share is None
    known = trip(
        programme="india-hcv",
        vehicle_class=programme.freight.classes[0],
        origin_region="IN",
        energy_used=None,
        data_grade="default",
    )
    accounts = Accounts()
    outcome = work(accounts, part_of([event(known)], topic=TRIPS))
    assert [one["quantity"] for one in transfers(outcome)] == ["emission"]
    assert sums(accounts, "bert")["transfer_count"] == 1


def test_a_balance_is_the_sum_of_what_was_booked() -> None:
    accounts = Accounts()
    work(accounts, sessions_of(session(), session(session_id="S2", energy_wh=10_000)))
    work(accounts, part_of([event(trip(account_id="anna"))], topic=TRIPS))
    assert sums(accounts, "anna") == {
        "reduction_mg": (24_648_000 - 11_108_000) * 3 // 2,
        "emissions_mg": 11_108_000 * 3 // 2,
        "energy_wh": 30_000,
        "distance_m": 0,
        "transport_kg_km": 0,
        "session_count": 2,
        "trip_count": 0,
        "transfer_count": 4,
        "duplicate_count": 0,
    }


def test_a_repeat_within_the_slice_is_counted_and_not_booked() -> None:
    accounts = Accounts()
    outcome = work(accounts, sessions_of(session(), session(), session()))
    assert (outcome.booked, outcome.duplicates, outcome.transfers.num_rows) == (1, 2, 2)
    assert sums(accounts, "anna")["duplicate_count"] == 2


def test_a_repeat_of_an_earlier_slice_is_counted_and_not_booked() -> None:
    accounts = Accounts()
    work(accounts, sessions_of(session()))
    before = sums(accounts, "anna")
    outcome = work(accounts, sessions_of(session(), first_offset=1))
    assert (outcome.booked, outcome.duplicates, outcome.transfers.num_rows) == (0, 1, 0)
    assert sums(accounts, "anna") == {**before, "duplicate_count": 1}


@pytest.mark.parametrize("together", [True, False])
def test_a_repeat_is_a_repeat_whatever_else_has_become_of_it(together: bool) -> None:
    accounts = Accounts()
    events = [session(), session(energy_wh=-1), session(programme="nowhere"), session()]
    if together:
        outcomes = [work(accounts, sessions_of(*events))]
    else:
        outcomes = [work(accounts, sessions_of(one)) for one in events]
    assert sum(outcome.duplicates for outcome in outcomes) == 3
    assert [refused(outcome) for outcome in outcomes] == [[]] * len(outcomes)


def test_an_event_that_was_refused_first_may_come_again_and_be_booked() -> None:
    outcome = work(Accounts(), sessions_of(session(energy_wh=-1), session(), session()))
    assert refused(outcome) == [(0, "energy_out_of_range")]
    assert (outcome.booked, outcome.duplicates) == (1, 1)


def test_a_session_and_a_trip_of_one_source_with_one_id_are_different_events() -> None:
    accounts = Accounts()
    charged = work(accounts, sessions_of(session(source="one", session_id="1")))
    moved_by = trip(source="one", trip_id="1", account_id="bert")
    moved = work(accounts, part_of([event(moved_by)], topic=TRIPS))
    assert (charged.booked, moved.booked) == (1, 1)
    ids = {one["transfer_id"] for one in transfers(charged) + transfers(moved)}
    assert len(ids) == 4


def test_only_its_own_account_remembers_an_event_whoever_shares_the_partition() -> None:
    accounts = Accounts()
    work(accounts, sessions_of(session(account_id="anna")))
    again = work(accounts, sessions_of(session(account_id="bo")))
    assert (again.booked, again.duplicates) == (1, 0)


def test_equal_ids_of_different_sources_are_different_events() -> None:
    outcome = work(Accounts(), sessions_of(session(), session(source="other")))
    assert (outcome.booked, outcome.duplicates) == (2, 0)


@pytest.mark.parametrize("together", [True, False])
def test_an_account_belongs_to_the_programme_of_its_first_booked_activity(together: bool) -> None:
    accounts = Accounts()
    events = [
        session(energy_wh=-1, programme="us-fleet"),
        session(session_id="S2"),
        session(session_id="S3", programme="us-fleet", grid_region="US"),
        session(session_id="S4"),
    ]
    if together:
        codes = refused(work(accounts, sessions_of(*events)))
    else:
        codes = [
            (position, bad.code)
            for position, one in enumerate(events)
            for bad in work(accounts, sessions_of(one)).refused
        ]
    assert codes == [(0, "energy_out_of_range"), (2, "account_in_other_programme")]
    assert sums(accounts, "anna")["session_count"] == 2


def test_a_record_in_the_wrong_partition_is_neither_booked_nor_refused_but_put_right() -> None:
    by = rules(partitions=4)
    home = partition_of(b"anna", 4)
    away = (home + 1) % 4
    outcome = work(Accounts(), part_of([event(session())], partition=away), by)
    assert nothing_came_of(outcome) is False
    assert (outcome.astray.tolist(), outcome.astray_accounts) == ([0], ["anna"])
    assert (outcome.booked, outcome.duplicates, refused(outcome)) == (0, 0, [])
    assert work(Accounts(), part_of([event(session())], partition=home), by).booked == 1


def test_no_records_lead_to_nothing() -> None:
    outcome = work(Accounts(), part_of([]))
    assert nothing_came_of(outcome)
    assert outcome.refused == []


def test_the_step_changes_no_account_before_its_change_is_applied() -> None:
    accounts = Accounts()
    work(accounts, sessions_of(session()))
    before = held(accounts, ["anna", "carl"])
    part = sessions_of(session(session_id="S2"), session(account_id="carl"))
    step(read(part), accounts, rules())
    assert held(accounts, ["anna", "carl"]) == before
