"""Transactions of OCPP become charging sessions, in whatever order their messages came."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.adapters.ocpp import by_transaction, session_16, session_201
from producers.adapters.outcome import Adapted, Outcome
from producers.stations import Station
from tests.producers.adapters.documents import (
    ANYTHING,
    check_any,
    damaged,
    example,
    fields,
    from_schema,
    needs_data,
    refused,
    sender,
    stations,
)

TABLE = {
    "CP1*1": Station(region="CN-GD", current="dc", operator_id="op"),
    "CP1*2*1": Station(region="CN-GD", current="ac", evse_id="E2"),
}
KNOWN = sender(operator_id="network", regions=stations(**TABLE))


def register(value: Any, **more: Any) -> dict[str, Any]:
    """Return a sampled value; by default the register of imported energy in Wh, as in OCPP."""
    return {"value": value} | more


def event(number: int, kind: str, *samples: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a TransactionEvent, one minute after the one before it."""
    time = f"2024-05-01T10:{number:02}:00Z"
    values = {"meterValue": [{"timestamp": time, "sampledValue": list(samples)}]} if samples else {}
    return {
        "eventType": kind,
        "timestamp": time,
        "triggerReason": "Authorized",
        "seqNo": number,
        "transactionInfo": {"transactionId": "t-1"},
        **values,
        **more,
    }


START = event(
    0,
    "Started",
    register(1_000),
    idToken={"idToken": "card-7", "type": "ISO14443"},
    evse={"id": 1, "connectorId": 1},
)
UPDATE = event(1, "Updated", register(5_000))
END = event(2, "Ended", register(13_345))


def adapt(*events: Any) -> Outcome:
    """Return what becomes of the events of a transaction."""
    return session_201(list(events), KNOWN, "CP1")


def notes(outcome: Outcome) -> tuple[str, ...]:
    """Return the notes that don't tell of region and vehicle."""
    assert isinstance(outcome, Adapted)
    return outcome.notes[2:]


def test_a_transaction_is_the_difference_of_a_register() -> None:
    outcome = adapt(START, UPDATE, END)
    found = fields(outcome)
    assert (found["session_id"], found["account_id"]) == ("CP1*t-1", "CARD-7")
    assert (found["energy_wh"], found["meter_side"]) == (12_345, "dispenser")
    assert found["ended_at"] - found["started_at"] == 120_000
    assert (found["grid_region"], found["current"]) == ("CN-GD", "dc")
    assert (found["operator_id"], found["evse_id"]) == ("op", "CP1*1*1")
    assert notes(outcome) == ()


@given(st.permutations([START, UPDATE, END, UPDATE, START]))
def test_seq_no_is_the_order_and_repeats_count_once(events: list[Any]) -> None:
    assert fields(adapt(*events)) == fields(adapt(START, UPDATE, END))


def test_offline_messages_come_late_and_change_nothing_but_the_notes() -> None:
    late = UPDATE | {"offline": True}
    assert refused(adapt(START, late)) == ("row_unmapped", "$")
    outcome = adapt(START, END, late)
    assert fields(outcome) == fields(adapt(START, UPDATE, END))
    assert notes(outcome) == ("1 messages were sent late, after the station was offline",)


def test_messages_that_are_missing_are_told() -> None:
    assert notes(adapt(START, END)) == ("1 messages of the transaction are missing",)


@pytest.mark.parametrize("events", [[START], [END], [UPDATE, END], []])
def test_a_transaction_that_is_not_whole_is_not_yet_mapped(events: list[Any]) -> None:
    assert refused(adapt(*events)) == ("row_unmapped", "$")


@pytest.mark.parametrize(
    ("unit", "energy_wh"),
    [
        ({}, 12),
        ({"multiplier": 3}, 12_000),
        ({"unit": "kWh"}, 12_000),
        ({"unit": "kWh", "multiplier": -1}, 1_200),
        ({"unit": "Wh", "multiplier": 0}, 12),
    ],
)
def test_values_have_a_unit_and_a_multiplier(unit: dict[str, Any], energy_wh: int) -> None:
    first, last = (register(value, unitOfMeasure=unit) for value in (100, 112))
    found = fields(adapt(START | event(0, "Started", first), event(2, "Ended", last)))
    assert found["energy_wh"] == energy_wh


def test_a_register_that_fell_was_reset() -> None:
    outcome = adapt(START, event(1, "Updated", register(10)), END)
    where = "$[1].meterValue[0].sampledValue[0].value"
    assert refused(outcome) == ("energy_out_of_range", where)


def test_other_measurands_and_other_places_are_left_alone() -> None:
    others = [
        register(9e9, measurand="Power.Active.Import"),
        register(7, measurand="Energy.Active.Import.Interval"),
        register(8, location="EV"),
        register(50, phase="L1"),
    ]
    end = event(2, "Ended", register(13_345), *others)
    assert fields(adapt(START, end))["energy_wh"] == 12_345


def test_phases_add_up_where_nothing_else_is_read() -> None:
    first = [register(100 * n, phase=f"L{n}") for n in (1, 2, 3)]
    last = [register(100 * n + 10, phase=f"L{n}") for n in (1, 2, 3)]
    events = START | event(0, "Started", *first), event(2, "Ended", *last)
    assert fields(adapt(*events))["energy_wh"] == 30
    missing = events[0], event(2, "Ended", *last[:2])
    assert refused(adapt(*missing)) == ("row_missing_value", "$[1]")


def test_a_register_at_the_inlet_is_on_the_side_of_the_grid() -> None:
    first, last = (register(value, location="Inlet") for value in (0, 90))
    found = fields(adapt(START | event(0, "Started", first), event(2, "Ended", last)))
    assert (found["energy_wh"], found["meter_side"]) == (90, "grid")


def test_energy_fed_back_is_told() -> None:
    export = "Energy.Active.Export.Register"
    start = START | event(0, "Started", register(0), register(0, measurand=export))
    end = event(1, "Ended", register(90), register(30, measurand=export))
    outcome = adapt(start, end)
    assert fields(outcome)["energy_wh"] == 90
    assert notes(outcome) == ("30 Wh were fed back, which is not booked",)


def test_a_register_that_was_not_read_at_the_end_is_told() -> None:
    outcome = adapt(START, UPDATE, event(2, "Ended"))
    assert fields(outcome)["energy_wh"] == 4_000
    assert notes(outcome) == ("the register was not read when the transaction ended",)


def test_messages_may_stand_in_their_call_frames() -> None:
    framed = [[2, str(at), "TransactionEvent", one] for at, one in enumerate((START, UPDATE, END))]
    assert fields(adapt(*framed)) == fields(adapt(START, UPDATE, END))
    other = event(0, "Started") | {"transactionInfo": {"transactionId": "t-2"}}
    assert by_transaction([*framed, other, 7]) == {"t-1": framed, "t-2": [other], "": [7]}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"idToken": None}, ("row_missing_value", "$")),
        ({"idToken": {"idToken": "", "type": "NoAuthorization"}}, ("row_missing_value", "$")),
        ({"evse": None}, ("row_missing_value", "$")),
        ({"evse": {"id": 9}}, ("row_missing_value", "$[0].evse")),
        ({"eventType": "Begun"}, ("row_bad_value", "$[0].eventType")),
        ({"seqNo": 2}, ("row_bad_value", "$[1].seqNo")),
        (
            {"transactionInfo": {"transactionId": "t-2"}},
            ("row_bad_value", "$[1].transactionInfo.transactionId"),
        ),
        (
            event(0, "Started", register(0, unitOfMeasure={"unit": "kW"})),
            ("row_bad_value", "$[0].meterValue[0].sampledValue[0].unitOfMeasure.unit"),
        ),
        (
            event(0, "Started", register(0, unitOfMeasure={"multiplier": 10**9})),
            ("row_bad_value", "$[0].meterValue[0].sampledValue[0].unitOfMeasure.multiplier"),
        ),
    ],
)
def test_what_contradicts_itself_is_refused_where_it_stands(
    changes: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert refused(adapt(START | changes, END)) == expected


def old(**changes: Any) -> dict[str, Any]:
    """Return a transaction of OCPP 1.6."""
    return {
        "transactionId": 7,
        "start": {
            "connectorId": 1,
            "idTag": "card-7",
            "meterStart": 1_000,
            "timestamp": "2024-05-01T10:00:00Z",
        },
        "stop": {"transactionId": 7, "meterStop": 13_345, "timestamp": "2024-05-01T10:02:00Z"},
    } | changes


def test_a_transaction_of_1_6_is_the_difference_of_two_messages() -> None:
    found = fields(session_16(old(), KNOWN, "CP1"))
    assert (found["session_id"], found["energy_wh"]) == ("CP1*7", 12_345)
    assert (found["account_id"], found["evse_id"]) == ("CARD-7", "CP1*1")
    framed = {key: [2, "x", key, old()[key]] for key in ("start", "stop")}
    assert fields(session_16(old(**framed), KNOWN, "CP1")) == found


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"stop": None}, ("row_unmapped", "$")),
        ({"transactionId": 8}, ("row_bad_value", "$.stop.transactionId")),
        (
            {"transactionId": -1, "stop": old()["stop"] | {"transactionId": -1}},
            ("row_bad_value", "$.transactionId"),
        ),
        (
            {"stop": old()["stop"] | {"meterStop": 999}},
            ("energy_out_of_range", "$.stop.meterStop"),
        ),
    ],
)
def test_a_transaction_of_1_6_that_contradicts_itself_is_refused(
    changes: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert refused(session_16(old(**changes), KNOWN, "CP1")) == expected


@needs_data
@settings(max_examples=60)
@given(st.data())
@pytest.mark.parametrize("version", ["v201", "v21"])
def test_any_events_that_the_schema_allows_become_a_record_or_a_refusal(
    version: str, data: st.DataObject
) -> None:
    drawn = from_schema(example(f"conf-ocpp/{version}/TransactionEventRequest.json"))
    events = data.draw(st.lists(drawn, max_size=3))
    check_any(adapt(*events))
    # Made one transaction, so that they are read to the end.
    for at, one in enumerate(events):
        one |= {"seqNo": at, "transactionInfo": {"transactionId": "t-1"}}
    check_any(adapt(START, *events, END | {"seqNo": len(events)}))


@needs_data
@settings(max_examples=60)
@given(st.data())
def test_any_messages_of_1_6_become_a_record_or_a_refusal(data: st.DataObject) -> None:
    start, stop = (
        data.draw(from_schema(example(f"conf-ocpp/v16/{name}Transaction.json")))
        for name in ("Start", "Stop")
    )
    number = stop["transactionId"]
    check_any(session_16({"transactionId": number, "start": start, "stop": stop}, KNOWN, "CP1"))


@given(damaged([START, UPDATE, END], old()) | ANYTHING)
def test_any_document_becomes_a_record_or_a_refusal(document: Any) -> None:
    check_any(session_201(document, KNOWN, "CP1"))
    check_any(session_16(document, KNOWN, "CP1"))


def test_a_document_that_is_nested_without_end_is_refused() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    twice = [START | {"customData": deep}, START | {"customData": [deep]}]
    assert refused(adapt(*twice))[0] in ("row_unmapped", "row_bad_value")
