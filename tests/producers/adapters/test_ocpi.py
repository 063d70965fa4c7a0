"""OCPI's official examples become charging sessions; its traps do not become wrong ones."""

import json
import re
from datetime import date
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.adapters import ocpi
from producers.adapters.outcome import Adapted, Refused
from producers.places import Places
from producers.pseudonyms import PSEUDONYM, Key, Pseudonyms
from producers.regions import Regions
from producers.stations import Station, Stations
from producers.vehicles import Vehicle, Vehicles
from tests.producers.adapters.documents import (
    ANYTHING,
    DATA,
    check_any,
    damaged,
    example,
    fields,
    instants,
    needs_data,
    refused,
    sender,
    stations,
)

VERSIONS: Final[tuple[ocpi.Version, ...]] = ("2.1.1", "2.2.1", "2.3.0")
STATION: Final = Stations({"BE*BEC*LOC1*3256": Station(region="BE", current="ac", evse_id="E1")})


def from_markdown(module: str, at: int) -> Any:
    """Return an example of OCPI 2.1.1, which stands in the text of its specification."""
    text = (DATA / f"conf-ocpi/2.1.1/mod_{module}.md").read_text("utf-8")
    blocks = re.findall(r"```json\n(\{.*?)```", text, re.DOTALL)
    return json.loads(blocks[at])


def cdr(**changes: Any) -> dict[str, Any]:
    """Return a small CDR of our own."""
    return {
        "country_code": "DE",
        "party_id": "ABC",
        "id": "cdr-1",
        "start_date_time": "2024-05-01T10:00:00Z",
        "end_date_time": "2024-05-01T11:00:00Z",
        "cdr_token": {"uid": "card-7", "contract_id": "de-xyz-c1"},
        "cdr_location": {
            "id": "L1",
            "country": "DEU",
            "coordinates": {"latitude": "52.520008", "longitude": "13.404954"},
            "evse_uid": "1",
            "evse_id": "DE*ABC*E1",
            "connector_power_type": "DC",
        },
        "total_energy": 20.5,
        "total_time": 1,
    } | changes


def session(**changes: Any) -> dict[str, Any]:
    """Return a small Session of our own, at a station of STATION."""
    return {
        "country_code": "BE",
        "party_id": "BEC",
        "id": "s-1",
        "start_date_time": "2024-05-01T10:00:00Z",
        "end_date_time": "2024-05-01T11:00:00Z",
        "kwh": 12,
        "cdr_token": {"uid": "card-7", "contract_id": "NL-TST-C1"},
        "location_id": "LOC1",
        "evse_uid": "3256",
        "status": "COMPLETED",
        "last_updated": "2024-05-01T11:00:05Z",
    } | changes


@needs_data
@pytest.mark.parametrize("version", ["2.2.1", "2.3.0"])
def test_the_official_cdr_becomes_a_session(version: ocpi.Version) -> None:
    found = fields(ocpi.cdr(example(f"conf-ocpi/{version}/cdr_example.json"), sender(), version))
    assert found["session_id"] == "BE*BEC*12345"
    assert found["account_id"] == "DE8ACC12E46L89"
    assert found["energy_wh"] == 15_342
    assert (found["current"], found["meter_side"]) == ("ac", "dispenser")
    assert (found["operator_id"], found["evse_id"]) == ("BE*BEC", "BE*BEC*E041503003")
    assert found["ended_at"] - found["started_at"] == (1 * 3600 + 58 * 60 + 23) * 1000
    assert found["reversal_of"] is None


@needs_data
def test_the_swapped_coordinates_of_the_official_cdr_are_put_aside() -> None:
    known = sender(regions=Regions(places=Places()))
    outcome = ocpi.cdr(example("conf-ocpi/2.2.1/cdr_example.json"), known)
    assert fields(outcome)["grid_region"] == "BE"
    assert isinstance(outcome, Adapted)
    assert "region BE by country" in outcome.notes
    assert "latitude and longitude are swapped" in outcome.notes


@needs_data
def test_the_official_cdr_of_2_1_1_takes_its_operator_from_the_sender() -> None:
    document = from_markdown("cdrs", 0)
    found = fields(ocpi.cdr(document, sender(operator_id="BE*BEC"), "2.1.1"))
    assert (found["session_id"], found["energy_wh"]) == ("BE*BEC*12345", 15_342)
    assert (found["grid_region"], found["account_id"]) == ("BE", "DE8ACC12E46L89")
    assert refused(ocpi.cdr(document, sender(), "2.1.1")) == ("row_missing_value", "$")


@needs_data
@pytest.mark.parametrize("version", ["2.2.1", "2.3.0"])
def test_the_official_finished_session_needs_the_table_of_stations(version: ocpi.Version) -> None:
    document = example(f"conf-ocpi/{version}/session_example_2_short_finished.json")
    found = fields(ocpi.session(document, sender(regions=Regions(STATION)), version))
    assert (found["session_id"], found["energy_wh"]) == ("BE*BEC*session*101", 41_120)
    assert (found["grid_region"], found["current"], found["evse_id"]) == ("BE", "ac", "E1")
    nowhere = ocpi.session(document, sender(), version)
    assert refused(nowhere) == ("row_missing_value", "$.location_id")


@needs_data
def test_the_official_finished_session_of_2_1_1_describes_its_location() -> None:
    found = fields(
        ocpi.session(from_markdown("sessions", 1), sender(operator_id="BE*BEC"), "2.1.1")
    )
    assert (found["session_id"], found["energy_wh"]) == ("BE*BEC*session*101", 41_000)
    assert (found["grid_region"], found["evse_id"]) == ("BE", "BE-BEC-E041503003")


@needs_data
@pytest.mark.parametrize("version", ["2.2.1", "2.3.0"])
def test_official_sessions_that_are_not_over_are_refused(version: ocpi.Version) -> None:
    started = example(f"conf-ocpi/{version}/session_example_1_simple_start.json")
    assert refused(ocpi.session(started, sender(), version)) == ("row_unmapped", "$.status")
    for part in ("charging_period", "total_cost"):
        patch = example(f"conf-ocpi/{version}/session_patch_example_{part}.json")
        code, path = refused(ocpi.session(patch, sender(), version))
        assert (code, path) == ("row_missing_value", "$.country_code")


@needs_data
def test_the_started_session_of_2_1_1_is_refused() -> None:
    outcome = ocpi.session(from_markdown("sessions", 0), sender(operator_id="BE*BEC"), "2.1.1")
    assert refused(outcome) == ("row_unmapped", "$.status")


def test_a_credit_cdr_undoes_with_positive_energy() -> None:
    credit = cdr(id="cdr-1-credit", credit=True, credit_reference_id="cdr-1")
    found = fields(ocpi.cdr(credit, sender()))
    assert found["session_id"] == "DE*ABC*CDR-1-CREDIT"
    assert found["reversal_of"] == fields(ocpi.cdr(cdr(), sender()))["session_id"]
    assert found["energy_wh"] == 20_500


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"credit": True}, ("row_missing_value", "$.credit_reference_id")),
        ({"credit_reference_id": "cdr-0"}, ("row_bad_value", "$.credit_reference_id")),
        ({"credit": "true"}, ("row_bad_value", "$.credit")),
        ({"total_energy": -20.5}, ("energy_out_of_range", "$.total_energy")),
        ({"total_energy": True}, ("row_bad_value", "$.total_energy")),
        ({"total_energy": float("nan")}, ("row_bad_value", "$.total_energy")),
        ({"total_energy": 10**50}, ("row_bad_value", "$.total_energy")),
        ({"end_date_time": None}, ("row_missing_value", "$.end_date_time")),
        ({"end_date_time": "yesterday"}, ("row_bad_value", "$.end_date_time")),
        ({"country_code": "D*"}, ("row_bad_value", "$.country_code")),
        ({"id": "\ud800"}, ("row_bad_value", "$.id")),
        ({"cdr_location": []}, ("row_bad_value", "$.cdr_location")),
    ],
)
def test_a_cdr_that_contradicts_itself_is_refused(
    changes: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert refused(ocpi.cdr(cdr(**changes), sender())) == expected


def test_a_credit_flag_that_is_false_is_no_credit() -> None:
    assert fields(ocpi.cdr(cdr(credit=False), sender()))["reversal_of"] is None


def test_ids_do_not_tell_cases_apart_and_are_unique_within_a_party() -> None:
    small, large = (
        fields(ocpi.cdr(cdr(id=one, country_code=country), sender()))["session_id"]
        for one, country in (("abc", "de"), ("ABC", "DE"))
    )
    other = fields(ocpi.cdr(cdr(id="abc", party_id="XYZ"), sender()))["session_id"]
    assert small == large != other


def test_total_time_is_hours_and_never_the_end_of_a_session() -> None:
    found = fields(ocpi.cdr(cdr(total_time=7.5), sender()))
    assert found["ended_at"] - found["started_at"] == 3_600_000


def test_a_cdr_and_a_session_of_one_id_are_two_records() -> None:
    one = fields(ocpi.cdr(cdr(country_code="BE", party_id="BEC", id="s-1"), sender()))
    two = fields(ocpi.session(session(), sender(regions=Regions(STATION))))
    assert one["session_id"] != two["session_id"]


def test_a_void_session_undoes_what_completed_may_have_made() -> None:
    known = sender(regions=Regions(STATION))
    completed = fields(ocpi.session(session(), known))
    void = fields(ocpi.session(session(status="INVALID", end_date_time=None), known))
    assert void["reversal_of"] == completed["session_id"] != void["session_id"]
    assert void["ended_at"] == completed["ended_at"] + 5_000


def test_times_without_a_zone_are_utc() -> None:
    bare = fields(ocpi.cdr(cdr(start_date_time="2024-05-01T10:00:00"), sender()))
    assert bare["started_at"] == fields(ocpi.cdr(cdr(), sender()))["started_at"]


def test_numbers_may_be_strings_and_stay_exact() -> None:
    assert fields(ocpi.cdr(cdr(total_energy="0.1235"), sender()))["energy_wh"] == 124
    assert fields(ocpi.cdr(cdr(total_energy=0.1225), sender()))["energy_wh"] == 122


def test_several_cards_of_a_contract_are_one_account() -> None:
    ids = {
        fields(ocpi.cdr(cdr(cdr_token={"uid": uid, "contract_id": "C1"}), sender()))["account_id"]
        for uid in ("card-1", "card-2")
    }
    assert ids == {"C1"}


def test_a_contract_leaves_only_as_its_pseudonym() -> None:
    keys = Pseudonyms({"cn-charging": [Key(number=1, created=date(2024, 1, 1), secret=b"x" * 32)]})
    register = Vehicles({"DE-XYZ-C1": Vehicle("taxi")})
    found = fields(ocpi.cdr(cdr(), sender(pseudonyms=keys, vehicles=register)))
    assert PSEUDONYM.fullmatch(found["account_id"])
    assert found["vehicle_class"] == "taxi"
    unknown = ocpi.cdr(cdr(), sender(vehicles=Vehicles()))
    assert refused(unknown) == ("row_missing_value", "$.cdr_token.contract_id")
    bad = ocpi.cdr(cdr(cdr_token={"contract_id": "secret\0"}), sender())
    assert isinstance(bad, Refused)
    assert "secret" not in bad.reason


def test_the_table_of_stations_stands_above_the_document() -> None:
    table = stations(**{"DE*ABC*E1": Station(region="CN-GD")})
    outcome = ocpi.cdr(cdr(), sender(regions=table))
    assert fields(outcome)["grid_region"] == "CN-GD"
    assert isinstance(outcome, Adapted)
    assert "region CN-GD by station_table" in outcome.notes


@pytest.mark.parametrize("point", ["nowhere", {"latitude": "N", "longitude": "1"}])
def test_coordinates_that_cannot_be_read_refuse_nothing_and_are_told(point: Any) -> None:
    outcome = ocpi.cdr(cdr(cdr_location=cdr()["cdr_location"] | {"coordinates": point}), sender())
    assert fields(outcome)["grid_region"] == "DE"
    assert isinstance(outcome, Adapted)
    assert any("coordinates put aside: $.cdr_location.coordinates" in one for one in outcome.notes)


def texts() -> st.SearchStrategy[Any]:
    """Return short texts, some of them words that OCPI knows."""
    words = ["BE", "BEC", "BEL", "DC", "AC_3_PHASE", "COMPLETED", "INVALID", "#NA", "LOC1", "3256"]
    return st.sampled_from(words) | st.text(max_size=12)


def documents() -> st.SearchStrategy[dict[str, Any]]:
    """Return CDRs and Sessions with every field that is read, of a right or a wrong type."""
    numbers = st.floats(0, 1e4) | st.floats() | st.integers() | st.decimals()
    point = st.fixed_dictionaries({"latitude": texts() | numbers, "longitude": numbers})
    connectors = st.lists(st.fixed_dictionaries({"power_type": texts()}), max_size=2)
    evse = st.fixed_dictionaries({"uid": texts(), "evse_id": texts(), "connectors": connectors})
    location = st.fixed_dictionaries(
        {
            **{name: texts() for name in ("id", "evse_id", "evse_uid", "country", "state")},
            "connector_power_type": st.sampled_from([*ocpi.CURRENTS]) | texts(),
            "evses": st.lists(evse, max_size=2),
        },
        optional={"coordinates": point | ANYTHING},
    )
    token = st.fixed_dictionaries({"uid": texts(), "contract_id": texts()})
    named = {name: texts() for name in ("country_code", "party_id", "id", "auth_id", "status")}
    timed = {
        f"{name}_{kind}": instants()
        for name in ("start", "end", "stop")
        for kind in ("date_time", "datetime")
    }
    return st.fixed_dictionaries(
        {
            **named,
            **timed,
            "last_updated": instants(),
            "cdr_token": token | ANYTHING,
            "cdr_location": location | ANYTHING,
            "location": location | ANYTHING,
            "location_id": texts(),
            "evse_uid": texts(),
            "total_energy": numbers | ANYTHING,
            "kwh": numbers | ANYTHING,
        },
        optional={"credit": st.booleans() | ANYTHING, "credit_reference_id": texts()},
    )


@given(documents() | damaged(cdr(), session()) | ANYTHING, st.sampled_from(VERSIONS))
def test_any_document_becomes_a_record_or_a_refusal(document: Any, version: ocpi.Version) -> None:
    known = sender(operator_id="BE*BEC", regions=Regions(STATION))
    for adapt in (ocpi.cdr, ocpi.session):
        check_any(adapt(document, known, version))
