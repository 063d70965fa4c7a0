"""A charge detail record of OICP becomes a charging session of the time that energy flowed."""

from typing import Any

import pytest
from hypothesis import given

from producers.adapters.oicp import charge_detail_record
from producers.adapters.outcome import Adapted, Outcome
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

EVSE = "DE*XYZ*ETEST1"
DIN = "+49*810*000*438"
KNOWN = sender(
    regions=stations(**{EVSE: Station(current="ac"), DIN: Station(region="DE", current="dc")})
)


def record(**changes: Any) -> dict[str, Any]:
    """Return a charge detail record with what is read of it."""
    return {
        "SessionID": "F98EFBA4-02D8-4FA0-B810-9A9D50D2C527",
        "EvseID": EVSE,
        "Identification": {"RemoteIdentification": {"EvcoID": "de-8aa-123b4567-1"}},
        "SessionStart": "2024-05-01T09:50:00Z",
        "ChargingStart": "2024-05-01T12:00:00+02:00",
        "ChargingEnd": "2024-05-01T10:45:00Z",
        "SessionEnd": "2024-05-01T13:00:00Z",
        "MeterValueStart": 100.5,
        "MeterValueEnd": 118.955,
        "ConsumedEnergy": 18.455,
    } | changes


def adapt(**changes: Any) -> Outcome:
    """Return what becomes of a record."""
    return charge_detail_record(record(**changes), KNOWN)


def test_a_record_becomes_a_session() -> None:
    found = fields(adapt())
    assert found["session_id"] == "f98efba4-02d8-4fa0-b810-9a9d50d2c527"
    assert (found["account_id"], found["energy_wh"]) == ("DE-8AA-123B4567-1", 18_455)
    assert (found["operator_id"], found["evse_id"], found["current"]) == ("DE*XYZ", EVSE, "ac")


def test_the_session_is_the_time_of_charging_and_not_of_parking() -> None:
    found = fields(adapt())
    assert found["ended_at"] - found["started_at"] == 45 * 60_000


def test_the_country_of_an_iso_evse_stands_in_and_is_told() -> None:
    outcome = adapt()
    assert fields(outcome)["grid_region"] == "DE"
    assert isinstance(outcome, Adapted)
    assert "the country is that of the EVSE's operator" in outcome.notes


def test_a_din_evse_takes_region_from_the_table_and_operator_from_the_sender() -> None:
    assert refused(adapt(EvseID=DIN)) == ("row_missing_value", "$.EvseID")
    known = sender(operator_id="op", regions=KNOWN.regions)
    found = fields(charge_detail_record(record(EvseID=DIN), known))
    assert (found["grid_region"], found["operator_id"]) == ("DE", "op")


def test_meter_values_that_say_otherwise_are_told() -> None:
    outcome = adapt(MeterValueEnd=200)
    assert isinstance(outcome, Adapted)
    assert outcome.notes[-1] == "MeterValueEnd less MeterValueStart is not ConsumedEnergy"
    assert fields(outcome)["energy_wh"] == 18_455


def test_a_card_is_the_account_where_there_is_no_contract() -> None:
    card = {"RFIDMifareFamilyIdentification": {"UID": "1234abcd"}}
    assert fields(adapt(Identification=card))["account_id"] == "1234ABCD"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"EvseID": "DE*XYZ*EOTHER"}, ("row_missing_value", "$.EvseID")),
        (
            {"Identification": {}},
            ("row_missing_value", "$.Identification.RFIDMifareFamilyIdentification"),
        ),
        (
            {"Identification": {"QRCodeIdentification": {"PIN": "1"}}},
            ("row_missing_value", "$.Identification.QRCodeIdentification.EvcoID"),
        ),
        ({"ConsumedEnergy": None}, ("row_missing_value", "$.ConsumedEnergy")),
        ({"ChargingEnd": None}, ("row_missing_value", "$.ChargingEnd")),
        ({"MeterValueEnd": "x"}, ("row_bad_value", "$.MeterValueEnd")),
    ],
)
def test_what_is_missing_is_refused_where_it_stands(
    changes: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert refused(adapt(**changes)) == expected


@given(damaged(record(), record(EvseID=DIN)) | ANYTHING)
def test_any_document_becomes_a_record_or_a_refusal(document: Any) -> None:
    check_any(charge_detail_record(document, KNOWN))
