"""A charge order of T/CEC 102 becomes a charging session; what it lacks comes from tables."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.adapters.outcome import Adapted, Outcome
from producers.adapters.tcec import charge_order
from producers.stations import Station
from tests.producers.adapters.documents import (
    ANYTHING,
    check_any,
    damaged,
    fields,
    refused,
    sender,
    stations,
)

ORDERS = {"MA5DA0053202405011234567": "user-1"}
CONNECTOR = "3702120012001"
KNOWN = sender(
    operator_id="MA5DA0053", regions=stations(**{CONNECTOR: Station(region="CN-SD", current="dc")})
)


def order(**changes: Any) -> dict[str, Any]:
    """Return a charge order as platforms send it."""
    return {
        "StartChargeSeq": "MA5DA0053202405011234567",
        "ConnectorID": CONNECTOR,
        "StartTime": "2024-05-01 23:30:00",
        "EndTime": "2024-05-02 00:15:30",
        "TotalPower": 31.25,
        "TotalElecMoney": 25.0,
        "TotalSeviceMoney": 12.5,
        "TotalMoney": 37.5,
        "StopReason": 0,
        "SumPeriod": 2,
        "ChargeDetails": [
            {"DetailStartTime": "2024-05-01 23:30:00", "DetailPower": 20.0},
            {"DetailStartTime": "2024-05-02 00:00:00", "DetailPower": 11.25},
        ],
    } | changes


def adapt(document: Any) -> Outcome:
    """Return what becomes of an order, with the account and the station known."""
    return charge_order(document, KNOWN, ORDERS)


def notes(outcome: Outcome) -> tuple[str, ...]:
    """Return the notes of a record that don't tell of region and vehicle."""
    assert isinstance(outcome, Adapted)
    return outcome.notes[2:]


def test_times_are_shanghais() -> None:
    found = fields(adapt(order()))
    assert found["started_at"] == datetime(2024, 5, 1, 15, 30, tzinfo=UTC).timestamp() * 1000
    assert found["ended_at"] == datetime(2024, 5, 1, 16, 15, 30, tzinfo=UTC).timestamp() * 1000


def test_total_power_is_energy() -> None:
    assert fields(adapt(order()))["energy_wh"] == 31_250
    assert fields(adapt(order(TotalPower="31.25")))["energy_wh"] == 31_250


def test_place_current_and_account_come_from_tables() -> None:
    found = fields(adapt(order()))
    assert (found["grid_region"], found["current"]) == ("CN-SD", "dc")
    assert (found["account_id"], found["evse_id"]) == ("user-1", CONNECTOR)
    assert found["session_id"] == "MA5DA0053*MA5DA0053202405011234567"
    unknown = charge_order(order(), sender(operator_id="MA5DA0053"), ORDERS)
    assert refused(unknown) == ("row_missing_value", "$.ConnectorID")
    nobody = charge_order(order(), KNOWN, {})
    assert refused(nobody) == ("row_missing_value", "$.StartChargeSeq")


def test_the_operator_is_the_envelopes_and_not_the_beginning_of_the_order() -> None:
    for data in (order(), json.dumps(order())):
        found = fields(adapt({"OperatorID": "313744932", "Data": data, "Seq": "0001"}))
        assert found["operator_id"] == "313744932"
        assert found["session_id"] == "313744932*MA5DA0053202405011234567"
    nobody = charge_order(order(), sender(), ORDERS)
    assert refused(nobody) == ("row_missing_value", "$")


def test_data_that_is_still_encrypted_is_refused() -> None:
    outcome = adapt({"OperatorID": "313744932", "Data": "il7B0BSEjFdzpyKzfOFpvg/Se1CP802R"})
    assert refused(outcome) == ("row_unmapped", "$.Data")
    assert refused(adapt({"Data": "[" * 100_000})) == ("row_unmapped", "$.Data")


@pytest.mark.parametrize("spelt", ["TotalSeviceMoney", "TotalServiceMoney"])
def test_service_money_is_spelt_as_the_standard_does_or_corrected(spelt: str) -> None:
    good = order()
    good[spelt] = good.pop("TotalSeviceMoney")
    assert notes(adapt(good)) == ()
    bad = good | {"TotalMoney": 375}
    assert notes(adapt(bad)) == ("TotalElecMoney and TotalSeviceMoney don't add up to TotalMoney",)


def test_details_that_do_not_add_up_are_told() -> None:
    outcome = adapt(order(ChargeDetails=[{"DetailPower": 7}]))
    assert notes(outcome) == ("the energies of ChargeDetails don't add up to TotalPower",)
    assert fields(outcome)["energy_wh"] == 31_250


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"TotalPower": ""}, ("row_missing_value", "$.TotalPower")),
        ({"TotalPower": "much"}, ("row_bad_value", "$.TotalPower")),
        ({"EndTime": "2024-05-01"[:7]}, ("row_bad_value", "$.EndTime")),
        ({"StartTime": None}, ("row_missing_value", "$.StartTime")),
        (
            {"ChargeDetails": [{"DetailPower": "x"}]},
            ("row_bad_value", "$.ChargeDetails[0].DetailPower"),
        ),
    ],
)
def test_what_cannot_be_read_is_refused_where_it_stands(
    changes: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert refused(adapt(order(**changes))) == expected


def test_an_hour_that_shanghais_clock_skipped_is_refused() -> None:
    # China had summer time until 1991.
    assert refused(adapt(order(StartTime="1990-04-15 02:30:00"))) == (
        "row_bad_value",
        "$.StartTime",
    )


@given(
    damaged(order(), {"OperatorID": "313744932", "Data": order()})
    | st.fixed_dictionaries({"Data": st.text()})
    | ANYTHING
)
def test_any_document_becomes_a_record_or_a_refusal(document: Any) -> None:
    check_any(adapt(document))
