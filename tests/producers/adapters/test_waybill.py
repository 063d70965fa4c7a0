"""A waybill of China's freight platforms becomes a trip, once a track gives the distance."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given

from producers.adapters.outcome import Adapted, Outcome, Refused
from producers.adapters.waybill import Drive, waybill
from producers.pseudonyms import PSEUDONYM, Key, Pseudonyms
from producers.vehicles import Vehicle, Vehicles
from tests.producers.adapters.documents import ANYTHING, check_any, damaged, fields, refused, sender

KEYS = Pseudonyms({"cn-charging": [Key(number=1, created=date(2024, 1, 1), secret=b"x" * 32)]})
REGISTER = Vehicles(
    {"粤B12345/2": Vehicle("truck_18t", "diesel"), "粤B12345/5": Vehicle("truck_2t", "electricity")}
)
KNOWN = sender(pseudonyms=KEYS, vehicles=REGISTER)
DRIVE = Drive(distance_m=812_300, distance_basis="actual", empty_distance_m=40_000)
LICENCE = "11010519491231002X"


def vehicle(**changes: Any) -> dict[str, Any]:
    """Return the vehicle of a waybill."""
    return {
        "vehiclePlateColorCode": "2",
        "vehicleNumber": "粤B12345",
        "driver": {"driverName": "张三", "drivingLicense": LICENCE},
        "goodsInfo": [
            {"descriptionOfGoods": "钢材", "goodsItemGrossWeight": "15000.4"},
            {"descriptionOfGoods": "木材", "goodsItemGrossWeight": 2500.2},
        ],
    } | changes


def bill(**changes: Any) -> dict[str, Any]:
    """Return a waybill with what is read of it."""
    return {
        "originalDocumentNumber": "O1",
        "shippingNoteNumber": "SN20240501",
        "serialNumber": "0000",
        "unifiedSocialCreditIdentifier": "91440300MA5DA0053X",
        "despatchActualDateTime": "20240501233000",
        "goodsReceiptDateTime": "20240502181500",
        "consignorInfo": {"consignor": "甲", "countrySubdivisionCode": "440300"},
        "consigneeInfo": {"consignee": "乙", "countrySubdivisionCode": "310000"},
        "vehicleInfo": vehicle(),
    } | changes


def adapt(document: Any) -> Outcome:
    """Return what becomes of a waybill whose drive is known."""
    return waybill(document, KNOWN, DRIVE)


def test_a_waybill_becomes_a_trip() -> None:
    trip = fields(adapt(bill()))
    assert trip["trip_id"] == "91440300MA5DA0053X*SN20240501*0000"
    assert (trip["origin_region"], trip["destination_region"]) == ("CN-GD", "CN-SH")
    assert (trip["vehicle_class"], trip["energy_carrier"]) == ("truck_18t", "diesel")
    assert (trip["distance_m"], trip["distance_basis"]) == (812_300, "actual")
    assert (trip["empty_distance_m"], trip["data_grade"]) == (40_000, "default")


def test_times_are_shanghais_fourteen_digits() -> None:
    trip = fields(adapt(bill()))
    assert trip["departed_at"] == datetime(2024, 5, 1, 15, 30, tzinfo=UTC).timestamp() * 1000
    spelt = fields(adapt(bill(despatchActualDateTime="2024-05-01 23:30:00")))
    assert spelt["departed_at"] == trip["departed_at"]
    short = adapt(bill(despatchActualDateTime="202405012330"))
    assert refused(short) == ("row_bad_value", "$.despatchActualDateTime")


def test_weights_are_kilograms_and_summed_exactly() -> None:
    assert fields(adapt(bill()))["cargo_kg"] == 17_501
    tonnes = adapt(bill(vehicleInfo=vehicle(goodsInfo=[{"goodsItemGrossWeight": 17.5}])))
    assert isinstance(tonnes, Adapted)
    assert tonnes.notes[-1] == "the weights look like tonnes; a waybill has kilograms"


def test_a_waybill_has_no_distance_of_its_own() -> None:
    assert refused(waybill(bill(), KNOWN, None)) == ("row_missing_value", "$")


def test_fuel_that_was_measured_is_primary() -> None:
    drive = Drive(distance_m=800_000, distance_basis="sfd", energy_used=272_000)
    trip = fields(waybill(bill(), KNOWN, drive))
    assert (trip["energy_used"], trip["data_grade"]) == (272_000, "primary")


def test_a_plate_of_another_colour_is_another_vehicle() -> None:
    blue = fields(adapt(bill()))
    green = fields(adapt(bill(vehicleInfo=vehicle(vehiclePlateColorCode=5))))
    assert green["vehicle_class"] == "truck_2t"
    assert green["vehicle_id"] != blue["vehicle_id"]
    unknown = adapt(bill(vehicleInfo=vehicle(vehiclePlateColorCode="1")))
    assert refused(unknown) == ("row_missing_value", "$.vehicleInfo")


def test_driver_and_plate_leave_as_pseudonyms_only() -> None:
    trip = fields(adapt(bill()))
    assert PSEUDONYM.fullmatch(trip["account_id"])
    assert PSEUDONYM.fullmatch(trip["vehicle_id"])
    assert trip["account_id"] == KEYS.of("cn-charging", LICENCE)
    with pytest.raises(ValueError, match="pseudonyms"):
        waybill(bill(), sender(vehicles=REGISTER), DRIVE)
    bad = adapt(bill(vehicleInfo=vehicle(driver={"drivingLicense": LICENCE + "\0"})))
    assert isinstance(bad, Refused)
    assert LICENCE not in bad.reason


def test_segments_of_a_shipping_note_are_trips_of_their_own() -> None:
    ids = {fields(adapt(bill(serialNumber=one)))["trip_id"] for one in ("0001", "0002")}
    assert len(ids) == 2


def test_the_vehicles_own_places_stand_above_its_parties() -> None:
    own = vehicle(loadingCountrySubdivisionCode="440600", receiptCountrySubdivisionCode=110000)
    trip = fields(adapt(bill(vehicleInfo=[own])))
    assert (trip["origin_region"], trip["destination_region"]) == ("CN-GD", "CN-BJ")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"vehicleInfo": [vehicle(), vehicle()]}, ("row_unmapped", "$.vehicleInfo")),
        ({"shippingNoteNumber": 10**50}, ("row_bad_value", "$.shippingNoteNumber")),
        ({"vehicleInfo": []}, ("row_missing_value", "$.vehicleInfo")),
        ({"serialNumber": None}, ("row_missing_value", "$.serialNumber")),
        (
            {"consignorInfo": {}},
            ("row_missing_value", "$.vehicleInfo.loadingCountrySubdivisionCode"),
        ),
        (
            {"consigneeInfo": {"countrySubdivisionCode": "990000"}},
            ("row_missing_value", "$.consigneeInfo.countrySubdivisionCode"),
        ),
        (
            {"vehicleInfo": vehicle(goodsInfo=[{"goodsItemGrossWeight": -1}])},
            ("cargo_out_of_range", "$.vehicleInfo.goodsInfo[0].goodsItemGrossWeight"),
        ),
        (
            {"vehicleInfo": vehicle(goodsInfo=[{}])},
            ("row_missing_value", "$.vehicleInfo.goodsInfo[0].goodsItemGrossWeight"),
        ),
    ],
)
def test_what_is_missing_is_refused_where_it_stands(
    changes: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert refused(adapt(bill(**changes))) == expected


@given(damaged(bill(), bill(vehicleInfo=[vehicle()])) | ANYTHING)
def test_any_document_becomes_a_record_or_a_refusal(document: Any) -> None:
    check_any(adapt(document))
