"""One record at a time: strict in both directions."""

from typing import Any

import pytest

from schemas.catalogue import CatalogueError
from schemas.framing import WireError
from schemas.singles import decode_one, encode_one

SESSION: dict[str, Any] = {
    "session_id": "s-1",
    "source": "acn",
    "account_id": "driver-1",
    "programme": "p",
    "vehicle_class": "car",
    "grid_region": "CN-BJ",
    "started_at": 1_600_000_000_001,
    "ended_at": 1_600_003_600_000,
    "energy_wh": 20_000,
    "meter_side": "grid",
    "current": "ac",
    "operator_id": "o",
    "evse_id": "e",
}


def test_fields_with_a_default_may_be_left_out() -> None:
    record, value = decode_one(encode_one("charging_session", SESSION))
    assert (record, value) == ("charging_session", SESSION | {"reversal_of": None, "revision": 0})


def test_an_instant_stays_an_int_to_the_millisecond() -> None:
    value = decode_one(encode_one("charging_session", SESSION))[1]
    assert (type(value["started_at"]), value["started_at"]) == (int, 1_600_000_000_001)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("energy_wh", 1.5),
        ("energy_wh", True),
        ("energy_wh", None),
        ("energy_wh", 2**63),
        ("revision", 2**31),
        ("source", b"acn"),
        ("source", None),
        ("source", "\ud800"),
        ("current", "three-phase"),
        ("reversal_of", 3),
        ("colour", "green"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(field: str, value: object) -> None:
    with pytest.raises(WireError) as refused:
        encode_one("charging_session", SESSION | {field: value})
    assert refused.value.code == "undecodable"


def test_a_field_without_a_default_may_not_be_left_out() -> None:
    with pytest.raises(WireError, match="energy_wh"):
        encode_one("charging_session", {k: v for k, v in SESSION.items() if k != "energy_wh"})


def test_an_unknown_record_is_the_callers_mistake() -> None:
    with pytest.raises(CatalogueError, match="train_ride"):
        encode_one("train_ride", {})


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda wire: wire[:-1], "ends before"),
        (lambda wire: wire + b"xy", "2 bytes follow"),
        (lambda wire: wire[:6] + b"\xff" + wire[7:], "not UTF-8"),
        (lambda wire: wire[:-2] + b"\x08\x00", "no such index"),
        (lambda wire: wire[:-1] + b"\x80\x00", "as a writer"),
    ],
)
def test_a_refusal_says_what_is_wrong(damage: Any, words: str) -> None:
    with pytest.raises(WireError, match=words):
        decode_one(damage(encode_one("charging_session", SESSION)))
