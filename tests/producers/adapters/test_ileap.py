"""iLEAP's demo data become freight trips; what is impossible in a document is refused."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.adapters import ileap
from producers.adapters.outcome import Adapted, Outcome, Refused
from producers.vehicles import Vehicle, Vehicles
from tests.producers.adapters.documents import (
    ANYTHING,
    DATA,
    check_any,
    damaged,
    example,
    fields,
    from_schema,
    needs_data,
    refused,
    sender,
)

CARRIER = "urn:company:carrier"


def carrier(**changes: Any) -> dict[str, Any]:
    """Return an energy carrier."""
    return {
        "energyCarrier": "Diesel",
        "energyConsumption": "180.5",
        "energyConsumptionUnit": "l",
        "emissionFactorWTW": "3.48",
        "emissionFactorTTW": "2.68",
        "relativeShare": "1",
    } | changes


def tad(**changes: Any) -> dict[str, Any]:
    """Return transport activity data with everything that is read."""
    return {
        "activityId": "activity-1",
        "consignmentIds": ["1"],
        "distance": {"actual": "630", "sfd": "600"},
        "mass": "12000.4",
        "loadFactor": "0.8",
        "emptyDistanceFactor": "0.1",
        "origin": {"city": "Berlin", "country": "DE"},
        "destination": {"city": "Amsterdam", "country": "NL"},
        "departureAt": "2025-06-24T15:06:29.687748692Z",
        "arrivalAt": "2025-06-25T03:06:29Z",
        "mode": "Road",
        "energyCarriers": [carrier()],
    } | changes


TOC = {
    "tocId": "toc-1",
    "mode": "Road",
    "emptyDistanceFactor": "0.3",
    "energyCarriers": [carrier()],
}


def tce(**changes: Any) -> dict[str, Any]:
    """Return a transport chain element that has times."""
    return {
        "tceId": "tce-1",
        "tocId": "toc-1",
        "shipmentId": "s",
        "mass": "40000",
        "distance": {"actual": "423"},
        "transportActivity": "16920",
        "co2eTTW": "1505.88",
        "co2eWTW": "1962.72",
        "departureAt": "2025-06-24T15:00:00Z",
        "arrivalAt": "2025-06-24T23:00:00Z",
        "origin": {"city": "Berlin", "country": "DE"},
        "destination": {"city": "Amsterdam", "country": "NL"},
    } | changes


def adapt(**changes: Any) -> Outcome:
    """Return what becomes of a TAD."""
    return ileap.tad(tad(**changes), sender(), CARRIER)


def legs(*tces: Any) -> list[Outcome]:
    """Return what becomes of the elements of a shipment."""
    document = {"mass": "40000", "shipmentId": "shipment-1", "tces": list(tces)}
    return ileap.shipment_footprint(document, sender(), CARRIER, {"toc-1": TOC})


@needs_data
def test_the_demo_tads_become_trips() -> None:
    outcomes = ileap.tads(example("conf-ileap/demo-data/tad.json"), sender(), CARRIER)
    trips = [fields(outcome) for outcome in outcomes]
    assert [trip["trip_id"] for trip in trips] == [str(number) for number in range(1, 11)]
    for trip in trips:
        assert (trip["distance_m"], trip["distance_basis"]) == (656_000, "actual")
        assert trip["cargo_kg"] == 1_000
        assert trip["empty_distance_m"] == round(656_000 * 0.1 / 0.9)
        assert (trip["origin_region"], trip["destination_region"]) == ("DE", "NL")
        assert (trip["energy_carrier"], trip["energy_used"]) == ("diesel", None)
        assert trip["data_grade"] == "default"
        assert trip["departed_at"] == 1_750_777_589_687


@needs_data
def test_every_demo_footprint_is_a_trip_or_refused_for_what_it_lacks() -> None:
    footprints = example("conf-ileap/demo-data/footprints.json")["footprints"]
    tocs = ileap.tocs_of(footprints)
    assert set(tocs) == {"toc-rail-1", "toc-road-1", "truck-40t-euro5-de", "toc-small-truck-1"}
    found = [
        refused(outcome)
        for footprint in footprints
        for outcome in ileap.product_footprint(footprint, sender(), CARRIER, tocs)
    ]
    # No element of the demo says where and when it went, and records need both.
    assert found.count(("row_unmapped", "$")) == 9
    assert found.count(("row_unmapped", "$.status")) == 1
    assert ("row_unmapped", "$.extensions[0].data.tces[0].tocId.mode") in found
    assert found.count(("row_unmapped", "$.extensions[0].data.tces[1].hocId")) == 2
    assert found.count(("row_missing_value", "$.extensions[0].data.tces[0]")) == 2
    assert found.count(("row_missing_value", "$.extensions[0].data.tces[2]")) == 2


@needs_data
def test_the_demo_footprint_becomes_a_trip_once_it_says_where_and_when() -> None:
    footprints = example("conf-ileap/demo-data/footprints.json")["footprints"]
    footprint = next(one for one in footprints if one["id"].startswith("d9be4477"))
    footprint["pcf"]["geographyCountry"] = "DE"
    times = {"departureAt": "2025-06-24T15:00:00Z", "arrivalAt": "2025-06-24T23:00:00Z"}
    footprint["extensions"][0]["data"]["tces"][0] |= times
    [outcome] = ileap.product_footprint(footprint, sender(), CARRIER, ileap.tocs_of(footprints))
    trip = fields(outcome)
    assert trip["trip_id"] == "shipment-simple-1*abcdef"
    assert (trip["cargo_kg"], trip["distance_m"]) == (40_000, 423_000)
    assert trip["empty_distance_m"] == round(423_000 * 0.3 / 0.7)
    assert (trip["origin_region"], trip["revision"]) == ("DE", 0)


@needs_data
def test_the_sample_of_the_specification_has_no_shipment() -> None:
    sample = example("conf-ileap/sample_product_footprint.json")
    [outcome] = ileap.product_footprint(sample, sender(), CARRIER, {})
    assert refused(outcome) == ("row_unmapped", "$")


@needs_data
def test_the_diesel_factors_of_the_specification_are_impossible() -> None:
    text = (DATA / "conf-ileap/ileap-spec-index.bs").read_text("utf-8")
    found = re.search(r'\{\s*"energyCarrier": "Diesel",.*?\}', text, re.DOTALL)
    assert found is not None
    diesel = json.loads(found[0])
    assert (diesel["emissionFactorWTW"], diesel["emissionFactorTTW"]) == ("2.67", "2.80")
    outcome = adapt(energyCarriers=[diesel])
    assert refused(outcome) == ("row_bad_value", "$.energyCarriers[0].emissionFactorWTW")
    assert isinstance(outcome, Refused)
    assert outcome.reason == "'2.67' is below emissionFactorTTW, though it contains it"


def test_numbers_are_strings_and_stay_exact() -> None:
    trip = fields(adapt())
    assert (trip["cargo_kg"], trip["energy_used"]) == (12_000, 180_500)
    assert (trip["distance_m"], trip["distance_basis"]) == (600_000, "sfd")
    assert trip["empty_distance_m"] == 70_000
    assert trip["data_grade"] == "primary"
    assert trip["departed_at"] == 1_750_777_589_687
    assert fields(adapt(mass=12000.4))["cargo_kg"] == 12_000


def test_factors_may_be_left_out() -> None:
    bare = carrier()
    del bare["emissionFactorWTW"], bare["emissionFactorTTW"]
    assert fields(adapt(energyCarriers=[bare]))["energy_used"] == 180_500


def test_feedstocks_of_one_carrier_add_up() -> None:
    half = carrier(relativeShare="0.5", energyConsumption="90.25")
    assert fields(adapt(energyCarriers=[half, half]))["energy_used"] == 180_500


def test_electricity_is_booked_in_wh_whether_kwh_or_mj() -> None:
    for unit, used in (("kWh", "100"), ("MJ", "360")):
        electric = carrier(
            energyCarrier="Electric", energyConsumption=used, energyConsumptionUnit=unit
        )
        trip = fields(adapt(energyCarriers=[electric]))
        assert (trip["energy_carrier"], trip["energy_used"]) == ("electricity", 100_000)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"mode": "Rail"}, ("row_unmapped", "$.mode")),
        ({"mass": None}, ("row_missing_value", "$.mass")),
        ({"distance": {"actual": None}}, ("row_missing_value", "$.distance")),
        ({"distance": {"actual": "0"}}, ("distance_out_of_range", "$.distance.actual")),
        ({"emptyDistanceFactor": "1"}, ("row_bad_value", "$.emptyDistanceFactor")),
        ({"emptyDistanceFactor": "10"}, ("row_bad_value", "$.emptyDistanceFactor")),
        ({"loadFactor": "80"}, ("row_bad_value", "$.loadFactor")),
        ({"origin": {"city": "X", "country": "XX"}}, ("row_missing_value", "$.origin")),
        ({"departureAt": ""}, ("row_missing_value", "$.departureAt")),
        ({"energyCarriers": []}, ("row_bad_value", "$.energyCarriers")),
        (
            {"energyCarriers": [carrier(relativeShare="0.7")]},
            ("row_bad_value", "$.energyCarriers"),
        ),
        (
            {"energyCarriers": [carrier(energyConsumptionUnit="kg")]},
            ("row_bad_value", "$.energyCarriers[0].energyConsumptionUnit"),
        ),
        (
            {"energyCarriers": [carrier(energyConsumptionUnit=None)]},
            ("row_missing_value", "$.energyCarriers[0].energyConsumptionUnit"),
        ),
        (
            {"energyCarriers": [carrier(energyConsumption="-1")]},
            ("energy_used_out_of_range", "$.energyCarriers[0].energyConsumption"),
        ),
        (
            {"energyCarriers": [carrier(energyCarrier="MGO")]},
            ("energy_carrier_unknown", "$.energyCarriers[0]"),
        ),
        (
            {
                "energyCarriers": [
                    carrier(relativeShare="0.3"),
                    carrier(energyCarrier="Electric", relativeShare="0.7"),
                ]
            },
            ("row_unmapped", "$.energyCarriers"),
        ),
    ],
)
def test_what_no_record_can_hold_is_refused_where_it_stands(
    changes: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert refused(adapt(**changes)) == expected


def test_without_carriers_the_register_names_one() -> None:
    outcome = adapt(energyCarriers=None)
    assert fields(outcome)["energy_carrier"] == "diesel"
    assert isinstance(outcome, Adapted)
    assert "energy carrier diesel by the register" in outcome.notes
    bare = sender(vehicles=Vehicles({"*": Vehicle("truck_18t")}))
    nothing = ileap.tad(tad(energyCarriers=None), bare, CARRIER)
    assert refused(nothing) == ("row_missing_value", "$")


def test_an_element_becomes_a_trip_with_carrier_and_empty_runs_of_its_toc() -> None:
    trip = fields(*legs(tce()))
    assert (trip["trip_id"], trip["energy_carrier"]) == ("shipment-1*tce-1", "diesel")
    # What a TOC consumes is per unit of transport activity, so it is not what the trip used.
    assert (trip["energy_used"], trip["data_grade"]) == (None, "default")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"co2eWTW": "1505.87"}, ("row_bad_value", "$.tces[0].co2eWTW")),
        ({"transportActivity": "16920000"}, ("row_bad_value", "$.tces[0].transportActivity")),
        ({"tocId": "unknown"}, ("row_missing_value", "$.tces[0].tocId")),
        ({"tocId": None}, ("row_missing_value", "$.tces[0].tocId")),
        ({"tocId": None, "hocId": "hub"}, ("row_unmapped", "$.tces[0].hocId")),
        ({"hocId": "hub"}, ("row_bad_value", "$.tces[0].hocId")),
        ({"arrivalAt": None}, ("row_missing_value", "$.tces[0].arrivalAt")),
        ({"origin": None}, ("row_missing_value", "$.tces[0]")),
    ],
)
def test_an_element_that_is_no_road_trip_is_refused_where_it_stands(
    changes: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert refused(*legs(tce(**changes))) == expected


def test_one_bad_element_does_not_refuse_the_others() -> None:
    first, second = legs(tce(mass="x"), tce(tceId="tce-2"))
    assert refused(first) == ("row_bad_value", "$.tces[0].mass")
    assert fields(second)["trip_id"] == "shipment-1*tce-2"


def test_a_footprint_says_whether_it_counts_and_which_version_it_is() -> None:
    schema = "https://api.ileap.sine.dev/shipment-footprint.json"
    data = {"mass": "40000", "shipmentId": "shipment-1", "tces": [tce()]}
    whole = {"status": "Active", "version": 3, "extensions": [{"dataSchema": schema, "data": data}]}
    [outcome] = ileap.product_footprint(whole, sender(), CARRIER, {"toc-1": TOC})
    assert fields(outcome)["revision"] == 3
    gone = ileap.product_footprint(whole | {"status": "Deprecated"}, sender(), CARRIER, {})
    assert refused(*gone) == ("row_unmapped", "$.status")


SCHEMAS = ("tad", "shipment-footprint", "pcf-shipment-footprint")


@needs_data
@settings(max_examples=40)
@given(st.data())
@pytest.mark.parametrize("name", SCHEMAS)
def test_any_document_that_the_schema_allows_becomes_records_or_refusals(
    name: str, data: st.DataObject
) -> None:
    document = data.draw(from_schema(example(f"conf-ileap/schemas/{name}.json")))
    tocs = {"toc-1": data.draw(damaged(TOC)), "": None}
    known = sender()
    outcomes = [ileap.tad(document, known, CARRIER), *ileap.tads([document], known, CARRIER)]
    outcomes += ileap.shipment_footprint(document, known, CARRIER, tocs)
    outcomes += ileap.product_footprint(document, known, CARRIER, tocs)
    for outcome in outcomes:
        check_any(outcome)


@given(damaged(tad(), {"data": [tad()]}, tce(), {"shipmentId": "s", "tces": [tce()]}) | ANYTHING)
def test_any_document_becomes_records_or_refusals(document: Any) -> None:
    known, tocs = sender(), {"toc-1": TOC}
    outcomes = [ileap.tad(document, known, CARRIER), *ileap.tads(document, known, CARRIER)]
    outcomes += ileap.shipment_footprint(document, known, CARRIER, tocs)
    outcomes += ileap.product_footprint(document, known, CARRIER, ileap.tocs_of(document))
    assert outcomes
    for outcome in outcomes:
        check_any(outcome)
